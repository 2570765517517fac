//! Files that only their owner may read: the profile and kubeconfigs.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::error::CliError;
use crate::random::random_characters;

/// Replaces `path` by a file with `contents` that only the owner may read. A reader sees the old file or the whole
/// new one, also after a crash.
pub(super) fn write(path: &Path, contents: &[u8]) -> Result<(), CliError> {
    replace(path, contents).map_err(|error| CliError::File(path.to_owned(), error))
}

/// Makes a directory, and those above it, that only the owner may enter.
pub(super) fn create_dir(path: &Path) -> Result<(), CliError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| CliError::File(path.to_owned(), error))
}

fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    // Beside the target, since only within one file system is a rename atomic.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let suffix = random_characters::<8>().map_err(io::Error::other)?;
    let temporary = parent.join(format!(".{}.{}", name.display(), String::from_utf8_lossy(&suffix)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written =
        file.write_all(contents).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_replaced_file_is_private_whatever_it_was_before() {
        let suffix = String::from_utf8(random_characters::<8>().unwrap().to_vec()).unwrap();
        let dir = std::env::temp_dir().join(format!("portcullis-{suffix}")).join("below");
        create_dir(&dir).unwrap();
        let path = dir.join("file");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no temporary file stays");
        fs::remove_dir_all(dir.parent().unwrap()).unwrap();
    }
}
