//! What shells, manuals and kubectl want to know.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::command::User;

#[test]
fn every_shell_has_its_completion() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = user.run(&["completion", shell]);
        assert_eq!(outcome.code, 0, "{shell}");
        assert!(outcome.stdout.contains("kubeconfig") && outcome.stdout.contains("portcullis"), "{shell}");
    }
    let script = user.file("completion.bash");
    std::fs::write(&script, user.run(&["completion", "bash"]).stdout).unwrap();
    assert!(Command::new("bash").arg("-n").arg(&script).status().unwrap().success());
    assert_eq!(user.run(&["completion", "cmd.exe"]).code, 2);
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let user = User::new();
    assert_eq!(user.run(&["man", "pages"]).code, 0);
    for page in
        ["portcullis.1", "portcullis-token.1", "portcullis-token-create.1", "portcullis-setting-set.1"]
    {
        let text = std::fs::read_to_string(user.file("pages").join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
    let all = user.run(&["man"]).stdout;
    assert!(all.matches(".SH SYNOPSIS").count() > 20 && all.contains("portcullis\\-token\\-rotate"), "{all}");
}

#[test]
fn kubectl_finds_it_as_a_plugin() {
    let user = User::new();
    let plugin = user.file("kubectl-portcullis");
    symlink(env!("CARGO_BIN_EXE_portcullis"), &plugin).unwrap();
    let run = |arguments: &[&str]| Command::new(&plugin).args(arguments).output().unwrap();
    let version = run(&["version"]);
    assert!(version.status.success());
    let help = String::from_utf8(run(&["token", "create", "--help"]).stdout).unwrap();
    assert!(help.contains("Usage: kubectl portcullis token create"), "{help}");
}
