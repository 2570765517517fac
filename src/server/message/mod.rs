//! Strict framing of HTTP/1 messages, decided on the bytes before the HTTP library sees them.
//!
//! A lenient parser repairs what it can: it drops a `Content-Length` beside `Transfer-Encoding`, collapses a repeated
//! one, takes a bare LF for a line's end. Each repair is a guess at which of two messages was meant, and a hop behind
//! us may guess otherwise (request smuggling). [`Inspector`] follows the same byte stream and marks the first message
//! that is not exactly one message by RFC 9112; the gate answers that one with 400 and closes.

#[cfg(test)]
mod tests;

use memchr::{memchr, memchr_iter};

/// Longest line of a chunk's size with its extensions.
const MAX_CHUNK_LINE: usize = 4096;
/// Longest chunk size taken, in hexadecimal digits: no chunk is larger than 2^60 bytes.
const MAX_CHUNK_DIGITS: usize = 15;

/// Follows one connection's bytes from the client.
#[derive(Debug)]
pub(super) struct Inspector {
    state: State,
    /// The current line, and in a head all lines before it.
    buffer: Vec<u8>,
    line_start: usize,
    max_head: usize,
    heads: u64,
}

/// The first message that is not exactly one, counted from 0, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) message: u64,
    pub(super) reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    /// Bytes of a body, or of a chunk and the CRLF behind it, that are still to come.
    Body(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// After a violation nothing that follows can be told apart.
    Lost,
}

/// How a message's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
}

impl Inspector {
    /// Follows messages whose head has at most `max_head` bytes.
    pub(super) fn new(max_head: usize) -> Self {
        Self { state: State::Head, buffer: Vec::new(), line_start: 0, max_head, heads: 0 }
    }

    /// Whether a message's head has begun and is not complete.
    pub(super) fn is_within_head(&self) -> bool {
        self.state == State::Head && !self.buffer.is_empty()
    }

    /// Follows `bytes`; the first violation is reported once.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Option<Violation> {
        while !bytes.is_empty() {
            let (taken, outcome) = self.step(bytes);
            if let Err(reason) = outcome {
                self.state = State::Lost;
                // A message whose head is complete is with the library already, which ends it on a body that is not
                // well-formed; the mark is on the next one.
                return Some(Violation { message: self.heads, reason });
            }
            bytes = bytes.get(taken..).unwrap_or_default();
        }
        None
    }

    fn step(&mut self, bytes: &[u8]) -> (usize, Result<(), &'static str>) {
        match self.state {
            State::Lost => (bytes.len(), Ok(())),
            State::Body(left) => {
                let taken = take(bytes, left);
                self.state =
                    if taken as u64 == left { State::Head } else { State::Body(left - taken as u64) };
                (taken, Ok(()))
            }
            State::Chunk(left) => {
                let taken = take(bytes, left);
                self.state =
                    if taken as u64 == left { State::ChunkEnd } else { State::Chunk(left - taken as u64) };
                (taken, Ok(()))
            }
            State::Head | State::ChunkSize | State::ChunkEnd | State::Trailers => self.line(bytes),
        }
    }

    /// Takes bytes up to the end of a line and, when it is there, acts on the line.
    fn line(&mut self, bytes: &[u8]) -> (usize, Result<(), &'static str>) {
        let end = memchr(b'\n', bytes);
        let taken = end.map_or(bytes.len(), |end| end + 1);
        self.buffer.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        let limit = if self.state == State::ChunkSize { MAX_CHUNK_LINE } else { self.max_head };
        if self.buffer.len() > limit {
            return (taken, Err("line or header too long"));
        }
        if end.is_none() {
            return (taken, Ok(()));
        }
        if !self.buffer.ends_with(b"\r\n") {
            return (taken, Err("line ends with a bare LF"));
        }
        (taken, self.complete_line())
    }

    fn complete_line(&mut self) -> Result<(), &'static str> {
        let end = self.buffer.len() - 2;
        match self.state {
            State::Head if self.line_start == end => self.complete_head(),
            State::Head => {
                self.line_start = self.buffer.len();
                Ok(())
            }
            State::ChunkSize => {
                let size = chunk_size(self.buffer.get(..end).unwrap_or_default())?;
                self.next(if size == 0 { State::Trailers } else { State::Chunk(size) });
                Ok(())
            }
            State::ChunkEnd => {
                let empty = end == 0;
                self.next(State::ChunkSize);
                if empty { Ok(()) } else { Err("chunk is longer than its size") }
            }
            State::Trailers => {
                self.next(if end == 0 { State::Head } else { State::Trailers });
                Ok(())
            }
            State::Body(_) | State::Chunk(_) | State::Lost => Ok(()),
        }
    }

    /// An empty line: the head is complete, unless nothing came before it. Empty lines between messages are let pass
    /// (RFC 9112, 2.2).
    fn complete_head(&mut self) -> Result<(), &'static str> {
        if self.line_start == 0 {
            self.next(State::Head);
            return Ok(());
        }
        let framing = check_head(self.buffer.get(..self.line_start).unwrap_or_default())?;
        self.heads += 1;
        self.next(match framing {
            Framing::Length(0) => State::Head,
            Framing::Length(length) => State::Body(length),
            Framing::Chunked => State::ChunkSize,
        });
        Ok(())
    }

    fn next(&mut self, state: State) {
        self.state = state;
        self.buffer.clear();
        self.line_start = 0;
        // A connection that had one large head must not keep its memory for good.
        if self.buffer.capacity() > 16 << 10 {
            self.buffer = Vec::new();
        }
    }
}

/// Checks a head, each line with its CRLF, and says how the body behind it is delimited.
fn check_head(head: &[u8]) -> Result<Framing, &'static str> {
    let mut start = 0;
    let ends = memchr_iter(b'\n', head).chain([head.len()]);
    let mut lines = ends.map(|end| {
        let line = head.get(start..end).unwrap_or_default();
        start = end + 1;
        line.strip_suffix(b"\r").unwrap_or(line)
    });
    let http_1_0 = check_request_line(lines.next().unwrap_or_default())?;
    let (mut hosts, mut length, mut chunked) = (0, None, false);
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = split_field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let digits = content_length(value).ok_or("Content-Length is not a plain number")?;
            if length.replace(digits).is_some() {
                return Err("Content-Length is repeated");
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if chunked || http_1_0 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("Transfer-Encoding is not exactly chunked");
            }
            chunked = true;
        }
    }
    if hosts > 1 || (hosts == 0 && !http_1_0) {
        return Err("not exactly one Host");
    }
    match (chunked, length) {
        (true, Some(_)) => Err("both Content-Length and Transfer-Encoding"),
        (true, None) => Ok(Framing::Chunked),
        (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// Checks `method target version`; true for HTTP/1.0.
fn check_request_line(line: &[u8]) -> Result<bool, &'static str> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(_method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("request line is not method, target and version");
    };
    // A fragment is not sent (RFC 9110, 4.2.5) and would be dropped; the rest has no place in a URI unescaped and some
    // server takes a backslash for a slash.
    if !each(target, |byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\')) {
        return Err("request target has a character that must be escaped");
    }
    match version {
        b"HTTP/1.1" => Ok(false),
        b"HTTP/1.0" => Ok(true),
        _ => Err("HTTP version is neither 1.0 nor 1.1"),
    }
}

fn split_field(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let colon = memchr(b':', line).ok_or("header line has no colon")?;
    let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
    if name.is_empty() || !each(name, is_token) {
        return Err("header name is not a token");
    }
    if !each(value, |byte| !byte.is_ascii_control() || byte == b'\t') {
        return Err("header value has a control character");
    }
    Ok((name, trim(value)))
}

/// Whether all are good. All are looked at, whatever comes before, which is how many are looked at at once.
fn each(bytes: &[u8], is_good: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, byte| all & is_good(*byte))
}

fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

/// Which bytes a token may have (RFC 9110, 5.6.2).
#[expect(clippy::indexing_slicing, reason = "a byte is within 256, and it is the compiler that indexes")]
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut tokens: &[u8] = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    while let [byte, rest @ ..] = tokens {
        table[*byte as usize] = true;
        tokens = rest;
    }
    table
};

/// Spaces and tabs alone are optional white space (RFC 9110, 5.6.3).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Digits without a leading zero, so that there is one way to write each length.
fn content_length(value: &[u8]) -> Option<u64> {
    let canonical = value == b"0" || (value.first() != Some(&b'0') && value.iter().all(u8::is_ascii_digit));
    if canonical { std::str::from_utf8(value).ok()?.parse().ok() } else { None }
}

fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits.min(line.len()));
    if !(1..=MAX_CHUNK_DIGITS).contains(&digits) || !matches!(extension.first(), None | Some(b';')) {
        return Err("chunk size is not a plain hexadecimal number");
    }
    if extension.iter().any(u8::is_ascii_control) {
        return Err("chunk extension has a control character");
    }
    let size = std::str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
    size.ok_or("chunk size is not a plain hexadecimal number")
}

fn take(bytes: &[u8], left: u64) -> usize {
    usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()))
}
