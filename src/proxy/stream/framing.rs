//! Where the events of a watch begin and end, followed in the bytes as they pass. Nothing is copied or altered, and what
//! is inside of an event is not understood.

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{Response, StatusCode};

use crate::kube::Status;
use crate::streams::StreamKind;

/// How an answer is divided, and how it can therefore be ended before its time.
#[derive(Debug)]
pub(in crate::proxy) enum Framing {
    /// One JSON value after the other.
    Json(Json),
    /// Messages, each behind its length.
    Protobuf(Lengths),
    /// Good up to any byte: a log, or a watch in a form we can't follow, whose reader sees where it stops.
    Anywhere,
    /// A whole that must never be taken for one if a part is missing.
    Whole,
}

/// Follows JSON values.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Json {
    depth: usize,
    within: Within,
    /// Outside of brackets, behind something that is not white space: a value that is no object, or no JSON at all.
    is_astray: bool,
    /// Whether something stands on the line that is not ended.
    line_is_open: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Brackets,
    String,
    /// Behind a backslash in one.
    Escape,
}

/// Follows messages behind four bytes of length, the highest first.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Lengths {
    header: [u8; 4],
    header_read: usize,
    /// What is still to come of the message.
    left: u64,
}

impl Framing {
    /// How the answer to a request for a stream of this kind is divided, by what it says of itself.
    pub(in crate::proxy) fn of<B>(kind: StreamKind, response: &Response<B>) -> Self {
        let headers = response.headers();
        if response.status() != StatusCode::OK || headers.contains_key(CONTENT_LENGTH) {
            return Self::Whole;
        }
        match kind {
            // Compressed although we asked for the bytes as they are: a part of it can be no answer that is complete.
            _ if headers.contains_key(CONTENT_ENCODING) => Self::Whole,
            StreamKind::Log => Self::Anywhere,
            StreamKind::Watch => Self::of_watch(headers),
            _ => Self::Whole,
        }
    }

    fn of_watch(headers: &HeaderMap) -> Self {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = kind.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/json") {
            Self::Json(Json::default())
        } else if media_type.eq_ignore_ascii_case("application/vnd.kubernetes.protobuf") {
            Self::Protobuf(Lengths::default())
        } else {
            Self::Anywhere
        }
    }

    /// Follows `data`.
    pub(in crate::proxy) fn follow(&mut self, data: &[u8]) {
        match self {
            Self::Json(json) => data.iter().for_each(|byte| json.follow(*byte)),
            Self::Protobuf(lengths) => {
                let mut rest = data;
                while !rest.is_empty() {
                    rest = lengths.follow(rest);
                }
            }
            Self::Anywhere | Self::Whole => {}
        }
    }

    /// Follows `data` up to the first place where an event ends, and says how much that is. At least a byte is followed.
    pub(in crate::proxy) fn follow_to_end_of_event(&mut self, data: &[u8]) -> Option<usize> {
        match self {
            Self::Json(json) => {
                let ends = data.iter().position(|byte| {
                    json.follow(*byte);
                    json.is_between()
                })?;
                // The line's end belongs to the event before it.
                let end = ends + 1;
                if data.get(end) != Some(&b'\n') {
                    return Some(end);
                }
                json.follow(b'\n');
                Some(end + 1)
            }
            Self::Protobuf(lengths) => {
                let mut rest = data;
                while !rest.is_empty() {
                    rest = lengths.follow(rest);
                    if lengths.is_between() {
                        return Some(data.len() - rest.len());
                    }
                }
                None
            }
            Self::Anywhere => Some(data.len()),
            Self::Whole => None,
        }
    }

    /// Whether the answer may end here.
    pub(in crate::proxy) fn is_between_events(&self) -> bool {
        match self {
            Self::Json(json) => json.is_between(),
            Self::Protobuf(lengths) => lengths.is_between(),
            Self::Anywhere => true,
            Self::Whole => false,
        }
    }

    /// Whether there is any place at which the answer may end.
    pub(in crate::proxy) fn can_end_early(&self) -> bool {
        !matches!(self, Self::Whole)
    }

    /// The last event of a watch that ends with `status`; `None` where there is none to write.
    pub(in crate::proxy) fn error_event(&self, status: &Status) -> Option<Vec<u8>> {
        match self {
            Self::Json(json) => {
                // Some clients read lines and not values.
                let mut event = if json.line_is_open { vec![b'\n'] } else { Vec::new() };
                event.extend(status.to_json_event());
                Some(event)
            }
            Self::Protobuf(_) => Some(status.to_protobuf_event()),
            Self::Anywhere | Self::Whole => None,
        }
    }
}

impl Json {
    fn follow(&mut self, byte: u8) {
        self.line_is_open = byte != b'\n';
        match (&self.within, byte) {
            (Within::String, b'\\') => self.within = Within::Escape,
            (Within::String, b'"') => self.within = Within::Brackets,
            (Within::String, _) => {}
            (Within::Escape, _) | (Within::Brackets, b'"') => self.within = Within::String,
            (Within::Brackets, b'{' | b'[') => self.depth += 1,
            (Within::Brackets, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
            _ if self.depth == 0 && !byte.is_ascii_whitespace() => self.is_astray = true,
            _ => {}
        }
    }

    fn is_between(&self) -> bool {
        self.depth == 0 && self.within == Within::Brackets && !self.is_astray
    }
}

impl Lengths {
    /// Follows a header or a part of a message, and gives what comes after it.
    fn follow<'d>(&mut self, data: &'d [u8]) -> &'d [u8] {
        if self.left > 0 {
            let part = data.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= part as u64;
            return data.get(part..).unwrap_or_default();
        }
        let Some((first, rest)) = data.split_first() else { return data };
        if let Some(place) = self.header.get_mut(self.header_read) {
            *place = *first;
            self.header_read += 1;
        }
        if self.header_read == self.header.len() {
            self.header_read = 0;
            self.left = u32::from_be_bytes(self.header).into();
        }
        rest
    }

    fn is_between(&self) -> bool {
        self.left == 0 && self.header_read == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json() -> Framing {
        Framing::Json(Json::default())
    }

    fn protobuf() -> Framing {
        Framing::Protobuf(Lengths::default())
    }

    /// Every prefix after which the framing says that an event has ended.
    fn ends(mut framing: Framing, data: &[u8]) -> Vec<usize> {
        assert!(framing.is_between_events(), "nothing has begun yet");
        let is_end = |(place, byte)| {
            framing.follow(std::slice::from_ref(byte));
            framing.is_between_events().then_some(place + 1)
        };
        data.iter().enumerate().filter_map(is_end).collect()
    }

    #[test]
    fn json_values_end_with_their_brackets_whatever_is_in_their_strings() {
        assert_eq!(ends(json(), b"{}\n{\"a\":[{}]}\n"), [2, 3, 13, 14]);
        assert_eq!(ends(json(), br#"{"}":"\"}\\"}{"#), [13]);
        assert_eq!(ends(json(), b"{\n  \"a\": 1\n}"), [12], "not at the ends of its lines");
        assert_eq!(ends(json(), b"404 page not found"), [0; 0], "no events at all");
    }

    #[test]
    fn messages_end_by_their_lengths() {
        assert_eq!(ends(protobuf(), b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c\0"), [6, 10, 15]);
        assert_eq!(ends(protobuf(), b"\xff\xff\xff\xffabcdef"), [0; 0]);
    }

    #[test]
    fn an_event_takes_its_end_of_line_along() {
        let mut framing = json();
        framing.follow(br#"{"type":"ADD"#);
        assert_eq!(framing.follow_to_end_of_event(b"ED\"}\n{\"type\""), Some(5));
        let mut framing = json();
        framing.follow(b"{");
        assert_eq!(framing.follow_to_end_of_event(b"\"a\":"), None);
        assert_eq!(framing.follow_to_end_of_event(b"1}"), Some(2));
    }

    #[test]
    fn what_is_no_stream_of_events_is_a_whole() {
        let answer = |status: u16, headers: &[(&str, &str)]| {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(*name, *value);
            }
            response.body(()).unwrap()
        };
        let stream = ("content-type", "application/json;stream=watch");
        let of = |kind, status, headers: &[(&str, &str)]| Framing::of(kind, &answer(status, headers));
        assert!(matches!(of(StreamKind::Watch, 200, &[stream]), Framing::Json(_)));
        let protobuf = ("content-type", "application/vnd.kubernetes.protobuf; stream=watch");
        assert!(matches!(of(StreamKind::Watch, 200, &[protobuf]), Framing::Protobuf(_)));
        for kind in [StreamKind::Watch, StreamKind::Log] {
            assert!(
                matches!(of(kind, 200, &[stream, ("content-encoding", "gzip")]), Framing::Whole),
                "{kind:?}"
            );
        }
        assert!(matches!(of(StreamKind::Log, 200, &[("content-type", "text/plain")]), Framing::Anywhere));
        assert!(matches!(of(StreamKind::Log, 200, &[("content-length", "5")]), Framing::Whole));
        assert!(matches!(of(StreamKind::Watch, 410, &[stream]), Framing::Whole));
        assert!(matches!(of(StreamKind::Other, 200, &[stream]), Framing::Whole));
        assert!(matches!(of(StreamKind::Proxy, 200, &[]), Framing::Whole));
    }

    proptest! {
        #[test]
        fn events_are_found_however_the_bytes_are_divided(
            events in proptest::collection::vec("[a-z\"\\\\{}\\[\\]\n]{0,12}", 1..6),
            cuts in proptest::collection::vec(1..20_usize, 1..30),
            in_json in any::<bool>(),
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for event in &events {
                if in_json {
                    bytes.extend(serde_json::json!({ "object": [event] }).to_string().as_bytes());
                    bytes.push(b'\n');
                } else {
                    bytes.extend(u32::try_from(event.len()).unwrap().to_be_bytes());
                    bytes.extend(event.as_bytes());
                }
                expected.push(bytes.len());
            }
            let mut framing = if in_json { json() } else { protobuf() };
            let (mut rest, mut passed, mut found) = (&bytes[..], 0, Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let mut piece = &rest[..rest.len().min(*cut)];
                rest = &rest[piece.len()..];
                while let Some(end) = framing.follow_to_end_of_event(piece) {
                    passed += end;
                    found.push(passed);
                    piece = &piece[end..];
                    if piece.is_empty() { break; }
                }
                passed += piece.len();
            }
            // A line's end that comes by itself is an end once more.
            found.dedup_by(|later, earlier| *later == *earlier + 1 && in_json && expected.contains(later));
            let missed: Vec<_> = expected.iter().filter(|end| !found.contains(end) && !found.contains(&(**end - 1))).collect();
            prop_assert!(missed.is_empty(), "{missed:?} of {expected:?} in {found:?}");
            let invented: Vec<_> = found.iter().filter(|end| !expected.contains(end) && !expected.contains(&(**end + 1))).collect();
            prop_assert!(invented.is_empty(), "{invented:?}");
        }
    }
}
