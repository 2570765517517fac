//! Clients keep an HTTP/2 connection for as long as it lasts. Behind a load balancer those that came early then stay where
//! they are when servers are added. So one of very many is asked to connect anew, as kube-apiserver's `--goaway-chance` does.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Chance;

/// Draws lots.
#[derive(Default)]
pub struct Lottery {
    drawn: AtomicU64,
    /// A keyed hash of a count is as good as a random number here, and costs no system call.
    hasher: RandomState,
}

impl Lottery {
    /// Whether the next one wins, of which the share `chance` does.
    pub(super) fn draw(&self, chance: Chance) -> bool {
        !chance.is_none() && chance.chooses(self.hasher.hash_one(self.drawn.fetch_add(1, Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_wins_is_the_one_asked_for() {
        for (share, least, most) in [(0.0, 0, 0), (0.02, 1700, 2300), (0.001, 50, 150)] {
            let lottery = Lottery::default();
            let won = (0..100_000).filter(|_| lottery.draw(Chance::of_share(share))).count();
            assert!((least..=most).contains(&won), "{share}: {won}");
        }
    }
}
