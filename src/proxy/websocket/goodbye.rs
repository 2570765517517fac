//! What the client of a WebSocket is told before it is closed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::StatusCode;

use super::frames::Boundary;
use super::{CLOSE, FINAL, LENGTH_IN_TWO};
use crate::kube::Status;

/// A last word, in the frames of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::proxy) struct Goodbye {
    at_message: Bytes,
    at_fragment: Bytes,
}

impl Goodbye {
    /// Why a client is sent away; without a code nothing is wrong with the client.
    ///
    /// client-go shows the Status of the error channel only if a normal close follows, which is also how an apiserver ends a
    /// command that failed. Who has no such channel, or is in the middle of a message, gets the reason in the close frame.
    pub(in crate::proxy) fn new(
        channel: Option<ErrorChannel>,
        code: Option<StatusCode>,
        reason: &str,
    ) -> Self {
        let close_code = if code.is_some() { POLICY_VIOLATION } else { GOING_AWAY };
        let at_fragment = Bytes::from(close(close_code, reason));
        let at_message = match (channel, code) {
            (Some(channel), Some(code)) => {
                let mut bytes = channel.message(&Status::failure(code, reason.to_owned()));
                bytes.extend(close(NORMAL, ""));
                Bytes::from(bytes)
            }
            _ => at_fragment.clone(),
        };
        Self { at_message, at_fragment }
    }

    /// What fits where the server's frames are.
    pub(in crate::proxy) fn at(&self, boundary: Boundary) -> Bytes {
        match boundary {
            Boundary::Message => self.at_message.clone(),
            Boundary::Fragment => self.at_fragment.clone(),
            Boundary::Closed => Bytes::new(),
        }
    }
}

/// On which a command in a container tells how it ended, and in what form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum ErrorChannel {
    Binary,
    Base64,
}

impl ErrorChannel {
    /// Of the subprotocols whose error channel carries a Status; in older ones it is a text that clients don't expect.
    pub(in crate::proxy) fn of(subprotocol: &[u8]) -> Option<Self> {
        match subprotocol {
            b"v4.channel.k8s.io" | b"v5.channel.k8s.io" => Some(Self::Binary),
            b"v4.base64.channel.k8s.io" => Some(Self::Base64),
            _ => None,
        }
    }

    /// The message with `status`.
    fn message(self, status: &Status) -> Vec<u8> {
        let json = status.to_json();
        match self {
            Self::Binary => frame(BINARY, &[&[NUMBER], json.as_slice()].concat()),
            Self::Base64 => frame(TEXT, &[&[b'0' + NUMBER], STANDARD.encode(json).as_bytes()].concat()),
        }
    }
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    let reason = reason.get(..reason.floor_char_boundary(MAX_REASON_BYTES)).unwrap_or_default();
    frame(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// A frame that is a whole message of a server.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![FINAL | opcode];
    match u8::try_from(payload.len()) {
        Ok(length) if length < LENGTH_IN_TWO => bytes.push(length),
        _ => {
            // A reason is never near 64 KiB.
            let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            bytes.push(LENGTH_IN_TWO);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// Of the error channel.
const NUMBER: u8 = 3;
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;
const POLICY_VIOLATION: u16 = 1008;
/// A control frame's payload has at most 125 bytes, of which the code takes two.
const MAX_REASON_BYTES: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    const REASON: &str = "token token-abcde was deleted";
    const STATUS: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"token token-abcde was deleted","reason":"Unauthorized","code":401}"#;

    fn goodbye(subprotocol: &str, code: Option<StatusCode>) -> Goodbye {
        Goodbye::new(ErrorChannel::of(subprotocol.as_bytes()), code, REASON)
    }

    fn policy_violation() -> Vec<u8> {
        [&[0x88, 2 + 29, 0x03, 0xf0], REASON.as_bytes()].concat()
    }

    #[test]
    fn a_command_gets_its_status_on_the_error_channel_and_a_normal_close() {
        for subprotocol in ["v4.channel.k8s.io", "v5.channel.k8s.io"] {
            let goodbye = goodbye(subprotocol, Some(StatusCode::UNAUTHORIZED));
            let length = u8::try_from(STATUS.len() + 1).unwrap();
            let expected = [&[0x82, 126, 0, length, 3], STATUS.as_bytes(), &[0x88, 2, 0x03, 0xe8]].concat();
            assert_eq!(goodbye.at(Boundary::Message), expected);
            // Between the fragments of a message only control frames may come.
            assert_eq!(goodbye.at(Boundary::Fragment), policy_violation());
            assert_eq!(goodbye.at(Boundary::Closed), Bytes::new());
        }
    }

    #[test]
    fn a_status_in_base64_is_a_text() {
        let goodbye = goodbye("v4.base64.channel.k8s.io", Some(StatusCode::UNAUTHORIZED));
        let bytes = goodbye.at(Boundary::Message);
        let encoded = STANDARD.encode(STATUS);
        let length = u8::try_from(encoded.len() + 1).unwrap();
        let expected = [&[0x81, 126, 0, length, b'3'], encoded.as_bytes(), &[0x88, 2, 0x03, 0xe8]].concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn everybody_else_gets_the_reason_in_the_close_frame() {
        let others = [
            "channel.k8s.io",
            "base64.channel.k8s.io",
            "v3.channel.k8s.io",
            "SPDY/3.1+portforward.k8s.io",
            "V5.channel.k8s.io",
            "",
        ];
        for subprotocol in others {
            let goodbye = goodbye(subprotocol, Some(StatusCode::UNAUTHORIZED));
            assert_eq!(goodbye.at(Boundary::Message), policy_violation(), "{subprotocol}");
        }
    }

    #[test]
    fn who_did_nothing_wrong_is_told_that_we_go_away() {
        let goodbye = goodbye("v5.channel.k8s.io", None);
        assert_eq!(goodbye.at(Boundary::Message)[..4], [0x88, 31, 0x03, 0xe9]);
        assert_eq!(goodbye.at(Boundary::Fragment)[..4], [0x88, 31, 0x03, 0xe9]);
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let goodbye = Goodbye::new(None, None, &"ä".repeat(100));
        let bytes = goodbye.at(Boundary::Message);
        assert_eq!((bytes[1], bytes.len()), (124, 126));
        assert_eq!(std::str::from_utf8(&bytes[4..]).unwrap(), "ä".repeat(61));
    }
}
