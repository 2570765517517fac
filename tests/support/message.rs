//! HTTP/1 messages as bytes: heads taken apart without forgiving anything, bodies by both framings. Written here, and
//! not taken from a library, because what libraries forgive is what these tests are about.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Header lines in the order and spelling they had on the wire.
pub(crate) type Lines = Vec<(String, String)>;

/// The first line of a head and the lines below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) first_line: String,
    pub(crate) lines: Lines,
}

/// Bytes of a connection, read as far as asked for.
pub(crate) struct Reader<S> {
    pub(crate) stream: S,
    /// Read from the stream but not yet asked for.
    pub(crate) buffer: Vec<u8>,
    /// Everything that was ever read.
    pub(crate) log: Vec<u8>,
}

/// Why a message ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The stream ended first, with a `close_notify` of TLS.
    Closed,
    /// The stream failed: reset, or closed without `close_notify`.
    Failed(String),
    /// The bytes are no HTTP.
    Malformed(String),
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), log: Vec::new() }
    }

    /// The next head; `None` when the stream ends before its first byte.
    pub(crate) async fn head(&mut self) -> Result<Option<Head>, Broken> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return parse_head(&head[..end]).map(Some);
            }
            match self.fill().await {
                Err(_) if self.buffer.is_empty() => return Ok(None),
                outcome => outcome?,
            }
        }
    }

    /// The next `length` bytes.
    pub(crate) async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, (Vec<u8>, Broken)> {
        while self.buffer.len() < length {
            if let Err(broken) = self.fill().await {
                return Err((std::mem::take(&mut self.buffer), broken));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// Everything up to the end of the stream, and how it ended.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, Broken) {
        loop {
            if let Err(broken) = self.fill().await {
                return (std::mem::take(&mut self.buffer), broken);
            }
        }
    }

    /// Whatever comes next; empty at the end of the stream, however it ends.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        if self.buffer.is_empty() {
            let _ = self.fill().await;
        }
        std::mem::take(&mut self.buffer)
    }

    /// A chunked body and its trailers. What arrived of a broken one comes with the error.
    pub(crate) async fn chunked(&mut self) -> Result<(Vec<u8>, Lines), (Vec<u8>, Broken)> {
        let mut body = Vec::new();
        loop {
            let line = match self.line().await {
                Ok(line) => line,
                Err(broken) => return Err((body, broken)),
            };
            let size = line.split(';').next().unwrap_or_default().trim();
            let Ok(size) = usize::from_str_radix(size, 16) else {
                return Err((body, Broken::Malformed(format!("chunk size {line:?}"))));
            };
            if size == 0 {
                return self.trailers().await.map(|trailers| (body.clone(), trailers)).map_err(|e| (body, e));
            }
            match self.exactly(size).await {
                Ok(chunk) => body.extend(chunk),
                Err((part, broken)) => {
                    body.extend(part);
                    return Err((body, broken));
                }
            }
            match self.line().await {
                Ok(line) if line.is_empty() => {}
                Ok(line) => return Err((body, Broken::Malformed(format!("{line:?} after a chunk")))),
                Err(broken) => return Err((body, broken)),
            }
        }
    }

    async fn trailers(&mut self) -> Result<Lines, Broken> {
        let mut trailers = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.push(field(line.as_bytes())?);
        }
    }

    async fn line(&mut self) -> Result<String, Broken> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(text(&line[..end]));
            }
            self.fill().await?;
        }
    }

    /// Reads once.
    pub(crate) async fn fill(&mut self) -> Result<(), Broken> {
        let before = self.buffer.len();
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Broken::Closed),
            Ok(_) => {
                self.log.extend_from_slice(&self.buffer[before..]);
                Ok(())
            }
            Err(error) => Err(Broken::Failed(error.to_string())),
        }
    }
}

/// The value of the first line named `name`, in any case.
pub(crate) fn value<'l>(lines: &'l Lines, name: &str) -> Option<&'l str> {
    lines.iter().find(|(line, _)| line.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Bytes as text that shows every byte: UTF-8 as it is, anything else escaped.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.escape_ascii().to_string())
}

/// Where `needle` begins in `bytes`.
fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn parse_head(bytes: &[u8]) -> Result<Head, Broken> {
    let mut lines = Vec::new();
    let mut rest = bytes;
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    let mut lines = lines.into_iter();
    let first_line = text(lines.next().unwrap_or_default());
    Ok(Head { first_line, lines: lines.map(field).collect::<Result<_, _>>()? })
}

fn field(line: &[u8]) -> Result<(String, String), Broken> {
    let malformed = || Broken::Malformed(format!("header line {:?}", text(line)));
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(malformed());
    }
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
        return Err(malformed());
    }
    // Exactly the one space a sender writes: any other white space is part of the value and shows in a comparison.
    Ok((text(name), text(value.strip_prefix(b" ").unwrap_or(value))))
}
