//! Sealing credentials that were given by value: AES-256-GCM under a key that is in a file of its own, so that whoever
//! gets the database or a backup of it has no credential of any cluster.
//!
//! A sealed text is bound to the cluster and to the place its content is sent to. Whoever can write to the database but
//! can't read the key can't have the credential sent elsewhere.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::record::{CertificateAuthority, Credential, Reach, Sealed, SealedKind};
use crate::identity::ClusterId;
use crate::secret::Secret;

/// The first byte of what is sealed this way.
const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
/// As much of a key's fingerprint as tells two keys apart.
const FINGERPRINT_BYTES: usize = 8;

/// The file with the key. Made when something is sealed for the first time, and never to open something.
#[derive(Debug, Clone, Default)]
pub struct KeyFile(Arc<PathBuf>);

/// Why something can't be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is no key file.
    #[error("key file {} is missing: put the one back that the credential was sealed with, or give the credential again", .0.display())]
    Missing(PathBuf),
    /// The file can't be read or made.
    #[error("key file {} can't be used", .0.display())]
    Unusable(PathBuf, #[source] io::Error),
    /// The file has something else in it.
    #[error("key file {} has no key in it", .0.display())]
    NoKey(PathBuf),
    /// The key is not the one it was sealed with.
    #[error("key file {} has another key than the credential was sealed with", .0.display())]
    OtherKey(PathBuf),
    /// What is stored is damaged, or was sealed for another cluster or place.
    #[error("sealed credential is damaged, or is not of this cluster and address")]
    Damaged,
    /// The library failed, for want of random bytes most likely.
    #[error("credential can't be sealed")]
    Failed,
}

type Key = Zeroizing<[u8; KEY_BYTES]>;

impl KeyFile {
    /// The key file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(path.into()))
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Seals `secret` for the cluster `id` and the place that `reach` leads to. Makes the key file if there is none.
    /// Blocks.
    pub fn seal(
        &self,
        id: &ClusterId,
        reach: &Reach,
        content: SealedKind,
        secret: &Secret,
    ) -> Result<Credential, SealError> {
        let key = match self.read() {
            Err(SealError::Missing(_)) => self.make()?,
            key => key?,
        };
        let mut text = Zeroizing::new(secret.expose().as_bytes().to_vec());
        let nonce = cipher(&key)?
            .seal_in_place_append_tag(Aad::from(binding(id, reach, content)), &mut *text)
            .map_err(|_| SealError::Failed)?;
        let parts: [&[u8]; 4] = [&[VERSION], &fingerprint(&key), nonce.as_ref(), &text];
        Ok(Credential::Sealed { content, sealed: Sealed(parts.concat()) })
    }

    /// Opens what was sealed for this cluster and place. Blocks.
    pub fn open(
        &self,
        id: &ClusterId,
        reach: &Reach,
        content: SealedKind,
        sealed: &Sealed,
    ) -> Result<Secret, SealError> {
        let rest = sealed.0.strip_prefix(&[VERSION]).ok_or(SealError::Damaged)?;
        let (print, rest) = rest.split_at_checked(FINGERPRINT_BYTES).ok_or(SealError::Damaged)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Damaged)?;
        let key = self.read()?;
        if fingerprint(&key) != print {
            return Err(SealError::OtherKey(self.0.to_path_buf()));
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = cipher(&key)?
            .open_in_place(nonce, Aad::from(binding(id, reach, content)), &mut text)
            .map_err(|_| SealError::Damaged)?;
        let opened = std::str::from_utf8(opened).map_err(|_| SealError::Damaged)?;
        Ok(Secret::new(opened))
    }

    fn read(&self) -> Result<Key, SealError> {
        let text = match std::fs::read(&*self.0) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SealError::Missing(self.0.to_path_buf()));
            }
            Err(error) => return Err(self.unusable(error)),
        };
        let no_key = || SealError::NoKey(self.0.to_path_buf());
        let bytes = Zeroizing::new(STANDARD.decode(text.trim_ascii()).map_err(|_| no_key())?);
        let key = <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(|_| no_key())?;
        Ok(Zeroizing::new(key))
    }

    /// Made beside its place and put there whole, so that no other process and no crash leaves half a key. If another
    /// was quicker, its key is taken.
    fn make(&self) -> Result<Key, SealError> {
        // One after the other: what is beside the place has the name of this process.
        static MAKING: Mutex<()> = Mutex::new(());
        let _one = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
        if self.exists() {
            return self.read();
        }
        let mut key: Key = Zeroizing::default();
        getrandom::fill(&mut *key).map_err(|_| SealError::Failed)?;
        let text = Zeroizing::new(STANDARD.encode(*key) + "\n");
        let beside = self.0.with_extension(format!("new-{}", std::process::id()));
        let placed = write_private(&beside, text.as_bytes()).and_then(|()| {
            let placed = std::fs::hard_link(&beside, &*self.0);
            std::fs::remove_file(&beside)?;
            placed
        });
        match placed {
            Ok(()) => {
                // A credential that outlives its key in a power cut would be lost.
                let directory = self.0.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all());
                directory.map_err(|error| self.unusable(error))?;
                tracing::info!(path = %self.0.display(), "made a key for credentials of clusters: back it up apart from the database");
                Ok(key)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.read(),
            Err(error) => Err(self.unusable(error)),
        }
    }

    fn unusable(&self, error: io::Error) -> SealError {
        SealError::Unusable(self.0.to_path_buf(), error)
    }
}

fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    // One that a crash has left is in nobody's use: the process that has its number now is this one.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn cipher(key: &Key) -> Result<RandomizedNonceKey, SealError> {
    RandomizedNonceKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| SealError::Failed)
}

fn fingerprint(key: &Key) -> [u8; FINGERPRINT_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), b"portcullis cluster key");
    let mut print = [0; FINGERPRINT_BYTES];
    for (slot, byte) in print.iter_mut().zip(tag.as_ref()) {
        *slot = *byte;
    }
    print
}

/// What a sealed text is bound to. Each part is preceded by its length, so that no two ways of cutting agree.
fn binding(id: &ClusterId, reach: &Reach, content: SealedKind) -> Vec<u8> {
    let (ca_kind, ca) = match &reach.ca {
        None => ("none", String::new()),
        Some(CertificateAuthority::Pem(pem)) => ("pem", pem.clone()),
        Some(CertificateAuthority::File(path)) => ("file", path.to_string_lossy().into_owned()),
    };
    let mut parts = vec![id.as_str().to_owned(), content.as_str().to_owned(), ca_kind.to_owned(), ca];
    parts.push(reach.tls_server_name.clone().unwrap_or_default());
    parts.extend(reach.endpoints.iter().map(ToString::to_string));
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend(part.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use http::Uri;

    use super::*;
    use crate::cluster::source::tests::Directory;

    const TEXT: &str = "hunter2-hunter2-hunter2";

    fn reach() -> Reach {
        Reach {
            endpoints: vec![Uri::from_static("https://127.0.0.1:6443")],
            ca: Some(CertificateAuthority::Pem("PEM".to_owned())),
            tls_server_name: None,
            credential: Credential::Configuration,
        }
    }

    fn id(text: &str) -> ClusterId {
        ClusterId::try_from(text).unwrap()
    }

    fn sealed(key: &KeyFile) -> Sealed {
        match key.seal(&id("c-bbbbb"), &reach(), SealedKind::Token, &Secret::new(TEXT)).unwrap() {
            Credential::Sealed { sealed, .. } => sealed,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_sealed_shows_nothing_and_opens_with_its_key_alone() {
        let directory = Directory::new();
        let path = directory.write("unused", "").with_file_name("cluster.key");
        let key = KeyFile::new(&path);
        let text = sealed(&key);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!text.0.windows(7).any(|window| window == b"hunter2") && text != sealed(&key));
        let open = |key: &KeyFile| key.open(&id("c-bbbbb"), &reach(), SealedKind::Token, &text);
        assert_eq!(open(&key).unwrap().expose(), TEXT);

        let other = KeyFile::new(path.with_file_name("other.key"));
        sealed(&other);
        assert!(matches!(open(&other), Err(SealError::OtherKey(_))));
        std::fs::write(&path, "not a key").unwrap();
        assert!(matches!(open(&key), Err(SealError::NoKey(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(open(&key), Err(SealError::Missing(_))), "and none is made to open something");
        assert!(!path.exists());
    }

    #[test]
    fn a_sealed_text_is_of_one_cluster_one_place_and_one_kind() {
        let directory = Directory::new();
        let key = KeyFile::new(directory.write("unused", "").with_file_name("cluster.key"));
        let text = sealed(&key);
        let elsewhere = Reach { endpoints: vec![Uri::from_static("https://127.0.0.2:6443")], ..reach() };
        let other_ca = Reach { ca: Some(CertificateAuthority::File("PEM".into())), ..reach() };
        for (id, reach, content) in [
            (id("c-ccccc"), reach(), SealedKind::Token),
            (id("c-bbbbb"), elsewhere, SealedKind::Token),
            (id("c-bbbbb"), other_ca, SealedKind::Token),
            (id("c-bbbbb"), reach(), SealedKind::ClientCertificate),
        ] {
            assert!(matches!(key.open(&id, &reach, content, &text), Err(SealError::Damaged)));
        }
        for cut in [0, 1, 9, 21, text.0.len() - 1] {
            let cut = Sealed(text.0[..cut].to_vec());
            let opened = key.open(&id("c-bbbbb"), &reach(), SealedKind::Token, &cut);
            assert!(matches!(opened, Err(SealError::Damaged)));
        }
    }

    #[test]
    fn those_who_seal_first_at_the_same_time_use_one_key() {
        let directory = Directory::new();
        let path = directory.write("unused", "").with_file_name("cluster.key");
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let key = KeyFile::new(&path);
                std::thread::spawn(move || sealed(&key))
            })
            .collect();
        let key = KeyFile::new(&path);
        for thread in threads {
            let text = thread.join().unwrap();
            assert!(key.open(&id("c-bbbbb"), &reach(), SealedKind::Token, &text).is_ok());
        }
    }

    #[test]
    fn whoever_comes_second_takes_the_key_of_the_first() {
        let directory = Directory::new();
        let path = directory.write("unused", "").with_file_name("cluster.key");
        let (first, second) = (KeyFile::new(&path), KeyFile::new(&path));
        let key = first.make().unwrap();
        assert_eq!(*second.make().unwrap(), *key);
        assert_eq!(path.parent().unwrap().read_dir().unwrap().count(), 2, "nothing is left beside it");
    }
}
