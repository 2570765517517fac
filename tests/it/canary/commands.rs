//! Secrets in the hands of our own commands, and what others at the same machine see of these in the process list.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::everywhere::{PLANTED, Watch};
use crate::support::command_line::CommandLine;
use crate::support::gate::Gate;

/// Prints the kubeconfig it was given and the number of its process, and stays until it is told something.
const SHOW: &str = "cat \"$KUBECONFIG\"; echo; echo $$; read line";

impl Watch {
    pub(super) fn walk_commands(&mut self) {
        let person = CommandLine::new();
        let file = self.rig.gate.data_directory().join("ca.crt");
        let server = format!("https://{}", self.rig.gate.endpoint.address);
        let arguments =
            ["login", &server, "--password-stdin", "--ca-file", file.to_str().unwrap(), "--username"];
        let log_in = |name| [&arguments[..], &[name]].concat();
        let guess = "canary-guess-of-command-0123456789";
        self.rig.gate.keep_secret(guess);
        self.fails(&person, &log_in("nobody-known-here"), &format!("{guess}\n"));
        let password = format!("{}\n", self.account.password);
        self.succeeds(&person, &log_in(PLANTED), &password);
        self.keep_profile(&person);
        self.own_tokens(&person, &server);
        self.own_password(&person);
        self.succeeds(&person, &["logout"], "");
        let first = format!("{}\n", self.first_password);
        self.succeeds(&person, &log_in("admin"), &first);
        self.keep_profile(&person);
        self.others(&person);
        self.succeeds(&person, &["logout"], "");
    }

    fn own_tokens(&mut self, person: &CommandLine, server: &str) {
        let made = self.shows(person, &["token", "create", "--ttl", "1h", "--description", PLANTED], &[]);
        let name = made.trim().split_once(':').unwrap().0.to_owned();
        self.keep(made.trim());
        let rotated = self.shows(person, &["token", "rotate", &name, "--overlap", "5m"], &[]);
        self.keep(rotated.trim());
        for arguments in [&["token", "list"][..], &["token", "show", &name, "-o", "json"], &["whoami"]] {
            self.succeeds(person, arguments, "");
        }
        for more in [&[][..], &["--reuse"]] {
            let arguments = [&["kubeconfig", "--output-file", "gate.yaml"], more].concat();
            self.succeeds(person, &arguments, "");
            let config = std::fs::read_to_string(person.home().join("gate.yaml")).unwrap();
            let bearer = config.lines().find_map(|line| line.trim().strip_prefix("token: ")).unwrap();
            self.keep(bearer.trim_matches(['"', '\'']));
        }
        let info = exec_info(&self.rig.gate);
        let environment = [("KUBERNETES_EXEC_INFO", info.as_str())];
        // Made, and from what is kept of it.
        for _ in 0..2 {
            let given = self.shows(person, &["credential", "--server", server], &environment);
            let given: Value = serde_json::from_str(&given).unwrap();
            self.keep(given["status"]["token"].as_str().unwrap());
        }
        self.succeeds(person, &["credential", "--forget"], "");
        self.run_with_a_token(person);
        self.succeeds(person, &["token", "delete", &name], "");
    }

    fn own_password(&mut self, person: &CommandLine) {
        let [guess, new] = ["canary-guess-of-old-one", "canary-by-command-horse"];
        self.keep_passwords(&[guess, new]);
        let change = ["change-password", "--password-stdin"];
        self.fails(person, &change, &format!("{guess}\n{new}\n"));
        let input = format!("{}\n{new}\n", self.account.password);
        self.succeeds(person, &change, &input);
        new.clone_into(&mut self.account.password);
    }

    /// What administrators do.
    fn others(&mut self, person: &CommandLine) {
        let [first, second] = ["canary-of-bob-horse-battery", "canary-of-bob-staple-battery"];
        self.keep_passwords(&[first, second]);
        let bob = ["user", "create", "bob", "--password-stdin"];
        self.succeeds(person, &bob, &format!("{first}\n"));
        self.fails(person, &bob, &format!("{first}\n"));
        let set = ["user", "set-password", "bob", "--password-stdin", "--revoke", "all"];
        self.succeeds(person, &set, &format!("{second}\n"));
        for arguments in [
            &["user", "list"][..],
            &["token", "list", "--all"],
            &["setting", "list"],
            &["feature", "list"],
            &["audit", "list"],
            &["user", "delete", "bob"],
        ] {
            self.succeeds(person, arguments, "");
        }
    }

    /// `run` gives its command the path of a kubeconfig, and the process list shows nothing more.
    fn run_with_a_token(&mut self, person: &CommandLine) {
        let arguments = ["run", "--kind", "kubectl-shell", "--", "sh", "-c", SHOW];
        let mut child = start(person, &arguments, &[]);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let [mut config, mut number] = [String::new(), String::new()];
        output.read_line(&mut config).unwrap();
        output.read_line(&mut number).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        self.keep(config["users"][0]["user"]["token"].as_str().unwrap());
        self.processes.saw_processes();
        let environment = std::fs::read(format!("/proc/{}/environ", number.trim())).unwrap();
        let variables = environment.split(|byte| *byte == 0);
        let given: Vec<_> = variables.filter(|variable| variable.starts_with(b"KUBECONFIG=/")).collect();
        assert_eq!(given.len(), 1, "{}", environment.escape_ascii());
        self.processes.saw("environment of a command", environment);
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success(), "{done:?}");
        self.prints.saw("run", done.stderr);
    }

    /// The session that `login` has kept, which is the only place where it is.
    fn keep_profile(&self, person: &CommandLine) {
        let profile = std::fs::read(person.home().join(".config/portcullis/profile.json")).unwrap();
        let profile: Value = serde_json::from_slice(&profile).unwrap();
        self.keep(profile["token"].as_str().unwrap());
    }

    fn succeeds(&mut self, person: &CommandLine, arguments: &[&str], input: &str) {
        let done = self.run(person, arguments, input, &[]);
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        self.prints.saw(arguments.join(" "), [done.stdout, done.stderr].concat());
    }

    fn fails(&mut self, person: &CommandLine, arguments: &[&str], input: &str) {
        let done = self.run(person, arguments, input, &[]);
        assert_eq!(done.status.code(), Some(1), "{arguments:?}: {done:?}");
        self.prints.saw(arguments.join(" "), [done.stdout, done.stderr].concat());
    }

    /// For a command that shows a new key, on its standard output and nowhere else.
    fn shows(&mut self, person: &CommandLine, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let done = self.run(person, arguments, "", environment);
        assert!(done.status.success(), "{arguments:?}: {done:?}");
        self.prints.saw(arguments.join(" "), done.stderr);
        String::from_utf8(done.stdout).unwrap()
    }

    /// Runs a command and watches what the process list shows of it from its beginning to its end.
    fn run(
        &mut self,
        person: &CommandLine,
        arguments: &[&str],
        input: &str,
        environment: &[(&str, &str)],
    ) -> Output {
        let mut child = start(person, arguments, environment);
        let id = child.id().to_string();
        self.processes.saw_process(&id);
        // A command that does not read its input closes the pipe, which is no failure.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        while child.try_wait().unwrap().is_none() {
            self.processes.saw_process(&id);
            // Nobody announces what a process shows of itself.
            std::thread::sleep(Duration::from_millis(10));
        }
        child.wait_with_output().unwrap()
    }
}

fn start(person: &CommandLine, arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .current_dir(person.home())
        .env_clear()
        .envs([("HOME", person.home()), ("XDG_RUNTIME_DIR", person.home())])
        .env("PATH", "/usr/bin:/bin")
        .env("PORTCULLIS_PLANTED", "canary")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What kubectl tells its plugin where there is nobody to ask.
fn exec_info(gate: &Gate) -> String {
    let cluster = json!({
        "server": "https://unused", "certificate-authority-data": STANDARD.encode(&*gate.endpoint.ca_pem)
    });
    json!({
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "spec": { "interactive": false, "cluster": cluster },
    })
    .to_string()
}
