//! Many secrets looked for in many bytes, in one pass.

use std::collections::HashSet;
use std::path::Path;

/// Characters of a piece: what is left of a key when half of it was overwritten must be found too.
const PIECE: usize = 18;

/// Pieces of keys. Keys are long runs of an alphabet of which nothing else has long runs.
pub(super) struct Needles {
    pieces: HashSet<Vec<u8>>,
    in_alphabet: [bool; 256],
}

impl Needles {
    pub(super) fn of<'a>(keys: impl Iterator<Item = &'a str>) -> Self {
        let pieces = keys.flat_map(|key| key.as_bytes().chunks_exact(PIECE)).map(<[u8]>::to_vec).collect();
        let mut in_alphabet = [false; 256];
        for letter in b"bcdfghjklmnpqrstvwxz2456789" {
            in_alphabet[usize::from(*letter)] = true;
        }
        Self { pieces, in_alphabet }
    }

    /// The files below `directory` with a piece of a key in them.
    pub(super) fn found_below(&self, directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                found.extend(self.found_below(&path));
            } else {
                let count = self.pieces_in(&std::fs::read(&path).unwrap());
                found.extend((count > 0).then(|| format!("{count} pieces of keys in {}", path.display())));
            }
        }
        found
    }

    /// How many keys are in `bytes` in full, if they are there in full.
    pub(super) fn count(&self, bytes: &[u8]) -> usize {
        self.pieces_in(bytes) / (54 / PIECE)
    }

    fn pieces_in(&self, bytes: &[u8]) -> usize {
        let runs = bytes.split(|byte| !self.in_alphabet[usize::from(*byte)]);
        let long = runs.filter(|run| run.len() >= PIECE);
        long.flat_map(|run| run.windows(PIECE)).filter(|window| self.pieces.contains(*window)).count()
    }
}

#[test]
fn a_key_and_a_third_of_a_key_are_found() {
    let key = "bcdfghjklmnpqrstvwxz2456789bcdfghjklmnpqrstvwxz2456789";
    let needles = Needles::of([key].into_iter());
    assert_eq!(needles.count(format!("\0token-b{key}\u{1}").as_bytes()), 1);
    assert!(needles.pieces_in(&key.as_bytes()[20..]) > 0);
    assert_eq!(needles.pieces_in(&key.as_bytes()[..17]), 0);
}
