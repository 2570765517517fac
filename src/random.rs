//! Random text for names and keys.

/// A random suffix or key of `N` characters, from the alphabet of Kubernetes' generated names.
pub(crate) fn random_characters<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut text = [0_u8; N];
    let mut filled = 0;
    while filled < N {
        let mut random = [0_u8; 64];
        getrandom::fill(&mut random)?;
        // 27 does not divide 256: bytes past the last multiple are thrown away, or early letters would be likelier.
        let usable = random.iter().filter(|byte| usize::from(**byte) < 256 / ALPHABET.len() * ALPHABET.len());
        for (slot, byte) in text.iter_mut().skip(filled).zip(usable) {
            *slot = ALPHABET.get(usize::from(*byte) % ALPHABET.len()).copied().unwrap_or(b'b');
            filled += 1;
        }
    }
    Ok(text)
}

/// Kubernetes' alphabet for generated names: no vowels, so no words; no 0, 1 and 3, which are misread.
pub(crate) const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Whether `byte` is of [`ALPHABET`]: in ranges, as a search through it for each byte of a key is most of its parsing.
pub(crate) fn is_in_alphabet(byte: u8) -> bool {
    matches!(
        byte,
        b'b'..=b'd' | b'f'..=b'h' | b'j'..=b'n' | b'p'..=b't' | b'v'..=b'x' | b'z' | b'2' | b'4'..=b'9'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_characters_use_the_whole_alphabet_and_nothing_else() {
        let text = random_characters::<4096>().unwrap();
        assert!(ALPHABET.iter().all(|letter| text.contains(letter)));
        assert!(text.iter().all(|letter| ALPHABET.contains(letter)));
    }

    #[test]
    fn the_ranges_are_the_alphabet() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_in_alphabet(byte), ALPHABET.contains(&byte), "{byte}");
        }
    }
}
