//! One request and its answer on a stream of an HTTP/2 connection.
//!
//! By the library of HTTP/2 itself (h2) and not by the one above it (hyper): that one hands each request to a task of the
//! connection by a queue, and makes one more task for its answer, which has room for all that a connection needs.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use tokio::task::AbortHandle;

use super::body::RequestBody;

/// A request on its way: resolves to the head of its answer. When it is dropped before, the cluster is told that nobody
/// waits any more.
pub(super) struct Answer {
    response: ResponseFuture,
    upload: Option<Upload>,
}

/// A request's body on its way, in a task of its own: the cluster may answer before it has all of it. When this is
/// dropped, as the answer has passed or nobody waits for it, what is left of the body is broken off.
pub(super) struct Upload(AbortHandle);

/// The body of an answer.
pub(super) struct Received {
    stream: RecvStream,
    has_trailers_alone: bool,
    _upload: Option<Upload>,
}

/// Sends the head of `request`, and its body as it comes and as the cluster takes it. `sender` has to be ready.
///
/// # Errors
/// The request was not sent.
pub(super) fn send(
    sender: &mut SendRequest<Bytes>,
    request: Request<RequestBody>,
) -> Result<Answer, h2::Error> {
    let (mut parts, body) = request.into_parts();
    let length = body.size_hint().exact();
    if let Some(length) = length.filter(|length| *length > 0 || has_body_by_nature(&parts.method)) {
        parts.headers.insert(CONTENT_LENGTH, length.into());
    }
    let is_bodiless = body.is_end_stream();
    let (response, stream) = sender.send_request(Request::from_parts(parts, ()), is_bodiless)?;
    let upload = (!is_bodiless).then(|| Upload(tokio::spawn(send_body(body, stream)).abort_handle()));
    Ok(Answer { response, upload })
}

/// Whether a request of this method is expected to have a body, so that none is worth a word (RFC 9110, 8.6).
fn has_body_by_nature(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::CONNECT)
}

impl Future for Answer {
    type Output = Result<Response<Received>, h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(Pin::new(&mut self.response).poll(cx))?;
        let upload = self.upload.take();
        let received = |stream| Received { stream, has_trailers_alone: false, _upload: upload };
        Poll::Ready(Ok(response.map(received)))
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.has_trailers_alone {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // It fails only for more than was received.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                // All was sent, and the cluster has no use for the rest of the request (RFC 9113, 8.1).
                Some(Err(error)) if error.is_reset() && error.reason() == Some(Reason::NO_ERROR) => {
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.has_trailers_alone = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a body to its end, or until the cluster wants no more of it.
async fn send_body(body: RequestBody, mut stream: SendStream<Bytes>) {
    let mut body = pin!(body);
    loop {
        // Asked for before there is anything to send: what the cluster can't take yet stays with the client.
        stream.reserve_capacity(1);
        if !has_capacity(&mut stream).await {
            return;
        }
        let frame = tokio::select! {
            biased;
            _ = poll_fn(|cx| stream.poll_reset(cx)) => return,
            frame = poll_fn(|cx| body.as_mut().poll_frame(cx)) => frame,
        };
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => {
                if !send_all(&mut stream, data).await {
                    return;
                }
            }
            Some(Ok(Err(_other))) => {}
            Some(Err(error)) => {
                tracing::debug!(error = &*error as &dyn std::error::Error, "a client broke its body off");
                return stream.send_reset(Reason::CANCEL);
            }
            None => {
                // It fails when the stream is over already.
                let _ = stream.send_data(Bytes::new(), true);
                return;
            }
        }
    }
}

/// Sends `data` in as many parts as the cluster takes it in. Says whether it took all.
async fn send_all(stream: &mut SendStream<Bytes>, mut data: Bytes) -> bool {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        if !has_capacity(stream).await {
            return false;
        }
        let part = data.split_to(stream.capacity().min(data.len()));
        if stream.send_data(part, false).is_err() {
            return false;
        }
    }
    true
}

/// Waits until something can be sent; false if nothing ever can again.
async fn has_capacity(stream: &mut SendStream<Bytes>) -> bool {
    while stream.capacity() == 0 {
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return false,
        }
    }
    true
}
