//! Hashes of token keys at rest, in the versioned text formats of Rancher: `$1` scrypt, `$2` SHA-256, `$3` SHA3-512.
//! We write `$2`; the others are read, so that hashes that come from elsewhere keep working.
//!
//! A key has about 256 bits, so one round of a fast hash is enough, and the salt only keeps equal keys from having
//! equal hashes. A slow hash on every request would be a way to wear us out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};
use sha3::Sha3_512;
use subtle::ConstantTimeEq as _;

use super::TokenKey;

const SALT_BYTES: usize = 8;

/// A salted hash of a token's key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash(Format);

#[derive(Clone, PartialEq, Eq)]
enum Format {
    Scrypt { salt: [u8; SALT_BYTES], log_n: u8, r: u32, p: u32, digest: Vec<u8> },
    Sha256 { salt: [u8; SALT_BYTES], digest: [u8; 32] },
    Sha3 { salt: [u8; SALT_BYTES], digest: [u8; 64] },
}

/// A stored text that is not a hash we can check against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known format of a key's hash")]
pub struct HashError;

impl KeyHash {
    /// Hashes `key` with a new salt (`$2`, SHA-256 over salt and key).
    ///
    /// # Errors
    /// Only when the operating system has no random bytes to give.
    pub fn sha256(key: &TokenKey) -> Result<Self, getrandom::Error> {
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt)?;
        Ok(Self(Format::Sha256 { salt, digest: sha256(&salt, key.expose()) }))
    }

    /// Whether `key` is the one that was hashed; the comparison takes the same time wherever the digests differ.
    /// Takes tens of milliseconds where [`is_slow`](Self::is_slow).
    pub fn verify(&self, key: &TokenKey) -> bool {
        self.verify_text(key.expose())
    }

    /// Whether checking takes so long that it must not happen on a thread that serves requests.
    pub fn is_slow(&self) -> bool {
        matches!(self.0, Format::Scrypt { .. })
    }

    fn verify_text(&self, key: &str) -> bool {
        match &self.0 {
            Format::Sha256 { salt, digest } => sha256(salt, key).ct_eq(digest).into(),
            Format::Sha3 { salt, digest } => {
                let computed: [u8; 64] =
                    Sha3_512::new().chain_update(salt).chain_update(key).finalize().into();
                computed.ct_eq(digest).into()
            }
            Format::Scrypt { salt, log_n, r, p, digest } => {
                let mut computed = vec![0; digest.len()];
                let done = scrypt::Params::new(*log_n, *r, *p)
                    .is_ok_and(|params| scrypt::scrypt(key.as_bytes(), salt, &params, &mut computed).is_ok());
                done && bool::from(computed.ct_eq(digest))
            }
        }
    }
}

impl TryFrom<&str> for KeyHash {
    type Error = HashError;

    fn try_from(text: &str) -> Result<Self, HashError> {
        let fields: Vec<&str> = text.split(':').collect();
        let format = match fields.as_slice() {
            ["$1", salt, log_n, r, p, digest] => scrypt_fields(salt, log_n, r, p, digest)?,
            ["$2", salt, digest] => Format::Sha256 { salt: decode(salt)?, digest: decode(digest)? },
            ["$3", "1", salt, digest] => Format::Sha3 { salt: decode(salt)?, digest: decode(digest)? },
            _ => return Err(HashError),
        };
        Ok(Self(format))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encode = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
        match &self.0 {
            Format::Scrypt { salt, log_n, r, p, digest } => {
                let salt = u64::from_be_bytes(*salt);
                write!(f, "$1:{salt:016x}:{log_n}:{r}:{p}:{}", encode(digest))
            }
            Format::Sha256 { salt, digest } => write!(f, "$2:{}:{}", encode(salt), encode(digest)),
            Format::Sha3 { salt, digest } => write!(f, "$3:1:{}:{}", encode(salt), encode(digest)),
        }
    }
}

/// Hashes are not shown: they belong in the store and nowhere else.
impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

fn sha256(salt: &[u8], key: &str) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(key).finalize().into()
}

/// Stored rows are untrusted input: the cost is bounded, so that one row can't take all memory (128 · 2^N · r bytes).
fn scrypt_fields(salt: &str, log_n: &str, r: &str, p: &str, digest: &str) -> Result<Format, HashError> {
    let number = |text: &str, max: u32| {
        text.parse::<u32>().ok().filter(|number| (1..=max).contains(number)).ok_or(HashError)
    };
    let hex =
        salt.len() == 2 * SALT_BYTES && salt.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let digest = STANDARD_NO_PAD.decode(digest).map_err(|_| HashError)?;
    if !hex || !(16..=64).contains(&digest.len()) {
        return Err(HashError);
    }
    let salt = u64::from_str_radix(salt, 16).map_err(|_| HashError)?.to_be_bytes();
    let log_n = u8::try_from(number(log_n, 16)?).map_err(|_| HashError)?;
    Ok(Format::Scrypt { salt, log_n, r: number(r, 8)?, p: number(p, 2)?, digest })
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], HashError> {
    let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| HashError)?;
    bytes.try_into().map_err(|_| HashError)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Salt 00 to 07, key `hello world`; computed with Python's hashlib.
    const VECTORS: [&str; 3] = [
        "$1:0001020304050607:15:8:1:kg9Jrz3bATlkXiCqL7d8SkSTs/2HeiPYnoI/BbhQCduby3WCOic74e71wmS0W2Hwv33if/xVbwSOfHTMwZY5Xg",
        "$2:AAECAwQFBgc:BXKy32RqtAhpipNYH0/EwRS2GRhH/fct2U1LsVBI1j8",
        "$3:1:AAECAwQFBgc:uGcM3/n7bkPExtCGEsKSX2DzA4/frx4vOnmEGtMqZaV788k/9N7rCsUm2veOtt7pc7PObZ1nDuZL4NYtQ+MwKQ",
    ];

    #[test]
    fn known_vectors_verify_and_print_as_they_were_read() {
        for vector in VECTORS {
            let hash = KeyHash::try_from(vector).unwrap();
            assert!(hash.verify_text("hello world"), "{vector}");
            assert!(!hash.verify_text("hello worle"), "{vector}");
            assert!(!hash.verify_text(""), "{vector}");
            assert_eq!(hash.to_string(), vector);
            assert_eq!(hash.is_slow(), vector.starts_with("$1"));
        }
    }

    #[test]
    fn what_we_write_we_can_read_and_no_two_hashes_of_a_key_agree() {
        let key = TokenKey::generate().unwrap();
        let (first, second) = (KeyHash::sha256(&key).unwrap(), KeyHash::sha256(&key).unwrap());
        assert_ne!(first.to_string(), second.to_string());
        assert!(KeyHash::try_from(first.to_string().as_str()).unwrap().verify(&key));
        assert!(!first.verify(&TokenKey::generate().unwrap()));
    }

    #[test]
    fn a_row_that_is_no_hash_is_refused() {
        let wrong = [
            "",
            "$2",
            "$2:AAECAwQFBgc",
            "$2:AAECAwQFBgc:",
            "$2::BXKy32RqtAhpipNYH0/EwRS2GRhH/fct2U1LsVBI1j8",
            "$2:AAECAwQFBgc:BXKy32RqtAhpipNYH0/EwRS2GRhH/fct2U1LsVBI1j8=",
            "$2:AAECAwQFBgc:BXKy32RqtAhpipNYH0/EwRS2GRhH/fct2U1LsVBI1j8:x",
            "2:AAECAwQFBgc:BXKy32RqtAhpipNYH0/EwRS2GRhH/fct2U1LsVBI1j8",
            "$3:2:AAECAwQFBgc:uGcM3/n7bkPExtCGEsKSX2DzA4/frx4vOnmEGtMqZaV788k/9N7rCsUm2veOtt7pc7PObZ1nDuZL4NYtQ+MwKQ",
            "$1:0001020304050607:63:8:1:kg9Jrz3bATlkXiCqL7d8SkSTs/2HeiPYnoI/BbhQCduby3WCOic74e71wmS0W2Hwv33if/xVbwSOfHTMwZY5Xg",
            "$1:0001020304050607:15:8:1:",
            "plain-key",
        ];
        for text in wrong {
            assert_eq!(KeyHash::try_from(text).err(), Some(HashError), "{text}");
        }
    }
}
