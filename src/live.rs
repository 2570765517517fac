//! Values that change seldom and are read for every request.
//!
//! Whoever reads after a change sees it. Readers don't disturb each other: each has a copy of its own, and looks at a
//! number that only a change writes.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// A reader's own copy of a part of `S`.
pub struct Own<S, T> {
    part: Box<dyn Fn(&S) -> T + Send + Sync>,
    held: Mutex<(watch::Receiver<S>, Arc<T>)>,
}

impl<S, T> Own<S, T> {
    /// The copy of one reader; a worker is one.
    pub fn of(mut source: watch::Receiver<S>, part: impl Fn(&S) -> T + Send + Sync + 'static) -> Self {
        let own = Arc::new(part(&source.borrow_and_update()));
        Self { part: Box::new(part), held: Mutex::new((source, own)) }
    }

    /// What holds now.
    pub fn current(&self) -> Arc<T> {
        // Nobody else waits for this lock but who reads the same copy.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (source, own) = &mut *held;
        // An error means that nobody is left to change it.
        if source.has_changed().unwrap_or(false) {
            *own = Arc::new((self.part)(&source.borrow_and_update()));
        }
        Arc::clone(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_a_change_and_keeps_one_copy_until_the_next() {
        let (sender, receiver) = watch::channel(1);
        let (first, second) = (Own::of(receiver.clone(), |n| n * 10), Own::of(receiver, |n| n * 10));
        assert!(Arc::ptr_eq(&first.current(), &first.current()));
        assert!(!Arc::ptr_eq(&first.current(), &second.current()), "each has its own");
        sender.send_replace(2);
        sender.send_replace(3);
        assert_eq!((*first.current(), *second.current()), (30, 30));
        drop(sender);
        assert_eq!(*first.current(), 30);
    }
}
