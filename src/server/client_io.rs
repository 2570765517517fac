//! A client's connection with the checks and deadlines that the HTTP library does not have.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::message::Inspector;
use crate::proxy::MessageCheck;

/// A client's HTTP/2 preface and the header of the SETTINGS frame that has to follow it (RFC 9113, 3.4).
const HTTP2_OPENING_BYTES: usize = 24 + 9;

/// Reads from `T` and keeps an eye on it.
#[derive(Debug)]
pub(super) struct ClientIo<T> {
    inner: T,
    watch: Watch,
    deadline: Option<Pin<Box<Sleep>>>,
    header_timeout: Duration,
    check: Arc<MessageCheck>,
}

#[derive(Debug)]
enum Watch {
    /// Waiting for the client's first bytes; so many are to come.
    Opening(usize, Next),
    Http1(Inspector),
    /// Nothing to check: HTTP/2, whose library is strict and pings, or a tunnel.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
enum Next {
    Http1 { max_head: usize },
    Http2,
}

impl<T> ClientIo<T> {
    /// An HTTP/1 connection: first byte and head have deadlines, heads of more than `max_head` bytes are refused.
    pub(super) fn http1(inner: T, max_head: usize, first_byte: Duration, header_timeout: Duration) -> Self {
        Self::new(inner, Watch::Opening(1, Next::Http1 { max_head }), first_byte, header_timeout)
    }

    /// An HTTP/2 connection: the client's opening has a deadline.
    pub(super) fn http2(inner: T, first_byte: Duration) -> Self {
        Self::new(inner, Watch::Opening(HTTP2_OPENING_BYTES, Next::Http2), first_byte, first_byte)
    }

    fn new(inner: T, watch: Watch, first_byte: Duration, header_timeout: Duration) -> Self {
        let deadline = Some(Box::pin(tokio::time::sleep(first_byte)));
        Self { inner, watch, deadline, header_timeout, check: Arc::default() }
    }

    /// What the gate has to know of this connection.
    pub(super) fn check(&self) -> Arc<MessageCheck> {
        Arc::clone(&self.check)
    }

    fn saw(&mut self, bytes: &[u8]) {
        if let Watch::Opening(left, next) = &mut self.watch {
            *left = left.saturating_sub(bytes.len());
            if *left > 0 {
                return;
            }
            self.deadline = None;
            self.watch = match *next {
                Next::Http1 { max_head } => Watch::Http1(Inspector::new(max_head)),
                Next::Http2 => Watch::Nothing,
            };
        }
        let Watch::Http1(inspector) = &mut self.watch else { return };
        if let Some(violation) = inspector.feed(bytes) {
            self.check.refuse_from(violation.message, violation.reason);
        }
        if !inspector.is_within_head() {
            self.deadline = None;
        } else if self.deadline.is_none() {
            self.deadline = Some(Box::pin(tokio::time::sleep(self.header_timeout)));
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ClientIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.check.is_tunnel() {
            return Pin::new(&mut this.inner).poll_read(cx, buffer);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.inner).poll_read(cx, buffer) {
            Poll::Ready(Ok(())) => {
                this.saw(buffer.filled().get(before..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let Some(deadline) = &mut this.deadline else { return Poll::Pending };
                ready!(deadline.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client was too slow")))
            }
        }
    }
}

/// Writes pass as they are, vectored ones too: a wrapper that forgets those makes the library copy.
impl<T: AsyncWrite + Unpin> AsyncWrite for ClientIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
