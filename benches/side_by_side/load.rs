//! Load by programs that others wrote: wrk for HTTP/1.1, h2load for HTTP/2.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::peers::Proxy;
use crate::process::{OPENSSL, OTHERS, Place};

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// How much at once, and of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) protocol: Protocol,
    pub(crate) connections: u32,
    /// At once on each connection; 1 for HTTP/1.1.
    pub(crate) streams: u32,
    pub(crate) path: &'static str,
    /// What is counted as the answer wanted.
    pub(crate) status: u16,
}

/// Beyond the time that a load is to take; then it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whom to ask, and as whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) name: &'a str,
    pub(crate) address: SocketAddr,
    /// The value of the header.
    pub(crate) authorization: &'a str,
}

/// What a load came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Served {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Protocol {
    pub(crate) fn alpn(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
        }
    }
}

impl Load {
    /// Loads `proxy` for so long.
    ///
    /// # Panics
    /// When an answer is not the one wanted: a proxy that fails fast would look fast.
    pub(crate) fn run(&self, place: &Place, proxy: &Proxy, time: Duration) -> Served {
        self.run_on(place, &proxy.target(), time)
    }

    /// The same for whatever answers.
    pub(crate) fn run_on(&self, place: &Place, target: &Target, time: Duration) -> Served {
        let url = format!("https://{}{}", target.address, self.path);
        let header = format!("Authorization: {}", target.authorization);
        let seconds = time.as_secs().max(1).to_string();
        // Whoever is not answered would wait for good.
        let mut command = Command::new("timeout");
        command.arg((time + PATIENCE).as_secs().to_string()).arg("taskset");
        command.env(OPENSSL.0, OPENSSL.1).args(["-c", &OTHERS.to_string()]);
        match self.protocol {
            Protocol::Http1 => {
                command.arg(place.program("wrk"));
                command.args(["-t1", "--latency", "-c", &self.connections.to_string()]);
                command.args(["-d", &format!("{seconds}s"), "-H", &header, &url]);
                self.of_wrk(&run(&mut command), target)
            }
            Protocol::Http2 => {
                let log = place.directory().join("h2load.log");
                let _none_before = std::fs::remove_file(&log);
                command.arg(place.program("h2load")).args(["-t1", "-D", &seconds]);
                command.args(["-c", &self.connections.to_string(), "-m", &self.streams.to_string()]);
                command.arg(format!("--log-file={}", log.display())).args(["-H", &header, &url]);
                let text = run(&mut command);
                self.of_h2load(&text, &std::fs::read_to_string(log).unwrap(), target, time)
            }
        }
    }

    fn of_wrk(&self, text: &str, target: &Target) -> Served {
        let line = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start));
        let percentile = |name: &str| duration(line(name).unwrap_or_else(|| panic!("{text}")).trim());
        let (requests, rest) = text
            .lines()
            .find_map(|line| line.trim().split_once(" requests in "))
            .unwrap_or_else(|| panic!("{text}"));
        let others = line("Non-2xx or 3xx responses:").map_or("0", str::trim);
        let wanted = if self.status < 400 { "0" } else { requests };
        assert!(others == wanted && line("Socket errors").is_none(), "{}: {text}", target.name);
        Served {
            requests: requests.parse().unwrap(),
            elapsed: duration(rest.split(',').next().unwrap()),
            p50: percentile("50%"),
            p99: percentile("99%"),
        }
    }

    fn of_h2load(&self, text: &str, log: &str, target: &Target, time: Duration) -> Served {
        let mut microseconds = Vec::new();
        for line in log.lines() {
            let fields: Vec<_> = line.split_whitespace().collect();
            let [_, status, took] = fields[..] else { continue };
            assert_eq!(status, self.status.to_string(), "{}: {text}", target.name);
            microseconds.push(took.parse::<u64>().unwrap());
        }
        assert!(!microseconds.is_empty(), "{}: {text}", target.name);
        microseconds.sort_unstable();
        let at =
            |percent: usize| Duration::from_micros(microseconds[(microseconds.len() - 1) * percent / 100]);
        Served { requests: microseconds.len() as u64, elapsed: time, p50: at(50), p99: at(99) }
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// As wrk writes one: `1.63ms`.
fn duration(text: &str) -> Duration {
    let end = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap();
    let value: f64 = text[..end].parse().unwrap();
    let unit = match &text[end..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        other => panic!("{other} of {text}"),
    };
    Duration::from_secs_f64(value * unit)
}
