//! What the stub answers.

use std::pin::Pin;

use super::super::message::Lines;
use super::{RawConnection, RawStream, Seen};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How a request is answered.
pub(crate) enum Answer {
    /// With a response, once the request's body is there.
    Reply(Reply),
    /// With the response that the test makes of the request once its body is there.
    Considered(Box<dyn FnOnce(&Seen) -> Reply + Send>),
    /// HTTP/1: the test takes the connection over right after the request's head.
    Http1(Box<dyn FnOnce(RawConnection) -> Boxed + Send>),
    /// HTTP/2: the test takes the stream over right after the request's head.
    Http2(Box<dyn FnOnce(RawStream) -> Boxed + Send>),
    /// Not at all; the connection stays.
    Silence,
}

/// A response, the same over HTTP/1 and HTTP/2.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) lines: Lines,
    pub(crate) body: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) trailers: Lines,
    pub(crate) cut: Option<Cut>,
}

/// How HTTP/1 says where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length,
    Chunked,
    /// Neither; the end of the connection ends it.
    Close,
}

/// How the response ends before its end, after that many bytes of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The connection is dropped, without a word of TLS.
    Connection(usize),
    /// HTTP/1: TLS is closed in order. HTTP/2: the stream is reset.
    Orderly(usize),
}

impl Reply {
    /// A response with this status and body, and no header but those that framing needs.
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            lines: Vec::new(),
            body: body.into(),
            framing: Framing::Length,
            trailers: Vec::new(),
            cut: None,
        }
    }

    /// A response of JSON.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::new(status, body).header("content-type", "application/json")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn cut(mut self, cut: Cut) -> Self {
        self.cut = Some(cut);
        self
    }

    /// As much of the body as is sent.
    pub(super) fn sent_body(&self) -> &[u8] {
        match self.cut {
            None => &self.body,
            Some(Cut::Connection(length) | Cut::Orderly(length)) => &self.body[..length.min(self.body.len())],
        }
    }
}

impl Answer {
    /// `consider` makes the response once the request's body is there.
    pub(crate) fn considered(consider: impl FnOnce(&Seen) -> Reply + Send + 'static) -> Self {
        Self::Considered(Box::new(consider))
    }

    /// HTTP/1: `handler` gets the connection right after the request's head.
    pub(crate) fn http1<F: Future<Output = ()> + Send + 'static>(
        handler: impl FnOnce(RawConnection) -> F + Send + 'static,
    ) -> Self {
        Self::Http1(Box::new(move |connection| Box::pin(handler(connection))))
    }

    /// HTTP/2: `handler` gets the stream right after the request's head.
    pub(crate) fn http2<F: Future<Output = ()> + Send + 'static>(
        handler: impl FnOnce(RawStream) -> F + Send + 'static,
    ) -> Self {
        Self::Http2(Box::new(move |stream| Box::pin(handler(stream))))
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}
