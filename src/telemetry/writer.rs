//! The access log's own thread: it formats and writes what requests leave in a bounded queue.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;

use super::entry::Entry;
use super::line;
use crate::config::LogFormat;

/// A batch is written when it has grown to this many bytes, or when the queue is empty.
const BATCH_BYTES: usize = 64 * 1024;

/// The writer rests so long after it has emptied the queue. Without it, each line would wake the thread by a system call
/// of the worker that queues it, which costs more than formatting the line.
const REST: Duration = Duration::from_millis(5);

/// The sending end of the queue.
pub(super) struct AccessLog {
    queue: SyncSender<Message>,
    dropped: Counter,
}

enum Message {
    Line(Box<Entry>),
    /// Everything before this is to be written; then the sender is told.
    Flush(SyncSender<()>),
}

impl AccessLog {
    pub(super) fn start(
        format: LogFormat,
        queue_lines: usize,
        output: Box<dyn Write + Send>,
        dropped: Counter,
    ) -> io::Result<Self> {
        // A queue of none would hand each line over in person: requests would lose nearly all of them.
        let (queue, lines) = sync_channel(queue_lines.max(1));
        let mut writer = Writer {
            format,
            output,
            batch: Vec::new(),
            lines: 0,
            dropped: dropped.clone(),
            is_failing: false,
        };
        thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run(&lines))?;
        Ok(Self { queue, dropped })
    }

    /// Leaves a line in the queue, or drops and counts it if the queue is full.
    pub(super) fn write(&self, entry: Box<Entry>) {
        if self.queue.try_send(Message::Line(entry)).is_err() {
            self.dropped.inc();
        }
    }

    /// Waits until what was queued before is written, but no longer than `limit`; says whether it is so.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let (done, is_done) = sync_channel(1);
        let mut message = Message::Flush(done);
        while let Err(error) = self.queue.try_send(message) {
            message = match error {
                TrySendError::Full(message) if Instant::now() < deadline => message,
                TrySendError::Full(_) | TrySendError::Disconnected(_) => return false,
            };
            thread::sleep(REST);
        }
        is_done.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok()
    }
}

struct Writer {
    format: LogFormat,
    output: Box<dyn Write + Send>,
    batch: Vec<u8>,
    /// How many lines are in `batch`.
    lines: u64,
    dropped: Counter,
    is_failing: bool,
}

impl Writer {
    /// Until the other end of the queue is gone and the queue is empty.
    fn run(&mut self, queue: &Receiver<Message>) {
        while let Ok(message) = queue.recv() {
            self.take(message);
            while let Ok(message) = queue.try_recv() {
                self.take(message);
            }
            self.write_batch();
            thread::sleep(REST);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Line(entry) => {
                line::append(&mut self.batch, self.format, &entry);
                self.lines += 1;
                if self.batch.len() >= BATCH_BYTES {
                    self.write_batch();
                }
            }
            Message::Flush(done) => {
                self.write_batch();
                // Whoever asked may have stopped waiting.
                let _ = done.try_send(());
            }
        }
    }

    fn write_batch(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let written = self.output.write_all(&self.batch).and_then(|()| self.output.flush());
        if let Err(error) = &written {
            self.dropped.inc_by(self.lines);
            // Once, not for each batch: the place where it would be read may be failing as well.
            if !self.is_failing {
                tracing::error!(%error, "access log can't be written; its lines are lost until it can");
            }
        }
        self.is_failing = written.is_err();
        self.batch.clear();
        self.lines = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Mutex};

    use http::{Method, Uri, Version};

    use super::*;

    fn entry(path: &'static str) -> Box<Entry> {
        let client = "192.0.2.7:4711".parse().unwrap();
        Box::new(Entry::new(client, &Method::GET, &Uri::from_static(path), Version::HTTP_11))
    }

    fn log(queue_lines: usize, output: impl Write + Send + 'static) -> (AccessLog, Counter) {
        let dropped = Counter::default();
        (AccessLog::start(LogFormat::Text, queue_lines, Box::new(output), dropped.clone()).unwrap(), dropped)
    }

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Says that a write has begun and holds it until it is told to go on.
    struct Held {
        begun: Sender<()>,
        go_on: Receiver<()>,
    }

    impl Write for Held {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.begun.send(()).unwrap();
            // The test's end lets everything through.
            let _ = self.go_on.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Broken;

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_in_order_before_a_flush_returns() {
        let kept = Kept::default();
        let (log, dropped) = log(1000, kept.clone());
        for path in ["/a", "/b", "/c"] {
            log.write(entry(path));
        }
        assert!(log.flush(Duration::from_secs(10)));
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        let paths: Vec<&str> = text.lines().filter_map(|line| line.split("path=").nth(1)?.get(..2)).collect();
        assert_eq!((paths, dropped.get()), (vec!["/a", "/b", "/c"], 0));
    }

    #[test]
    fn a_full_queue_costs_the_line_and_not_the_request() {
        let ((begun, has_begun), (let_on, go_on)) = (channel(), channel());
        let (log, dropped) = log(1, Held { begun, go_on });
        log.write(entry("/written"));
        has_begun.recv().unwrap();
        log.write(entry("/queued"));
        assert_eq!(dropped.get(), 0);
        log.write(entry("/lost"));
        assert_eq!(dropped.get(), 1);
        assert!(!log.flush(Duration::ZERO));
        drop(let_on);
        assert!(log.flush(Duration::from_secs(10)));
        assert_eq!(dropped.get(), 1);
    }

    #[test]
    fn lines_that_the_output_refuses_are_counted() {
        let (log, dropped) = log(10, Broken);
        log.write(entry("/a"));
        log.write(entry("/b"));
        assert!(log.flush(Duration::from_secs(10)));
        assert_eq!(dropped.get(), 2);
    }
}
