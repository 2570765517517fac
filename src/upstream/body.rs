//! Bodies on their way through: never buffered, each frame as it comes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::TransportError;
use super::stream::Received;
use super::targets::Lease;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A client's body on its way upstream: its data, without trailers. The Kubernetes API has no use for request
/// trailers, and one named `impersonate-user` would arrive behind our back.
pub struct RequestBody {
    /// `None` for a request without a body, or when it has passed. Boxed, as requests are moved often and few have one.
    passing: Option<Box<Passing>>,
}

struct Passing {
    incoming: Incoming,
    idle: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    received: Arc<AtomicU64>,
}

/// A cluster's answer on its way back. Holds its place on the upstream connection until it ends or is dropped.
pub struct ResponseBody {
    received: Either,
    lease: Option<Lease>,
}

/// A body by the protocol that it comes in.
pub(super) enum Either {
    Http1(Incoming),
    Http2(Received),
}

impl RequestBody {
    /// No body at all.
    pub fn empty() -> Self {
        Self { passing: None }
    }

    /// The client's body, and the count of its bytes as they pass. It fails when the client sends nothing for `idle`.
    pub fn of(incoming: Incoming, idle: Duration) -> (Self, Option<Arc<AtomicU64>>) {
        if incoming.is_end_stream() {
            return (Self::empty(), None);
        }
        let received = Arc::new(AtomicU64::new(0));
        let passing = Passing { incoming, idle, deadline: None, received: Arc::clone(&received) };
        (Self { passing: Some(Box::new(passing)) }, Some(received))
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.passing.is_none()
    }
}

impl Passing {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            return self.poll_deadline(cx).map(|error| Some(Err(error.into())));
        };
        if let Some(deadline) = &mut self.deadline {
            deadline.as_mut().reset(Instant::now() + self.idle);
        }
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.received.fetch_add(data.len() as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    /// Whether the client has been silent for too long. The timer exists only while we wait.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let idle = self.idle;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client stopped sending its body"))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(passing) = &mut self.passing else { return Poll::Ready(None) };
        match ready!(passing.poll_frame(cx)) {
            Some(Ok(frame)) if frame.is_data() => Poll::Ready(Some(Ok(frame))),
            // Trailers are the last frame there is.
            Some(Ok(_)) | None => {
                self.passing = None;
                Poll::Ready(None)
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.passing.as_ref().is_none_or(|passing| passing.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.passing.as_ref().map_or_else(|| SizeHint::with_exact(0), |passing| passing.incoming.size_hint())
    }
}

impl ResponseBody {
    pub(super) fn new(received: Either, lease: Lease) -> Self {
        let mut body = Self { received, lease: Some(lease) };
        if body.is_end_stream() {
            body.finish();
        }
        body
    }

    /// The body was read to its end: an HTTP/1.1 connection may serve the next request.
    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TransportError>>> {
        let frame = match &mut self.received {
            Either::Http1(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(Into::into))
            }
            Either::Http2(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(Into::into))
            }
        };
        if let (Some(Ok(_)), Some(lease)) = (&frame, &self.lease) {
            lease.note_heard();
        }
        if frame.is_none() || (matches!(frame, Some(Ok(_))) && self.is_end_stream()) {
            self.finish();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.received {
            Either::Http1(body) => body.is_end_stream(),
            Either::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.received {
            Either::Http1(body) => body.size_hint(),
            Either::Http2(body) => body.size_hint(),
        }
    }
}
