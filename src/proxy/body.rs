//! Bodies of answers, as the HTTP library takes them from us.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::streams::Guard;
use crate::telemetry::RequestRecord;
use crate::upstream::ResponseBody;

/// Why a body broke off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer to a client.
pub enum GateBody {
    /// All there is, or nothing more.
    Full(Option<Bytes>),
    /// A cluster's answer.
    Relayed(Box<Relayed>),
    /// An answer of our own API.
    Other(Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>),
}

/// A cluster's answer on its way, frame by frame. When it has passed, or the client is gone, it is dropped and the
/// request's record with it.
pub struct Relayed {
    /// What was read of it already.
    ahead: Option<Bytes>,
    body: ResponseBody,
    record: RequestRecord,
    _stream: Option<Guard>,
}

impl GateBody {
    /// A body that is there already.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self::Full(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }

    /// A cluster's answer, `ahead` being the part of it that was read before.
    pub(super) fn relayed(
        ahead: Option<Bytes>,
        body: ResponseBody,
        record: RequestRecord,
        stream: Option<Guard>,
    ) -> Self {
        Self::Relayed(Box::new(Relayed { ahead, body, record, _stream: stream }))
    }
}

impl Relayed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match self.ahead.take() {
            Some(ahead) => Some(Ok(Frame::data(ahead))),
            None => ready!(Pin::new(&mut self.body).poll_frame(cx)),
        };
        match &frame {
            Some(Ok(frame)) => {
                self.record.add_bytes_sent(frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "the cluster broke its answer off");
                self.record.set_reason("upstream_broke_off");
            }
            None => {}
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}

impl Body for GateBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relayed(relayed) => relayed.poll_frame(cx),
            Self::Other(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Relayed(relayed) => relayed.ahead.is_none() && relayed.body.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Relayed(relayed) if relayed.ahead.is_none() => relayed.body.size_hint(),
            // The length stands in the header where the cluster gave one.
            Self::Relayed(_) => SizeHint::default(),
            Self::Other(body) => body.size_hint(),
        }
    }
}
