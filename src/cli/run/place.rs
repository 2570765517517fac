//! Where a command's kubeconfig is: a directory of its own, locked while its run lives, so that the next run can tell and
//! remove what a killed one left.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cli::client::{Client, encoded};
use crate::cli::error::CliError;
use crate::cli::trust::Trust;
use crate::cli::{output, private_file};
use crate::random::random_characters;
use crate::secret::Secret;

/// The directory of one run; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    _lock: File,
}

impl Place {
    /// A new one, after those of killed runs were removed.
    pub(super) fn make() -> Result<Self, CliError> {
        let set = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_dir());
        Self::make_in(&set.unwrap_or_else(std::env::temp_dir))
    }

    fn make_in(base: &Path) -> Result<Self, CliError> {
        let made = make(base).map_err(|error| CliError::File(base.to_owned(), error))?;
        sweep(base, &made.directory);
        Ok(made)
    }

    /// Where the kubeconfig is.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// Writes the kubeconfig.
    pub(super) fn write(&self, client: &Client, cluster: &str, token: &Secret) -> Result<(), CliError> {
        let text = kubeconfig(client.server(), client.trust(), cluster, token);
        private_file::write(&self.kubeconfig(), text.to_string().as_bytes())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            output::complain(&CliError::File(self.directory.clone(), error));
        }
    }
}

fn kubeconfig(server: &str, trust: &Trust, cluster: &str, token: &Secret) -> Value {
    let server = format!("{server}/k8s/clusters/{}", encoded(cluster));
    let endpoint = match trust {
        Trust::System => json!({ "server": server }),
        Trust::Authority(pem) => {
            json!({ "server": server, "certificate-authority-data": STANDARD.encode(pem) })
        }
        Trust::Anybody => json!({ "server": server, "insecure-skip-tls-verify": true }),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": cluster, "cluster": endpoint }],
        "users": [{ "name": cluster, "user": { "token": token.expose() } }],
        "contexts": [{ "name": cluster, "context": { "cluster": cluster, "user": cluster } }],
        "current-context": cluster,
    })
}

/// It gets the name that is swept only when it is locked, so that nobody takes it for a left one.
fn make(base: &Path) -> io::Result<Place> {
    let suffix = random_characters::<8>().map_err(io::Error::other)?;
    let suffix = String::from_utf8_lossy(&suffix);
    let new = base.join(format!(".{PREFIX}{suffix}"));
    let directory = base.join(format!("{PREFIX}{suffix}"));
    DirBuilder::new().mode(0o700).create(&new)?;
    let locked = || {
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(new.join(LOCK))?;
        lock.try_lock()?;
        fs::rename(&new, &directory)?;
        Ok(lock)
    };
    let lock = locked().inspect_err(|_: &io::Error| {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&new);
    })?;
    Ok(Place { directory, _lock: lock })
}

/// Removes the directories of runs that have ended. What can't be removed is another user's, or will be tried again.
fn sweep(base: &Path, own: &Path) {
    let (Ok(own_facts), Ok(entries)) = (fs::symlink_metadata(own), fs::read_dir(base)) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let named =
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()));
        // By its lock, ours would be alive as well; but it is held by this very process.
        if !named || path == own {
            continue;
        }
        let ours =
            fs::symlink_metadata(&path).is_ok_and(|facts| facts.is_dir() && facts.uid() == own_facts.uid());
        if ours && !is_alive(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// One without a lock was left while it was being removed.
fn is_alive(directory: &Path) -> bool {
    File::open(directory.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_err())
}

const PREFIX: &str = "portcullis-run-";
const LOCK: &str = "lock";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    struct Base(PathBuf);

    impl Base {
        fn new() -> Self {
            let suffix = String::from_utf8(random_characters::<8>().unwrap().to_vec()).unwrap();
            let path = std::env::temp_dir().join(format!("portcullis-{suffix}"));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn count(&self) -> usize {
            fs::read_dir(&self.0).unwrap().count()
        }
    }

    impl Drop for Base {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn what_a_killed_run_left_goes_with_the_next_and_the_living_stay() {
        let base = Base::new();
        let living = Place::make_in(&base.0).unwrap();
        let left = base.0.join("portcullis-run-bcdfgbcd");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("kubeconfig"), "").unwrap();
        let half_removed = base.0.join("portcullis-run-zzzzzzzz");
        fs::create_dir(&half_removed).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        fs::create_dir(base.0.join("somebody-else")).unwrap();
        symlink(base.0.join("somebody-else"), base.0.join("portcullis-run-link")).unwrap();

        let next = Place::make_in(&base.0).unwrap();
        assert!(living.directory.exists() && next.directory.exists());
        assert!(!left.exists() && !half_removed.exists());
        drop((living, next));
        assert_eq!(base.count(), 2, "only what is not ours is left");
    }

    #[test]
    fn a_kubeconfig_is_for_its_owner_alone() {
        let base = Base::new();
        let place = Place::make_in(&base.0).unwrap();
        let client = Client::anonymous("https://gate:8443", &Trust::Authority("pem".to_owned()));
        place.write(&client, "local", &Secret::new("name:key")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&place.directory), 0o700);
        assert_eq!(mode(&place.kubeconfig()), 0o600);
        let written: Value = serde_json::from_slice(&fs::read(place.kubeconfig()).unwrap()).unwrap();
        assert_eq!(written["users"][0]["user"]["token"], "name:key");
        let cluster = &written["clusters"][0]["cluster"];
        assert_eq!(cluster["server"], "https://gate:8443/k8s/clusters/local");
        assert_eq!(cluster["certificate-authority-data"], STANDARD.encode("pem"));
    }

    #[test]
    fn trust_in_nobody_or_everybody_is_passed_on() {
        let of = |trust| kubeconfig("https://gate", &trust, "local", &Secret::new(""));
        assert_eq!(
            of(Trust::System)["clusters"][0]["cluster"],
            json!({ "server": "https://gate/k8s/clusters/local" })
        );
        assert_eq!(of(Trust::Anybody)["clusters"][0]["cluster"]["insecure-skip-tls-verify"], true);
    }
}
