//! HTTP/2 frame by frame, for header blocks that no library would send. Field names and values go out as literals,
//! without compression, exactly as given.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::super::message::{Broken, Reader};
use super::super::within;
use super::Endpoint;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One TLS connection with HTTP/2 agreed and prefaced.
pub(crate) struct RawHttp2 {
    reader: Reader<TlsStream<TcpStream>>,
}

/// A frame as it arrived.
#[derive(Debug)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// What became of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered(u16),
    /// `RST_STREAM` with this code.
    Reset(u32),
    /// GOAWAY with this code, without an answer.
    GoneAway(u32),
    Closed,
}

impl RawHttp2 {
    pub(crate) async fn connect(endpoint: &Endpoint) -> Self {
        let mut client = Self { reader: Reader::new(endpoint.connect("h2").await) };
        client.send_bytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.send(SETTINGS, 0, 0, &[]).await;
        client
    }

    /// Sends a request's head of exactly these fields, pseudo-headers included.
    pub(crate) async fn headers(&mut self, stream: u32, fields: &[(&[u8], &[u8])], end_stream: bool) {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            literal(&mut block, name);
            literal(&mut block, value);
        }
        let flags = END_HEADERS | if end_stream { END_STREAM } else { 0 };
        self.send(HEADERS, flags, stream, &block).await;
    }

    /// Sends a part of a body.
    pub(crate) async fn data(&mut self, stream: u32, bytes: &[u8], end_stream: bool) {
        self.send(DATA, if end_stream { END_STREAM } else { 0 }, stream, bytes).await;
    }

    /// What becomes of `stream`.
    pub(crate) async fn outcome(&mut self, stream: u32) -> Outcome {
        within("the outcome of a stream", async {
            loop {
                let Ok(frame) = self.frame().await else { return Outcome::Closed };
                match frame.kind {
                    HEADERS if frame.stream == stream => return Outcome::Answered(status(&frame.payload)),
                    RST_STREAM if frame.stream == stream => return Outcome::Reset(number(&frame.payload)),
                    GOAWAY if number(&frame.payload) < stream => {
                        return Outcome::GoneAway(number(&frame.payload[4..]));
                    }
                    _ => {}
                }
            }
        })
        .await
    }

    /// The next frame. SETTINGS and PING are acknowledged, as they have to be.
    async fn frame(&mut self) -> Result<Frame, Broken> {
        let head = self.reader.exactly(9).await.map_err(|(_, broken)| broken)?;
        let length = number(&[0, head[0], head[1], head[2]]) as usize;
        let payload = self.reader.exactly(length).await.map_err(|(_, broken)| broken)?;
        match (head[3], head[4] & ACK) {
            (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, &[]).await,
            (PING, 0) => self.send(PING, ACK, 0, &payload).await,
            _ => {}
        }
        Ok(Frame { kind: head[3], stream: number(&head[5..]), payload })
    }

    /// Waits for the end of the connection.
    pub(crate) async fn expect_close(&mut self) {
        within("the gate to close", async { while self.frame().await.is_ok() {} }).await;
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = length[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        self.send_bytes(&bytes).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.reader.stream.write_all(bytes).await;
        let _ = self.reader.stream.flush().await;
    }
}

/// A string literal without Huffman coding (RFC 7541, 5.2).
fn literal(block: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes.len();
    if rest < 127 {
        block.push(u8::try_from(rest).unwrap());
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend(bytes);
}

/// The `:status` that a header block begins with; 0 if it is coded in a way that this client does not read.
fn status(block: &[u8]) -> u16 {
    match block {
        // A table size update may come first (RFC 7541, 6.3).
        [update, rest @ ..] if update & 0xe0 == 0x20 => status(rest),
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        // A literal whose name is one of the static `:status` entries.
        [0x48..=0x4e | 0x08..=0x0e, length, value @ ..] if length & 0x80 == 0 => {
            let digits = value.get(..usize::from(*length)).unwrap_or_default();
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
        }
        [0x48..=0x4e | 0x08..=0x0e, length, value @ ..] => {
            huffman_digits(value.get(..usize::from(length & 0x7f)).unwrap_or_default())
        }
        _ => 0,
    }
}

/// Three digits in Huffman code: 0 to 2 have five bits, 3 to 9 six, counting up from 25.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let take = |from: usize, count: usize| {
        bits.get(from..from + count).map(|bits| bits.iter().fold(0u16, |sum, bit| sum << 1 | u16::from(*bit)))
    };
    let (mut position, mut number) = (0, 0);
    for _ in 0..3 {
        let (digit, width) = match (take(position, 5), take(position, 6)) {
            (Some(digit @ 0..=2), _) => (digit, 5),
            (_, Some(code @ 25..=31)) => (code - 22, 6),
            _ => return 0,
        };
        position += width;
        number = number * 10 + digit;
    }
    number
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}
