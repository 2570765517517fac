//! What needs no server.

use crate::command::User;

#[test]
fn without_a_command_the_help_is_shown_as_a_mistake() {
    let outcome = User::new().run(&[]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""));
    assert!(outcome.stderr.contains("Usage: portcullis <COMMAND>"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("Examples:"), "{}", outcome.stderr);
}

#[test]
fn wrong_usage_and_failure_have_codes_of_their_own() {
    let user = User::new();
    for arguments in [
        &["nonsense"][..],
        &["token"],
        &["token", "delete"],
        &["token", "create", "--ttl", "soon"],
        &["token", "list", "-o", "xml"],
        &["token", "create", "-o", "name"],
        &["user", "set-groups", "alice"],
        &["serve", "--no-such-flag"],
        &["login", "http://gate.example.org"],
        &["login", "gate.example.org", "--ca-file", "a", "--insecure-skip-tls-verify"],
        &["kubeconfig", "--force"],
    ] {
        assert_eq!(user.run(arguments).code, 2, "{arguments:?}");
    }
    for arguments in [&["whoami"][..], &["logout"], &["token", "list"], &["kubeconfig"], &["user", "list"]] {
        let outcome = user.run(arguments);
        assert_eq!(outcome.code, 1, "{arguments:?}");
        assert_eq!(outcome.stderr, "error: not logged in: run `portcullis login URL` first\n");
    }
}

#[test]
fn help_and_version_are_results() {
    let user = User::new();
    let version = user.run(&["version"]);
    assert_eq!(
        (version.code, version.stdout.as_str()),
        (0, concat!("portcullis ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let help = user.run(&["serve", "--help"]);
    assert_eq!(help.code, 0);
    for flag in [
        "--config",
        "--listen",
        "--admin-listen",
        "--data-dir",
        "--kubeconfig",
        "--context",
        "--tls-cert",
        "--tls-key",
    ] {
        assert!(help.stdout.contains(&format!("{flag} <")), "{flag}: {}", help.stdout);
    }
}

#[test]
fn a_checked_configuration_can_be_used_as_it_is_printed() {
    let user = User::new();
    let first = user.run(&["check-config", "--listen", "127.0.0.1:1234"]);
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stdout.contains("listen: \"127.0.0.1:1234\"  # flag --listen\n"), "{}", first.stdout);
    std::fs::write(user.file("config.yaml"), &first.stdout).unwrap();
    let second = user.run(&["check-config", "--config", "config.yaml"]);
    assert_eq!(second.code, 0, "{second:?}");
    let without_comments = |yaml: &str| {
        yaml.lines().map(|line| line.split("  #").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(without_comments(&first.stdout), without_comments(&second.stdout));
}

#[test]
fn all_mistakes_of_a_configuration_are_told_at_once() {
    let user = User::new();
    std::fs::write(
        user.file("config.yaml"),
        "apiVersion: v1\nkind: Configuration\nlisten: here\nworkes: 1\n",
    )
    .unwrap();
    for command in ["check-config", "serve"] {
        let outcome = user.run(&[command, "--config", "config.yaml"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
        for part in ["apiVersion", "listen", "did you mean workers?"] {
            assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
        }
    }
}
