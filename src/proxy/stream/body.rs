//! The answer to a request that lasts, frame by frame, until it ends or its stream is cut.
//!
//! A cut ends it at the end of an event: with a last event that says why, where there is a form for one, and then as an
//! answer that is complete. What has no such place is broken off so that nobody takes it for a whole.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;

use super::Framing;
use crate::kube::Status;
use crate::proxy::{BodyError, Client};
use crate::streams::{Cut, Guard};
use crate::telemetry::RequestRecord;
use crate::upstream::ResponseBody;

/// How long the event that is half through has for its other half.
const REST_OF_EVENT: Duration = Duration::from_millis(500);

/// The body of an answer that lasts.
pub(in crate::proxy) struct LiveBody {
    /// What was read of it already.
    ahead: Option<Bytes>,
    upstream: UpstreamSide,
    record: RequestRecord,
    /// Gone when the answer has ended, so that how long that took does not depend on what becomes of the connection.
    guard: Option<Guard>,
    framing: Framing,
    state: State,
}

/// The cluster's answer. It is dropped by whoever comes first: the body itself when it ends, or the registry when the
/// body does not come to it, as its client does not read.
type UpstreamSide = Arc<Mutex<Option<ResponseBody>>>;

enum State {
    Open,
    /// Cut in the middle of an event.
    Ending(Cut, Pin<Box<Sleep>>),
    /// Cut; this is the last event.
    Last(Bytes),
    Over,
}

/// Why an answer was broken off.
#[derive(Debug, thiserror::Error)]
#[error("the stream was cut: {0}")]
struct BrokenOff(&'static str);

impl LiveBody {
    /// A body that was read up to `ahead`. When it does not end after a cut, `client` is hung up on, if its connection is
    /// for nothing else.
    pub(in crate::proxy) fn new(
        ahead: Option<Bytes>,
        body: ResponseBody,
        record: RequestRecord,
        mut guard: Guard,
        framing: Framing,
        client: Option<Arc<Client>>,
    ) -> Self {
        let upstream = Arc::new(Mutex::new(Some(body)));
        let abandoned = Arc::clone(&upstream);
        guard.on_abandonment(move || {
            drop(take(&abandoned));
            if let Some(client) = client {
                client.hang_up.notify_one();
            }
        });
        Self { ahead, upstream, record, guard: Some(guard), framing, state: State::Open }
    }

    /// The next frame.
    pub(in crate::proxy) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if matches!(self.state, State::Open)
            && let Some(Poll::Ready(cut)) = self.guard.as_mut().map(|guard| guard.poll_cut(cx))
            && let Err(broken_off) = self.begin_to_end(cut)
        {
            return Poll::Ready(Some(Err(broken_off)));
        }
        match &mut self.state {
            State::Over => return Poll::Ready(None),
            State::Last(event) => {
                let event = std::mem::take(event);
                self.end();
                self.record.add_bytes_sent(event.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            State::Ending(cut, patience) => {
                if patience.as_mut().poll(cx).is_ready() {
                    let reason = cut.reason.as_str();
                    self.end();
                    return Poll::Ready(Some(Err(BrokenOff(reason).into())));
                }
            }
            State::Open => {}
        }
        let frame = ready!(self.poll_upstream(cx));
        Poll::Ready(self.pass(frame))
    }

    /// Whether nothing more comes.
    pub(in crate::proxy) fn is_end_stream(&self) -> bool {
        match self.state {
            State::Over => true,
            State::Open if self.ahead.is_none() => {
                let upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
                upstream.as_ref().is_some_and(ResponseBody::is_end_stream)
            }
            _ => false,
        }
    }

    /// Nothing is promised: the answer may be cut.
    pub(in crate::proxy) fn size_hint(&self) -> SizeHint {
        match self.state {
            State::Over => SizeHint::with_exact(0),
            _ => SizeHint::default(),
        }
    }

    fn begin_to_end(&mut self, cut: Cut) -> Result<(), BodyError> {
        if !self.framing.can_end_early() {
            self.end();
            return Err(BrokenOff(cut.reason.as_str()).into());
        }
        if self.ahead.is_none() && self.framing.is_between_events() {
            self.end_with(cut);
        } else {
            self.state = State::Ending(cut, Box::pin(tokio::time::sleep(REST_OF_EVENT)));
        }
        Ok(())
    }

    fn poll_upstream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(ahead) = self.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(ahead))));
        }
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        match upstream.as_mut() {
            Some(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            // Abandoned: the client reads again, too late.
            None => Poll::Ready(Some(Err(BrokenOff("abandoned").into()))),
        }
    }

    /// Follows a frame on its way, and ends behind the event that was waited for.
    fn pass(
        &mut self,
        frame: Option<Result<Frame<Bytes>, BodyError>>,
    ) -> Option<Result<Frame<Bytes>, BodyError>> {
        let mut frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                tracing::debug!(%error, "the cluster broke its answer off");
                self.record.set_reason("upstream_broke_off");
                self.end();
                return Some(Err(error));
            }
            None => {
                self.end();
                return None;
            }
        };
        if let Some(data) = frame.data_ref() {
            if let State::Ending(cut, _) = self.state {
                if let Some(end) = self.framing.follow_to_end_of_event(data) {
                    frame = Frame::data(data.slice(..end));
                    self.end_with(cut);
                }
            } else {
                self.framing.follow(data);
            }
        }
        self.record.add_bytes_sent(frame.data_ref().map_or(0, |data| data.len() as u64));
        Some(Ok(frame))
    }

    /// Lets go of the cluster, and ends with an event that says why.
    fn end_with(&mut self, cut: Cut) {
        let event = self.guard.as_ref().and_then(|guard| {
            let status = Status::failure(cut.status()?, guard.explain(cut));
            self.framing.error_event(&status)
        });
        match event {
            Some(event) => {
                drop(take(&self.upstream));
                self.state = State::Last(event.into());
            }
            None => self.end(),
        }
    }

    fn end(&mut self) {
        self.state = State::Over;
        drop(take(&self.upstream));
        self.note_cut();
        self.guard = None;
    }

    fn note_cut(&mut self) {
        if let Some(cut) = self.guard.as_ref().and_then(|guard| guard.entry().cut()) {
            self.record.set_reason(cut.reason.as_str());
        }
    }
}

impl Drop for LiveBody {
    fn drop(&mut self) {
        self.note_cut();
    }
}

fn take(upstream: &UpstreamSide) -> Option<ResponseBody> {
    upstream.lock().unwrap_or_else(PoisonError::into_inner).take()
}
