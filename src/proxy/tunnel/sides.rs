//! The two sides of a tunnel, as the copying between them sees them. Until the tunnel is to end each is the connection it
//! stands for. From then on the cluster's gives the rest of the frame that is passing, a goodbye and its end; the client's
//! gives nothing, and its end when the cluster's has ended. So the end goes the way that all bytes go, behind those that
//! are still in the buffer between the two, and the copying needs to know nothing of it.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::proxy::websocket::{Frames, Goodbye};
use crate::streams::{Entry, Guard};

/// How many bytes of a frame are passed on at once when a tunnel ends.
const PIECE_BYTES: usize = 1 << 10;

/// That a tunnel is to end, for both sides to learn. Whoever changes it has the copying polled afterwards.
pub(super) struct Ending {
    stream: Arc<Entry>,
    /// What the client is told, where its protocol has words for it.
    goodbye: OnceLock<Option<Goodbye>>,
    is_hurried: AtomicBool,
    cluster_has_ended: AtomicBool,
}

/// Towards the client.
pub(super) struct ClientSide<'e, T> {
    inner: T,
    ending: &'e Ending,
}

/// Towards the cluster. Counts what passes, because the library's copying says it only if it ended well.
pub(super) struct ClusterSide<'e, T> {
    inner: T,
    ending: &'e Ending,
    /// None for a protocol whose frames we don't follow.
    frames: Option<Frames>,
    /// What is left to be said, once that is decided.
    last_words: Option<Bytes>,
    pub(super) read: u64,
    pub(super) written: u64,
}

impl Ending {
    pub(super) fn of(stream: &Guard) -> Self {
        let stream = Arc::clone(stream.entry());
        Self {
            stream,
            goodbye: OnceLock::new(),
            is_hurried: AtomicBool::new(false),
            cluster_has_ended: AtomicBool::new(false),
        }
    }

    /// Whether the stream was cut and the end has yet to begin, which the copying's task has been woken for: what arrived
    /// since the cut is not to pass before that.
    fn is_due(&self) -> bool {
        self.stream.cut().is_some()
    }

    pub(super) fn begin(&self, goodbye: Option<Goodbye>) {
        let _ = self.goodbye.set(goodbye);
    }

    /// The rest of the frame that is passing is waited for no longer, and what can't be said then remains unsaid.
    pub(super) fn hurry(&self) {
        self.is_hurried.store(true, Ordering::Relaxed);
    }
}

impl<'e, T> ClientSide<'e, T> {
    pub(super) fn new(inner: T, ending: &'e Ending) -> Self {
        Self { inner, ending }
    }

    pub(super) fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ClientSide<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ending.goodbye.get().is_none() {
            if self.ending.is_due() {
                return Poll::Pending;
            }
            return Pin::new(&mut self.inner).poll_read(cx, buffer);
        }
        // An apiserver that is told of our end at once would not finish its frame.
        if self.ending.cluster_has_ended.load(Ordering::Relaxed) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

impl<'e, T> ClusterSide<'e, T> {
    pub(super) fn new(inner: T, ending: &'e Ending, frames: Option<Frames>) -> Self {
        Self { inner, ending, frames, last_words: None, read: 0, written: 0 }
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.read += bytes.len() as u64;
        if let Some(frames) = &mut self.frames {
            frames.follow(bytes);
        }
    }

    /// What can be said where the frames are now; None while a frame is passing.
    fn words_for_now(&self, goodbye: Option<&Goodbye>) -> Option<Bytes> {
        match (&self.frames, goodbye) {
            (Some(frames), Some(goodbye)) if frames.left() == 0 => Some(goodbye.at(frames.boundary())),
            (Some(_), Some(_)) if !self.ending.is_hurried.load(Ordering::Relaxed) => None,
            _ => Some(Bytes::new()),
        }
    }
}

impl<T: AsyncRead + Unpin> ClusterSide<'_, T> {
    /// No more of the frame than there is of it: what comes after it must not reach the client.
    fn poll_frame(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<usize>> {
        let left = self.frames.map_or(0, |frames| frames.left());
        let length = buffer.remaining().min(PIECE_BYTES).min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut piece = [0; PIECE_BYTES];
        let mut piece = ReadBuf::new(piece.get_mut(..length).unwrap_or_default());
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut piece))?;
        self.passed(piece.filled());
        buffer.put_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ClusterSide<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let ending = this.ending;
        let Some(goodbye) = ending.goodbye.get() else {
            if ending.is_due() {
                return Poll::Pending;
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
            let read = buffer.filled().get(before..).unwrap_or_default();
            this.passed(read);
            if read.is_empty() {
                ending.cluster_has_ended.store(true, Ordering::Relaxed);
            }
            return Poll::Ready(Ok(()));
        };
        if this.last_words.is_none() {
            let words = this.words_for_now(goodbye.as_ref());
            if words.is_none() && ready!(this.poll_frame(cx, buffer))? > 0 {
                return Poll::Ready(Ok(()));
            }
            this.last_words = Some(words.unwrap_or_default());
        }
        if let Some(words) = &mut this.last_words {
            buffer.put_slice(&words.split_to(words.len().min(buffer.remaining())));
            if words.is_empty() {
                ending.cluster_has_ended.store(true, Ordering::Relaxed);
                // The client's side may have been asked already this time.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ClientSide<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ClusterSide<'_, T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = polled {
            self.written += written as u64;
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
