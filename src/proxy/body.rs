//! Bodies of answers, as the HTTP library takes them from us.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};

use super::stream::{Enrolment, Framing, LASTS_FROM, LiveBody};
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
    /// A cluster's answer that lasts.
    Live(Live),
    /// An answer of our own API.
    Other(Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>),
}

/// A cluster's answer that lasts, on its way.
pub struct Live(pub(super) Box<LiveBody>);

/// A cluster's answer on its way, frame by frame. When it has passed, or the client is gone, it is dropped and the
/// request's record with it.
pub struct Relayed {
    /// What was read of it already.
    ahead: Option<Bytes>,
    body: ResponseBody,
    record: RequestRecord,
    /// With what it becomes a stream if it lasts.
    enrolment: Enrolment,
    /// Exists only while we wait for the cluster.
    lasts: Option<Pin<Box<Sleep>>>,
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
        enrolment: Enrolment,
    ) -> Self {
        Self::Relayed(Box::new(Relayed { ahead, body, record, enrolment, lasts: None }))
    }

    /// An answer that has lasted for so long that it is a stream.
    fn live(relayed: Relayed) -> Self {
        let Relayed { ahead, body, record, enrolment, lasts: _ } = relayed;
        let guard = enrolment.enter_at_once();
        // Its kind is none that can be ended early.
        let client = enrolment.own_connection();
        Self::Live(Live(Box::new(LiveBody::new(ahead, body, record, guard, Framing::Whole, client))))
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

    /// Ready when the request has lasted long enough to be a stream.
    fn poll_lasts(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let from = self.record.opened() + LASTS_FROM;
        self.lasts.get_or_insert_with(|| Box::pin(sleep_until(from.into()))).as_mut().poll(cx)
    }

    /// Whether it has, without waiting: a client that reads slowly never makes us wait for the cluster.
    fn lasts(&self) -> bool {
        self.record.opened().elapsed() >= LASTS_FROM
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
            Self::Full(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Live(live) => return live.0.poll_frame(cx),
            Self::Other(body) => return body.as_mut().poll_frame(cx),
            Self::Relayed(relayed) if !relayed.lasts() => match relayed.poll_frame(cx) {
                Poll::Pending if relayed.poll_lasts(cx).is_ready() => {}
                polled => return polled,
            },
            Self::Relayed(_) => {}
        }
        if let Self::Relayed(relayed) = std::mem::replace(&mut *self, Self::Full(None)) {
            *self = Self::live(*relayed);
        }
        self.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Relayed(relayed) => relayed.ahead.is_none() && relayed.body.is_end_stream(),
            Self::Live(live) => live.0.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Relayed(relayed) if relayed.ahead.is_none() => relayed.body.size_hint(),
            // The length stands in the header where the cluster gave one.
            Self::Relayed(_) => SizeHint::default(),
            Self::Live(live) => live.0.size_hint(),
            Self::Other(body) => body.size_hint(),
        }
    }
}
