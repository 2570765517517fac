//! The first start: an administrator, whose password only the operator of this machine can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::audit::Act;
use super::users::describe;
use super::{Authority, AuthorityError};
use crate::clock;
use crate::identity::{UserId, Username};
use crate::random::random_characters;
use crate::secret::Secret;
use crate::store::Write;
use crate::user::{NewPassword, PasswordHash, UserRecord};

impl Authority {
    /// Makes the user `admin` if there is no user at all, and returns the file its password was left in (0600).
    pub async fn bootstrap(&self, data_dir: &Path) -> Result<Option<PathBuf>, AuthorityError> {
        if self.store.has_users().await? {
            return Ok(None);
        }
        let text = random_characters::<PASSWORD_CHARACTERS>()?;
        let password = Secret::new(String::from_utf8_lossy(&text));
        let path = data_dir.join(PASSWORD_FILE);
        let file = path.clone();
        let slot = self.password_work.slot().await?;
        let hash = slot.run(move || {
            // The file first: an administrator whose password nobody knows would be a dead end, a file that is
            // overwritten at the next start is not.
            write_private(&file, &password)
                .map_err(|source| AuthorityError::AdminPassword { path: file, source })?;
            Ok::<_, AuthorityError>(PasswordHash::of(&NewPassword::new(password, PASSWORD_CHARACTERS)?)?)
        });
        let user = UserRecord {
            id: UserId::generate()?,
            name: Username::try_from("admin").map_err(|_| AuthorityError::NameTaken)?,
            groups: Vec::new(),
            admin: true,
            enabled: true,
            created_at: clock::now(),
            password: Some(hash.await??),
        };
        let act = Act::of_server("user.create").on_user(&user.id);
        let message = format!("first start: {}", describe(&user));
        self.commit(Write::InsertUser(Box::new(user)), act, message).await?;
        tracing::info!(file = %path.display(), "password of the first administrator was written");
        Ok(Some(path))
    }
}

/// Whole or not at all, and never readable by others, not even for a moment.
fn write_private(path: &Path, password: &Secret) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    // Left by a crash, perhaps with another mode: `mode` counts only for a file that is made.
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{}", password.expose())?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

/// Where the first administrator's password is left, in the data directory.
const PASSWORD_FILE: &str = "admin-password";

/// Of 27 letters each: about 114 bits.
const PASSWORD_CHARACTERS: usize = 24;
