//! The record of one request: opened before anything else, written exactly once, when it is dropped. Whatever way a
//! request ends (answered, refused, cut, left by its client), it is counted and has its line.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::{Method, StatusCode, Uri, Version};

use super::Telemetry;
use super::entry::{Entry, Object, bounded};
use super::labels::VerbClass;
use crate::clock;
use crate::identity::Username;
use crate::kube::RequestInfo;
use crate::token::TokenName;

/// What becomes known about a request while it is served.
pub struct RequestRecord {
    telemetry: Arc<Telemetry>,
    opened: Instant,
    class: VerbClass,
    is_long_running: bool,
    received: Option<Arc<AtomicU64>>,
    /// Whatever is taken up for as long as the request lasts.
    held: Option<Box<dyn Send>>,
    /// Boxed, so that the futures that hold a record stay small; taken when it is written.
    entry: Option<Box<Entry>>,
}

impl RequestRecord {
    /// Opens the record of a request that has just come in.
    pub fn open(
        telemetry: &Arc<Telemetry>,
        client: SocketAddr,
        method: &Method,
        uri: &Uri,
        protocol: Version,
    ) -> Self {
        Self {
            telemetry: Arc::clone(telemetry),
            opened: Instant::now(),
            class: VerbClass::of_method(method),
            is_long_running: false,
            received: None,
            held: None,
            entry: Some(Box::new(Entry::new(client, method, uri, protocol))),
        }
    }

    /// When the request came in.
    pub fn opened(&self) -> Instant {
        self.opened
    }

    /// Keeps what the request takes up, such as its place among those under way, until it has ended.
    pub fn hold(&mut self, taken: impl Send + 'static) {
        self.held = Some(Box::new(taken));
    }

    /// Which cluster the request is for.
    pub fn set_cluster(&mut self, id: &Arc<str>) {
        self.edit(|entry| entry.cluster = Some(Arc::clone(id)));
    }

    /// What the request asks of the cluster.
    pub fn set_request_info(&mut self, info: &RequestInfo<'_>) {
        self.class = VerbClass::of(info);
        self.is_long_running = info.is_long_running();
        self.edit(|entry| {
            entry.verb = Some(info.verb);
            if info.is_resource {
                entry.object = Some(Object::of(info));
            } else {
                entry.path = bounded(&info.path);
            }
        });
    }

    /// The token that was presented: its name alone, which is public.
    pub fn set_token(&mut self, name: &TokenName) {
        self.edit(|entry| entry.token = Some(name.clone()));
    }

    /// Whose request it is.
    pub fn set_user(&mut self, name: &Username) {
        self.edit(|entry| entry.user = Some(name.clone()));
    }

    /// Whom the client asks to be, whether it is let or not.
    pub fn set_impersonated_user(&mut self, name: &Username) {
        self.edit(|entry| entry.impersonated_user = Some(name.clone()));
    }

    /// The status that was answered.
    pub fn set_code(&mut self, code: StatusCode) {
        self.edit(|entry| entry.code = Some(code));
    }

    /// Why it was refused or cut, in a word of the program.
    pub fn set_reason(&mut self, reason: &'static str) {
        self.edit(|entry| entry.reason = reason);
    }

    /// Where the bytes of the client's body are counted as they pass; read when the record is written.
    pub fn count_received(&mut self, bytes: Option<Arc<AtomicU64>>) {
        self.received = bytes;
    }

    /// Adds to what the client has sent of its body or through its tunnel.
    pub fn add_bytes_received(&mut self, bytes: u64) {
        self.edit(|entry| entry.bytes_received = entry.bytes_received.saturating_add(bytes));
    }

    /// Adds to what the client was sent.
    pub fn add_bytes_sent(&mut self, bytes: u64) {
        self.edit(|entry| entry.bytes_sent = entry.bytes_sent.saturating_add(bytes));
    }

    /// The connection has become a tunnel. Its length says nothing about our speed, so it is not timed.
    pub fn mark_upgraded(&mut self) {
        self.is_long_running = true;
        self.edit(|entry| entry.upgraded = true);
    }

    fn edit(&mut self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = &mut self.entry {
            change(entry);
        }
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        let Some(mut entry) = self.entry.take() else { return };
        entry.duration = self.opened.elapsed();
        // The moment of the end, so that the lines of a log are in order of time.
        entry.time = clock::now();
        if let Some(received) = &self.received {
            entry.bytes_received = entry.bytes_received.saturating_add(received.load(Ordering::Relaxed));
        }
        let timed = (!self.is_long_running).then_some(entry.duration);
        self.telemetry.metrics.count_request(entry.code, self.class, timed);
        self.telemetry.write(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::config::{Log, LogFormat};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn telemetry(access: bool) -> (Arc<Telemetry>, Kept) {
        let (log, kept) =
            (Log { format: LogFormat::Json, level: "info".to_owned(), access }, Kept::default());
        (Telemetry::start(&log, 100, Box::new(kept.clone())).unwrap(), kept)
    }

    fn record(telemetry: &Arc<Telemetry>, uri: &'static str) -> RequestRecord {
        let client = "192.0.2.7:4711".parse().unwrap();
        RequestRecord::open(telemetry, client, &Method::GET, &Uri::from_static(uri), Version::HTTP_2)
    }

    fn lines(telemetry: &Telemetry, kept: &Kept) -> Vec<serde_json::Value> {
        assert!(telemetry.flush(Duration::from_secs(10)));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_record_is_written_once_and_only_when_it_is_dropped() {
        let (telemetry, kept) = telemetry(true);
        let mut record = record(&telemetry, "/k8s/clusters/local/api/v1/namespaces/a/pods/b?watch=secret");
        record.set_request_info(&RequestInfo::of(&Method::GET, "/api/v1/namespaces/a/pods/b", None));
        record.set_code(StatusCode::OK);
        record.add_bytes_sent(5);
        record.add_bytes_sent(6);
        assert!(lines(&telemetry, &kept).is_empty());
        drop(record);
        let lines = lines(&telemetry, &kept);
        assert_eq!(lines.len(), 1);
        assert_eq!(
            (&lines[0]["verb"], &lines[0]["name"], &lines[0]["bytes_sent"]),
            (&"get".into(), &"b".into(), &11.into())
        );
        assert_eq!(lines[0].get("path"), None);
        let text = telemetry.exposition();
        assert!(text.contains("portcullis_http_requests_total{code=\"200\",verb=\"get\"} 1\n"), "{text}");
        assert!(text.contains("portcullis_http_request_duration_seconds_count{verb=\"get\"} 1\n"), "{text}");
    }

    #[test]
    fn a_request_whose_client_left_is_counted_as_aborted() {
        let (telemetry, kept) = telemetry(true);
        drop(record(&telemetry, "/v3/tokens?x=secret"));
        let lines = lines(&telemetry, &kept);
        assert_eq!((&lines[0]["path"], lines[0].get("code")), (&"/v3/tokens".into(), None));
        assert!(
            telemetry
                .exposition()
                .contains("portcullis_http_requests_total{code=\"aborted\",verb=\"get\"} 1\n")
        );
    }

    #[test]
    fn what_lasts_is_counted_and_not_timed() {
        let (telemetry, kept) = telemetry(false);
        let mut watch = record(&telemetry, "/api/v1/pods?watch=1");
        watch.set_request_info(&RequestInfo::of(&Method::GET, "/api/v1/pods", Some("watch=1")));
        drop(watch);
        let mut tunnel = record(&telemetry, "/apis/example.com/v1/tunnels/a");
        tunnel.mark_upgraded();
        drop(tunnel);
        let text = telemetry.exposition();
        assert!(
            text.contains("portcullis_http_requests_total{code=\"aborted\",verb=\"watch\"} 1\n"),
            "{text}"
        );
        for verb in ["watch", "get"] {
            let count = format!("portcullis_http_request_duration_seconds_count{{verb=\"{verb}\"}} 0\n");
            assert!(text.contains(&count), "{text}");
        }
        assert!(lines(&telemetry, &kept).is_empty(), "the access log is off");
        telemetry.set_access_log(true);
        drop(record(&telemetry, "/api"));
        assert_eq!(lines(&telemetry, &kept).len(), 1);
    }
}
