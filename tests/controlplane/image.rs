//! Images without a registry: busybox, as an archive that containerd imports.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::daemon::run;
use crate::directory::RunDirectory;
use crate::error::{Error, doing};

/// What holds the namespaces of a pod.
pub(crate) const PAUSE_IMAGE: &str = "portcullis.test/pause:1";
/// What the tests run. The tests know it by the same name.
pub(crate) const TEST_IMAGE: &str = "portcullis.test/busybox:1";

/// Packs both images into one archive and says where it is.
pub(crate) fn pack(directory: &RunDirectory) -> Result<PathBuf, Error> {
    let archive = directory.file("images");
    let layer = archive.join("layer.tar");
    let root = directory.file("images-root");
    lay_out_root(&root)?;
    fs::create_dir_all(&archive).map_err(doing(archive.display()))?;
    tar(&root, &layer)?;
    let digest = Sha256::digest(fs::read(&layer).map_err(doing(layer.display()))?);
    let digest = digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    directory.write("images/pause.json", image(&digest, &["/bin/sleep", "infinity"]).to_string())?;
    directory.write("images/busybox.json", image(&digest, &["/bin/sh", "-c", IDLE]).to_string())?;
    let manifest = json!([
        { "Config": "pause.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"] },
        { "Config": "busybox.json", "RepoTags": [TEST_IMAGE], "Layers": ["layer.tar"] },
    ]);
    directory.write("images/manifest.json", manifest.to_string())?;
    let packed = directory.file("images.tar");
    tar(&archive, &packed)?;
    Ok(packed)
}

fn lay_out_root(root: &Path) -> Result<(), Error> {
    for place in ["bin", "etc", "root", "tmp"] {
        let place = root.join(place);
        fs::create_dir_all(&place).map_err(doing(place.display()))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))
        .map_err(doing("open /tmp of an image"))?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")
        .map_err(doing("write /etc/passwd"))?;
    fs::write(root.join("etc/group"), "root:x:0:\n").map_err(doing("write /etc/group"))?;
    let busybox = run(Command::new("sh").args(["-c", "command -v busybox"]))?;
    fs::copy(&busybox, root.join("bin/busybox")).map_err(doing(&busybox))?;
    for applet in run(Command::new(&busybox).arg("--list"))?.lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).map_err(doing(applet))?;
    }
    Ok(())
}

fn image(layer: &str, command: &[&str]) -> Value {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Cmd": command, "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer}")] },
    })
}

fn tar(directory: &Path, archive: &Path) -> Result<(), Error> {
    let mut command = Command::new("tar");
    command.args(["--create", "--numeric-owner", "--owner=0", "--group=0", "--file"]).arg(archive);
    run(command.arg("--directory").arg(directory).arg(".")).map(drop)
}

// Idles, and ends when it is told to: the first process of a container has no default for signals.
const IDLE: &str = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";
