//! Files as the kubelet mounts them: links into a directory that is a link itself, which is swapped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::directory::Directory;

/// A mounted secret. It goes when dropped.
pub(crate) struct Mounted {
    directory: Directory,
    versions: AtomicUsize,
}

impl Mounted {
    /// With these files, by name.
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let mounted = Self { directory: Directory::new(), versions: AtomicUsize::new(0) };
        mounted.swap(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), mounted.path(name)).unwrap();
        }
        mounted
    }

    /// Where a file is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a file holds now.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// All files anew, at once; those that are not named stay as they are.
    pub(crate) fn swap(&self, files: &[(&str, &str)]) {
        let version = format!("..v{}", self.versions.fetch_add(1, Ordering::Relaxed));
        let (new, data) = (self.path(&version), self.path("..data"));
        fs::create_dir(&new).unwrap();
        for entry in fs::read_dir(&data).into_iter().flatten().flatten() {
            fs::copy(entry.path(), new.join(entry.file_name())).unwrap();
        }
        for (name, content) in files {
            fs::write(new.join(name), content).unwrap();
        }
        symlink(&version, self.path("..new")).unwrap();
        fs::rename(self.path("..new"), data).unwrap();
    }
}
