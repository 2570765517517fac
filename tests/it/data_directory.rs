//! What the gate leaves on disk is for its own user alone.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::rig::Rig;

#[tokio::test]
async fn nobody_else_can_read_the_data_directory_or_a_secret_in_it() {
    let rig = Rig::start().await;
    let directory = rig.gate.data_directory();
    assert_eq!(mode(&directory), 0o700);
    for secret in ["admin-password", "ca.key", "portcullis.db", "portcullis.db-wal"] {
        assert_eq!(mode(&directory.join(secret)), 0o600, "{secret}");
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}
