//! Somebody at a terminal: what they see, and what they type when they see it.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// A command, with its redirections, on a terminal of its own, which `script` of util-linux makes.
pub(crate) struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
    device: String,
}

impl Terminal {
    /// `script` is a command that runs `script`, in the directory and the environment of whoever is at the terminal.
    pub(crate) fn start(mut script: Command, command_line: &str) -> Self {
        let named = format!("tty; exec {command_line}");
        script.args(["--quiet", "--return", "--command", &named, "/dev/null"]).env("SHELL", "/bin/sh");
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().unwrap();
        let keyboard = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Self { child, keyboard, screen, seen: String::new(), device: String::new() };
        while !terminal.seen.contains('\n') && terminal.look() {}
        let (device, rest) = terminal.seen.split_once('\n').unwrap();
        (terminal.device, terminal.seen) = (device.trim().to_owned(), rest.to_owned());
        terminal
    }

    /// Waits until `text` is on the screen, after what was waited for before; false if the command ended without it.
    pub(crate) fn shows(&mut self, text: &str) -> bool {
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return true;
            }
            if !self.look() {
                return false;
            }
        }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        // Who has ended reads no more, which the test will see by itself.
        let _ = self.keyboard.write_all(format!("{line}\n").as_bytes());
        let _ = self.keyboard.flush();
    }

    /// Types what must not be shown, when the terminal has been told not to show it: a prompt may be there before.
    pub(crate) fn type_secret(&mut self, line: &str) {
        let start = Instant::now();
        loop {
            let stty = Command::new("stty").args(["--all", "--file", &self.device]).output().unwrap();
            if String::from_utf8(stty.stdout).unwrap().split_whitespace().any(|word| word == "-echo") {
                return self.type_line(line);
            }
            assert!(start.elapsed() < PATIENCE, "the terminal still shows what is typed");
            std::thread::yield_now();
        }
    }

    /// Waits for the end: the exit code, and what is on the screen since [`shows`](Self::shows) waited last.
    pub(crate) fn end(mut self) -> (i32, String) {
        while self.look() {}
        (self.child.wait().unwrap().code().unwrap(), self.seen)
    }

    fn look(&mut self) -> bool {
        match self.screen.recv_timeout(PATIENCE) {
            Ok(bytes) => {
                self.seen += &String::from_utf8_lossy(&bytes);
                true
            }
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => {
                panic!("nothing happens on the terminal after {:?}", self.seen)
            }
        }
    }
}

const PATIENCE: Duration = Duration::from_mins(1);
