//! Reading a cluster's access from its record: what is sealed is opened, what is in files is read. Each time anew, so
//! that a key file that is put back, or a file that was rotated, is seen.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use kube::Config;

use super::authority;
use super::credential::Credential as Made;
use super::error::ClusterError;
use super::given::CheckedReach;
use super::record::{CertificateAuthority, ClusterRecord, Credential, Reach, Sealed, SealedKind};
use super::seal::KeyFile;
use super::source::{Snapshot, read_kubeconfig};
use crate::identity::ClusterId;
use crate::secret::Secret;

/// What it takes to read records: the key for what is sealed, and which files a record may name.
#[derive(Debug, Clone, Default)]
pub struct Keeping {
    /// The key for what is sealed.
    pub key_file: KeyFile,
    /// The directory below which records that came by the API may name files; none without.
    pub files_dir: Option<PathBuf>,
}

/// Which files may be named.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Files {
    /// Any: the operator wrote the record.
    Any,
    /// Those below this directory. Somebody who may use the API, and no more, could read the server's files otherwise, or
    /// have a program run.
    Below(Option<PathBuf>),
}

/// A record together with what it takes to read it.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    id: ClusterId,
    reach: Reach,
    keeping: Keeping,
    files: Files,
}

impl Recorded {
    /// A record that the operator has written.
    pub(super) fn configured(record: &ClusterRecord, keeping: &Keeping) -> Arc<Self> {
        Self::new(record, keeping, Files::Any)
    }

    /// A record that came by the API.
    pub(super) fn stored(record: &ClusterRecord, keeping: &Keeping) -> Arc<Self> {
        Self::new(record, keeping, Files::Below(keeping.files_dir.clone()))
    }

    fn new(record: &ClusterRecord, keeping: &Keeping, files: Files) -> Arc<Self> {
        let (id, reach, keeping) = (record.id.clone(), record.reach.clone(), keeping.clone());
        Arc::new(Self { id, reach, keeping, files })
    }

    /// Where its apiservers are; none if its kubeconfig says so.
    pub(super) fn endpoints(&self) -> &[Uri] {
        &self.reach.endpoints
    }

    /// Reads it as it is now. Blocks.
    pub(super) fn read(&self) -> Result<Snapshot, ClusterError> {
        match &self.reach.credential {
            Credential::Configuration => Err(ClusterError::Unsupported("no credential of its own")),
            Credential::Kubeconfig { path, context } => {
                let path = self.files.resolve(path)?;
                let snapshot = read_kubeconfig(Some(&path), context.as_deref())?;
                let mut config = snapshot.config;
                self.complete(&mut config)?;
                Snapshot::of(config)
            }
            Credential::TokenFile { path } => {
                let text = Secret::new(read_text(&self.files.resolve(path)?)?);
                self.with_token(&text)
            }
            Credential::ClientCertificate { certificate, key } => {
                let certificate = read_text(&self.files.resolve(certificate)?)?;
                let key = Secret::new(read_text(&self.files.resolve(key)?)?);
                self.with_certificate(&certificate, &key)
            }
            Credential::Sealed { content, sealed } => self.with_sealed(*content, sealed),
        }
    }

    /// Reads what is described and not recorded yet, by the rules for what comes by the API. Blocks.
    pub(super) fn described(described: CheckedReach, keeping: &Keeping) -> Result<Snapshot, ClusterError> {
        let CheckedReach { reach, secret } = described;
        let files = Files::Below(keeping.files_dir.clone());
        let id = ClusterId::generate().map_err(|_| ClusterError::Credential("no random bytes".to_owned()))?;
        let recorded = Self { id, reach, keeping: keeping.clone(), files };
        match secret {
            None => recorded.read(),
            Some((content, secret)) => recorded.with_secret(content, &secret),
        }
    }

    /// Reads it and makes the credential, to learn whether it can be made. A plugin is not run for that. Blocks.
    pub(super) fn try_out(&self) -> Result<(), ClusterError> {
        let snapshot = self.read()?;
        if snapshot.config.auth_info.exec.is_none() {
            Made::new(&snapshot, None)?;
        }
        Ok(())
    }

    fn with_sealed(&self, content: SealedKind, sealed: &Sealed) -> Result<Snapshot, ClusterError> {
        let text = self.keeping.key_file.open(&self.id, &self.reach, content, sealed)?;
        self.with_secret(content, &text)
    }

    fn with_secret(&self, content: SealedKind, text: &Secret) -> Result<Snapshot, ClusterError> {
        match content {
            SealedKind::Token => self.with_token(text),
            SealedKind::ClientCertificate => self.with_certificate(text.expose(), text),
        }
    }

    fn with_token(&self, text: &Secret) -> Result<Snapshot, ClusterError> {
        let mut config = self.config()?;
        config.auth_info.token = Some(text.expose().trim().to_owned().into());
        Snapshot::of(config)
    }

    fn with_certificate(&self, certificate: &str, key: &Secret) -> Result<Snapshot, ClusterError> {
        let mut config = self.config()?;
        config.auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
        config.auth_info.client_key_data = Some(STANDARD.encode(key.expose()).into());
        Snapshot::of(config)
    }

    fn config(&self) -> Result<Config, ClusterError> {
        let first = self.reach.endpoints.first();
        let first = first.ok_or_else(|| ClusterError::Address(String::new(), "the record has none"))?;
        let mut config = Config::new(first.clone());
        self.complete(&mut config)?;
        Ok(config)
    }

    /// What the record says beside its credential.
    fn complete(&self, config: &mut Config) -> Result<(), ClusterError> {
        if let Some(first) = self.reach.endpoints.first() {
            config.cluster_url = first.clone();
        }
        if let Some(name) = &self.reach.tls_server_name {
            config.tls_server_name = Some(name.clone());
        }
        let pem = match &self.reach.ca {
            None => return Ok(()),
            Some(CertificateAuthority::Pem(pem)) => pem.clone(),
            Some(CertificateAuthority::File(path)) => read_text(&self.files.resolve(path)?)?,
        };
        config.root_cert = Some(authority::certificates(pem.as_bytes())?);
        Ok(())
    }
}

/// The source is the same if the record is; the rest is the server's.
impl PartialEq for Recorded {
    fn eq(&self, other: &Self) -> bool {
        (&self.id, &self.reach, &self.files) == (&other.id, &other.reach, &other.files)
    }
}

impl Eq for Recorded {}

impl Files {
    /// Where a file really is, if it may be read. Links are followed first, so that none leads out of the directory.
    fn resolve(&self, path: &Path) -> Result<PathBuf, ClusterError> {
        let directory = match self {
            Self::Any => return Ok(path.to_owned()),
            Self::Below(None) => return Err(ClusterError::FilesNotAllowed),
            Self::Below(Some(directory)) => directory,
        };
        let real = |path: &Path| {
            path.canonicalize().map_err(|error| ClusterError::File(path.display().to_string(), error))
        };
        let (root, file) = (real(directory)?, real(&directory.join(path))?);
        if file.starts_with(&root) && file.is_file() {
            Ok(file)
        } else {
            Err(ClusterError::FileOutside(path.display().to_string(), directory.display().to_string()))
        }
    }
}

fn read_text(path: &Path) -> Result<String, ClusterError> {
    std::fs::read_to_string(path).map_err(|error| ClusterError::File(path.display().to_string(), error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::cluster::source::tests::Directory;

    #[test]
    fn a_file_is_read_below_the_directory_alone_whatever_links_say() {
        let (inside, outside) = (Directory::new(), Directory::new());
        let secret = outside.write("secret", "hunter2");
        let token = inside.write("token", "good");
        let directory = token.parent().unwrap();
        symlink(&secret, directory.join("link")).unwrap();
        symlink(outside.write("x", "").parent().unwrap(), directory.join("way-out")).unwrap();
        symlink("token", directory.join("honest-link")).unwrap();
        let below = Files::Below(Some(directory.to_owned()));
        for path in ["token", "./token", "honest-link", token.to_str().unwrap()] {
            assert!(below.resolve(Path::new(path)).is_ok(), "{path}");
        }
        let above = format!("../{}/token", directory.file_name().unwrap().to_str().unwrap());
        assert!(below.resolve(Path::new(&above)).is_ok(), "it leads back inside");
        for path in
            ["link", "way-out/secret", "/etc/passwd", secret.to_str().unwrap(), ".", "../../etc/passwd"]
        {
            let refused = below.resolve(Path::new(path)).unwrap_err().to_string();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let refused = Files::Below(None).resolve(&token).unwrap_err();
        assert!(refused.to_string().contains("clusterFilesDir"), "{refused}");
        assert!(Files::Any.resolve(&secret).is_ok(), "what the operator writes is the operator's");
    }
}
