//! The event of type `ERROR` by which a watch says why it ends, as the apiserver writes it in JSON and in protobuf.

use serde::Serialize;

use super::Status;

impl Status {
    /// The event as a line of JSON.
    pub fn to_json_event(&self) -> Vec<u8> {
        // Texts and numbers always serialise.
        let mut event =
            serde_json::to_vec(&Event { r#type: "ERROR", object: self.body() }).unwrap_or_default();
        event.push(b'\n');
        event
    }

    /// The event in `application/vnd.kubernetes.protobuf;stream=watch`: four bytes of length and a `WatchEvent`, whose
    /// object is in the envelope of every object in protobuf (`runtime.Unknown` behind a magic word).
    pub fn to_protobuf_event(&self) -> Vec<u8> {
        let mut status = Message::default();
        status.bytes(1, &[]).text(2, "Failure").text(3, self.message()).text(4, self.reason().as_str());
        status.number(6, self.code().as_u16().into());
        let mut kind = Message::default();
        kind.text(1, "v1").text(2, "Status");
        let mut envelope = Message::default();
        envelope.bytes(1, &kind.0).bytes(2, &status.0).text(3, "").text(4, "");
        let object = [MAGIC, &envelope.0].concat();
        let mut extension = Message::default();
        extension.bytes(1, &object);
        let mut event = Message::default();
        event.text(1, "ERROR").bytes(2, &extension.0);
        let length = u32::try_from(event.0.len()).unwrap_or(u32::MAX);
        [&length.to_be_bytes()[..], &event.0].concat()
    }
}

#[derive(Serialize)]
struct Event<T> {
    r#type: &'static str,
    object: T,
}

/// A protobuf message as it is written, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn text(&mut self, field: u8, text: &str) -> &mut Self {
        self.bytes(field, text.as_bytes())
    }

    fn bytes(&mut self, field: u8, bytes: &[u8]) -> &mut Self {
        self.0.push(field << 3 | LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn number(&mut self, field: u8, number: u64) -> &mut Self {
        self.0.push(field << 3);
        self.varint(number);
        self
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push((number & 0x7f) as u8);
    }
}

/// What every object in protobuf begins with.
const MAGIC: &[u8] = b"k8s\0";
const LENGTH_DELIMITED: u8 = 2;

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn status() -> Status {
        Status::failure(StatusCode::UNAUTHORIZED, "token token-a was deleted")
    }

    #[test]
    fn a_json_event_is_one_line() {
        assert_eq!(
            String::from_utf8(status().to_json_event()).unwrap(),
            concat!(
                r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","#,
                r#""message":"token token-a was deleted","reason":"Unauthorized","code":401}}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_protobuf_event_is_as_long_as_it_says_and_has_every_part_in_its_place() {
        let event = status().to_protobuf_event();
        let (length, event) = event.split_at(4);
        assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, event.len());
        let status =
            concat!("\n\0\x12\x07Failure\x1a\x19token token-a was deleted\"\x0cUnauthorized", "\x30");
        let object = [
            &b"k8s\0\n\x0c\n\x02v1\x12\x06Status\x12\x37"[..],
            status.as_bytes(),
            &[0x91, 0x03],
            b"\x1a\0\"\0",
        ]
        .concat();
        assert_eq!(&event[..11], b"\n\x05ERROR\x12\x51\n\x4f");
        assert_eq!(&event[11..], object);
    }

    #[test]
    fn a_long_message_has_a_length_of_several_bytes() {
        let long = Status::failure(StatusCode::UNAUTHORIZED, "x".repeat(300)).to_protobuf_event();
        assert!(long.windows(3).any(|bytes| bytes == [0x1a, 0xac, 0x02]));
    }
}
