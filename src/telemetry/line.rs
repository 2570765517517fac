//! How a line of the access log is written: as one JSON object, or as `key=value` pairs for people.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use http::Version;
use jiff::fmt::temporal::DateTimePrinter;

use super::entry::Entry;
use crate::clock::UnixMillis;
use crate::config::LogFormat;

/// Appends the line of `entry` to `out`. Fields without a value are left out.
pub(super) fn append(out: &mut Vec<u8>, format: LogFormat, entry: &Entry) {
    let mut line = Line { out, format, is_first: true };
    line.begin();
    line.time("time", entry.time);
    line.address("client", entry.client);
    line.text("method", entry.method.as_ref().map_or("", |method| method.as_str()));
    line.text("verb", entry.verb.map_or("", |verb| verb.as_str()));
    line.text("cluster", entry.cluster.as_deref().unwrap_or_default());
    match &entry.object {
        Some(object) => {
            for (key, part) in object.parts() {
                line.text(key, part);
            }
        }
        None => line.text("path", &entry.path),
    }
    line.text("protocol", protocol(entry.protocol));
    line.text("user", entry.user.as_ref().map_or("", |user| user.as_str()));
    line.text("impersonated_user", entry.impersonated_user.as_ref().map_or("", |user| user.as_str()));
    line.text("token", entry.token.as_ref().map_or("", |token| token.as_str()));
    if let Some(code) = entry.code {
        line.bare("code", code.as_str());
    }
    line.text("reason", entry.reason);
    line.number("bytes_received", entry.bytes_received);
    line.number("bytes_sent", entry.bytes_sent);
    line.milliseconds("duration_ms", entry.duration);
    if entry.upgraded {
        line.bare("upgraded", "true");
    }
    line.end();
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "other",
    }
}

struct Line<'o> {
    out: &'o mut Vec<u8>,
    format: LogFormat,
    is_first: bool,
}

impl Line<'_> {
    fn begin(&mut self) {
        if self.format == LogFormat::Json {
            self.out.push(b'{');
        }
    }

    fn end(&mut self) {
        if self.format == LogFormat::Json {
            self.out.push(b'}');
        }
        self.out.push(b'\n');
    }

    fn key(&mut self, key: &str) {
        let is_first = std::mem::take(&mut self.is_first);
        match self.format {
            LogFormat::Json => {
                self.out.extend_from_slice(if is_first { b"\"" } else { b",\"" });
                self.out.extend_from_slice(key.as_bytes());
                self.out.extend_from_slice(b"\":");
            }
            LogFormat::Text => {
                self.out.extend_from_slice(if is_first { b"" } else { b" " });
                self.out.extend_from_slice(key.as_bytes());
                self.out.push(b'=');
            }
        }
    }

    /// In RFC 3339 with milliseconds, UTC.
    fn time(&mut self, key: &str, time: UnixMillis) {
        let timestamp =
            i64::try_from(time.0).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        self.in_quotes(key, |out| {
            let printer = const { DateTimePrinter::new().precision(Some(3)) };
            // Writing into a `Vec` does not fail.
            let _ = printer.print_timestamp(&timestamp.unwrap_or(jiff::Timestamp::MAX), out);
        });
    }

    fn address(&mut self, key: &str, address: SocketAddr) {
        self.in_quotes(key, |out| {
            // Nor does this.
            let _ = write!(out, "{address}");
        });
    }

    /// A value of ours that JSON puts in quotes and that needs no escaping.
    fn in_quotes(&mut self, key: &str, value: impl FnOnce(&mut Vec<u8>)) {
        self.key(key);
        let quote = if self.format == LogFormat::Json { "\"" } else { "" };
        self.out.extend_from_slice(quote.as_bytes());
        value(self.out);
        self.out.extend_from_slice(quote.as_bytes());
    }

    /// A value of ours that is a number or a word, and needs neither quotes nor escaping.
    fn bare(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn number(&mut self, key: &str, value: u64) {
        self.bare(key, itoa::Buffer::new().format(value));
    }

    /// With three digits after the point.
    fn milliseconds(&mut self, key: &str, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.number(key, micros / 1000);
        // Beginning with 1, so that zeros are written.
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(1000 + micros % 1000).as_bytes();
        self.out.push(b'.');
        self.out.extend_from_slice(digits.get(1..).unwrap_or_default());
    }

    /// A value that may come from a client.
    fn text(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        self.key(key);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@+".contains(&byte);
        if self.format == LogFormat::Text && value.bytes().all(is_plain) {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            self.quoted(value);
        }
    }

    /// A JSON string. Control characters beyond ASCII are escaped as well, though JSON does not ask for it: some steer
    /// the terminal on which the log is read, and two others end a line for some readers.
    fn quoted(&mut self, value: &str) {
        self.out.push(b'"');
        // Hardly any text has something to escape.
        if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            self.out.extend_from_slice(value.as_bytes());
        } else {
            value.chars().for_each(|character| self.escaped(character));
        }
        self.out.push(b'"');
    }

    fn escaped(&mut self, character: char) {
        match character {
            '"' | '\\' => self.print(format_args!("\\{character}")),
            '\n' => self.out.extend_from_slice(b"\\n"),
            '\u{2028}' | '\u{2029}' => self.print(format_args!("\\u{:04x}", u32::from(character))),
            _ if character.is_control() => self.print(format_args!("\\u{:04x}", u32::from(character))),
            _ => self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }

    fn print(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing into a `Vec` does not fail.
        let _ = self.out.write_fmt(arguments);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, StatusCode, Uri};

    use super::super::entry::Object;
    use super::*;
    use crate::clock::UnixMillis;
    use crate::identity::Username;
    use crate::kube::RequestInfo;
    use crate::token::TokenName;

    fn entry(uri: &'static str) -> Entry {
        let client = "[::ffff:192.0.2.7]:4711".parse().unwrap();
        let mut entry = Entry::new(client, &Method::GET, &Uri::from_static(uri), Version::HTTP_2);
        entry.time = UnixMillis(1_767_323_045_007);
        entry.duration = Duration::from_micros(1234);
        entry
    }

    fn line(format: LogFormat, entry: &Entry) -> String {
        let mut out = Vec::new();
        append(&mut out, format, entry);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_to_a_cluster_is_described_in_its_terms() {
        let mut entry = entry("/api/v1/namespaces/a/pods/web/exec?command=secret");
        let info = RequestInfo::of(&Method::GET, "/api/v1/namespaces/a/pods/web/exec", None);
        entry.verb = Some(info.verb);
        entry.object = Some(Object::of(&info));
        entry.cluster = Some(Arc::from("local"));
        entry.user = Some(Username::try_from("alice smith").unwrap());
        entry.impersonated_user = Some(Username::try_from("bob").unwrap());
        entry.token = Some(TokenName::try_from("token-bcdfg").unwrap());
        entry.code = Some(StatusCode::SWITCHING_PROTOCOLS);
        (entry.bytes_received, entry.bytes_sent, entry.upgraded) = (12, 34, true);
        assert_eq!(
            line(LogFormat::Json, &entry),
            concat!(
                r#"{"time":"2026-01-02T03:04:05.007Z","client":"192.0.2.7:4711","method":"GET","verb":"get","#,
                r#""cluster":"local","resource":"pods","subresource":"exec","namespace":"a","name":"web","#,
                r#""protocol":"HTTP/2","user":"alice smith","impersonated_user":"bob","token":"token-bcdfg","code":101,"#,
                r#""bytes_received":12,"bytes_sent":34,"duration_ms":1.234,"upgraded":true}"#,
                "\n"
            )
        );
        assert_eq!(
            line(LogFormat::Text, &entry),
            concat!(
                "time=2026-01-02T03:04:05.007Z client=192.0.2.7:4711 method=GET verb=get cluster=local ",
                "resource=pods subresource=exec namespace=a name=web protocol=HTTP/2 user=\"alice smith\" ",
                "impersonated_user=bob token=token-bcdfg code=101 bytes_received=12 bytes_sent=34 duration_ms=1.234 upgraded=true\n"
            )
        );
    }

    #[test]
    fn a_query_is_never_written() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = line(format, &entry("/v3/tokens?token=hunter2"));
            assert!(line.contains("/v3/tokens") && !line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn a_client_can_neither_end_a_line_nor_add_a_field() {
        let mut entry = entry("/");
        entry.path = "/a\n\"b\" code=200\\\u{1b}[2J\u{9b}\u{2028}ä\u{7f}".into();
        let json = line(LogFormat::Json, &entry);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["path"], *entry.path);
        assert_eq!(parsed.get("code"), None);
        for text in [json, line(LogFormat::Text, &entry)] {
            let text = text.strip_suffix('\n').unwrap();
            assert!(
                !text.contains(|character: char| character.is_control() || character == '\u{2028}'),
                "{text:?}"
            );
            assert!(text.contains(r#""/a\n\"b\" code=200\\\u001b[2J\u009b\u2028ä\u007f""#), "{text}");
        }
    }
}
