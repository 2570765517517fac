//! What stands upstream: nginx with answers that cost it next to nothing.

use std::fs;
use std::net::SocketAddr;

use crate::process::{OTHERS, Place, Running, free_address};

/// An object of a kilobyte.
pub(crate) const KILOBYTE: &str = "/api/v1/namespaces/default/configmaps/kilobyte";
/// A list of 1.2 MB.
pub(crate) const LIST: &str = "/api/v1/pods";
/// A list of 20 MB.
pub(crate) const LONG_LIST: &str = "/api/v1/configmaps";

/// Says how many requests there were.
pub(crate) const REQUESTS: &str = "/requests-so-far";

/// The origin, at one address for each protocol.
pub(crate) struct Origin {
    pub(crate) http1: SocketAddr,
    pub(crate) http2: SocketAddr,
    _process: Running,
}

impl Origin {
    /// One that `process` is.
    pub(crate) fn new(http1: SocketAddr, http2: SocketAddr, process: Running) -> Self {
        Self { http1, http2, _process: process }
    }

    pub(crate) fn start(place: &Place) -> Self {
        let answers = place.directory().join("answers");
        for (path, size) in [(LIST, 1_200_000), (LONG_LIST, 20_000_000)] {
            let file = answers.join(path.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, list(size)).unwrap();
        }
        let (http1, http2) = (free_address(), free_address());
        let values = [
            ("HTTP1", http1.to_string()),
            ("HTTP2", http2.to_string()),
            ("KILOBYTE", object(1024).replace('\'', "")),
        ];
        let values: Vec<_> = values.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let configuration = place.configuration("origin.conf", "origin.conf", &values);
        let mut command = place.command("nginx");
        command.arg("-c").arg(configuration).arg("-p").arg(place.directory());
        Self::new(http1, http2, Running::start(place, OTHERS, &command, http1))
    }

    /// Another program, which speaks both protocols at one address.
    pub(crate) fn of(process: Running, address: SocketAddr) -> Self {
        Self { http1: address, http2: address, _process: process }
    }
}

/// A JSON object of about so many bytes.
pub(crate) fn object(bytes: usize) -> String {
    let head = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"kilobyte","namespace":"default"},"data":{"text":""#;
    format!("{head}{}\"}}}}", "abcdefgh".repeat((bytes - head.len()) / 8))
}

fn list(bytes: usize) -> String {
    let item = object(1000);
    let items = vec![item.as_str(); bytes / item.len()].join(",");
    format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"1"}},"items":[{items}]}}"#)
}
