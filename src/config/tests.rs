//! The table of keys against its promises, and the rules of precedence and of error reports.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::setting::Setting;

/// For each kind a value that every key of that kind takes, and one that none takes.
fn examples(key: &Key) -> (&'static str, &'static str) {
    match (key.kind, key.path) {
        (Kind::Address, _) => ("127.0.0.1:18443", "localhost"),
        (Kind::Path, _) => ("/etc/portcullis/x", ""),
        (Kind::Text, "log.format") => ("text", "xml"),
        (Kind::Text, "log.level") => ("debug", "loud"),
        (Kind::Text, "cluster.serviceAccounts") => ("deny", "maybe"),
        (Kind::Text, _) => ("staging", " "),
        (Kind::Url, _) => ("https://gate.example.org", "gate.example.org"),
        (Kind::List, "tls.serverNames") => ("gate.example.org,10.0.0.1", "a b"),
        (Kind::List, "cluster.allowedUsers" | "cluster.allowedGroups") => ("alice,bob", "a\tb"),
        (Kind::List, "serviceAccounts.audiences") => ("portcullis,gate", "a\tb"),
        (Kind::List, "cluster.endpoints") => ("https://10.0.0.1:6443,https://10.0.0.2:6443", "10.0.0.1"),
        (Kind::List, _) => ("system:masters,system:node:a", "masters"),
        (Kind::Count, _) => ("77", "0"),
        (Kind::Fraction, _) => ("0.01", "1.5"),
        (Kind::Duration, _) => ("77s", "77"),
        (Kind::Size, _) => ("77KiB", "77"),
        (Kind::Bool, _) => ("false", "no"),
    }
}

/// What else must be set so that the key alone is no mistake.
fn companion(key: &Key) -> Option<&'static str> {
    match key.path {
        "tls.certificate" => Some("PORTCULLIS_TLS_KEY"),
        "tls.key" => Some("PORTCULLIS_TLS_CERTIFICATE"),
        _ => None,
    }
}

pub(super) fn sources() -> Sources {
    let mut sources = Sources { host: Host { superuser: false, cores: 3 }, ..Sources::default() };
    sources.environment.insert("HOME".into(), "/home/gate".into());
    sources
}

pub(super) fn with_file(mut sources: Sources, body: &str) -> Sources {
    let text = format!("apiVersion: {API_VERSION}\nkind: {KIND}\n{body}\n");
    sources.file = Some(ConfigFile { path: PathBuf::from("gate.yaml"), text });
    sources
}

fn with_companion(mut sources: Sources, key: &Key) -> Sources {
    if let Some(variable) = companion(key) {
        sources.environment.insert(variable.into(), "/etc/portcullis/other".into());
    }
    sources
}

/// The path as nested YAML with the value behind it.
fn yaml(path: &str, value: &str) -> String {
    match path.split_once('.') {
        Some((section, name)) => format!("{section}:\n  {name}: {value}"),
        None => format!("{path}: {value}"),
    }
}

fn errors(sources: &Sources) -> Vec<String> {
    Resolution::of(sources).unwrap_err().iter().map(ToString::to_string).collect()
}

fn origin_of(sources: &Sources, key: &Key) -> Origin {
    let resolution = Resolution::of(sources).unwrap_or_else(|errors| panic!("{}: {errors}", key.path));
    resolution.values.into_iter().find(|value| value.key.path == key.path).unwrap().origin
}

#[test]
fn names_follow_from_the_path_and_are_unique() {
    let mut seen = BTreeSet::new();
    for key in KEYS {
        let mut snake = String::from("PORTCULLIS_");
        for letter in key.path.chars() {
            match letter {
                '.' => snake.push('_'),
                upper if upper.is_ascii_uppercase() => snake.extend(['_', upper]),
                lower => snake.push(lower.to_ascii_uppercase()),
            }
        }
        assert_eq!(key.environment, snake);
        let is_set_in_pods = snake.ends_with("_PORT")
            || ["_SERVICE_HOST", "_SERVICE_PORT"].into_iter().any(|part| snake.contains(part));
        assert!(!is_set_in_pods, "Kubernetes sets {snake} in pods");
        assert!(!key.help.is_empty() && !key.help.ends_with('.'));
        let flag = key.flag.map(|flag| format!("--{flag}"));
        for name in [Some(key.path.to_owned()), Some(key.environment.to_owned()), flag].into_iter().flatten()
        {
            assert!(seen.insert(name), "{} shares a name", key.path);
        }
    }
}

#[test]
fn everything_has_a_default() {
    let config = Config::resolve(&sources()).unwrap();
    assert_eq!(config.listen.to_string(), "0.0.0.0:8443");
    assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(config.data_dir, PathBuf::from("/home/gate/.local/share/portcullis"));
    assert_eq!(config.workers, 3);
    assert_eq!(config.limits.max_header_bytes, 128 * 1024);
    assert_eq!(config.limits.drain_timeout, Duration::from_mins(1));
    assert_eq!((config.tls, config.server_url), (None, None));
    assert_eq!(config.log, Log { format: LogFormat::Json, level: "info".into(), access: true });
}

#[test]
fn the_data_directory_depends_on_who_runs_the_server() {
    let mut root = sources();
    root.host.superuser = true;
    assert_eq!(Config::resolve(&root).unwrap().data_dir, PathBuf::from("/var/lib/portcullis"));

    let mut xdg = sources();
    xdg.environment.insert("XDG_DATA_HOME".into(), "/data".into());
    assert_eq!(Config::resolve(&xdg).unwrap().data_dir, PathBuf::from("/data/portcullis"));

    let mut homeless = sources();
    homeless.environment.clear();
    let errors = errors(&homeless);
    assert!(matches!(errors.as_slice(), [error] if error.contains("PORTCULLIS_DATA_DIR")), "{errors:?}");
}

#[test]
fn every_key_is_set_by_file_environment_and_flag_in_rising_precedence() {
    for key in KEYS {
        let (good, _) = examples(key);
        let mut sources = sources();
        assert_eq!(origin_of(&sources, key), Origin::Default);
        sources = with_companion(sources, key);

        let in_file = if key.kind == Kind::List { format!("[{good}]") } else { good.to_owned() };
        sources = with_file(sources, &yaml(key.path, &in_file));
        assert_eq!(origin_of(&sources, key), Origin::File(PathBuf::from("gate.yaml")));
        let from_file = Config::resolve(&sources).unwrap();

        sources.environment.insert(key.environment.into(), good.into());
        assert_eq!(origin_of(&sources, key), Origin::Environment(key.environment.into()));
        assert_eq!(
            Config::resolve(&sources).unwrap(),
            from_file,
            "{}: a list or text depends on its source",
            key.path
        );

        if let Some(flag) = key.flag {
            sources.flags.insert(key.path, good.into());
            assert_eq!(origin_of(&sources, key), Origin::Flag(flag));
        }
    }
}

#[test]
fn every_key_reaches_the_configuration() {
    for key in KEYS {
        let mut sources = with_companion(sources(), key);
        let before = companion(key).is_none().then(|| Config::resolve(&sources).unwrap());
        sources.environment.insert(key.environment.into(), examples(key).0.into());
        assert_ne!(before, Some(Config::resolve(&sources).unwrap()), "{} changes nothing", key.path);
    }
}

#[test]
fn a_bad_value_is_named_with_its_source_and_what_is_expected() {
    for key in KEYS {
        let (_, bad) = examples(key);
        let mut sources = with_companion(sources(), key);
        sources = with_file(sources, &yaml(key.path, &format!("{bad:?}")));
        let found = errors(&sources);
        let start = format!("{} (file gate.yaml): expected ", key.path);
        assert!(found.iter().any(|error| error.starts_with(&start)), "{}: {found:?}", key.path);
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let mut sources = with_file(
        sources(),
        "lisen: 1.2.3.4:5\nmaxHeaders: 5\nlimits: {headerTimeout: 10, idleTimeout: [1s], maxThings: {a: 1}}\nlog: loud",
    );
    sources.environment.insert("PORTCULLIS_WORKERS".into(), "many".into());
    sources.environment.insert("PORTCULLIS_LISTN".into(), "x".into());
    sources.flags.insert("tls.certificate", "/cert.pem".into());
    let expected = [
        "lisen (file gate.yaml): unknown, did you mean listen?",
        "maxHeaders (file gate.yaml): unknown, did you mean limits.maxHeaders?",
        "limits.maxThings (file gate.yaml): unknown",
        "log (file gate.yaml): expected a mapping with keys below it",
        "PORTCULLIS_LISTN (environment PORTCULLIS_LISTN): unknown, did you mean PORTCULLIS_LISTEN?",
        "workers (environment PORTCULLIS_WORKERS): expected a whole number from 1 to 1024, not \"many\"",
        "limits.headerTimeout (file gate.yaml): expected a duration from 1ms to 86400s, such as 30s or 5m, not \"10\"",
        "limits.idleTimeout (file gate.yaml): expected a single value",
        "tls.certificate, tls.key: set both, or none for a self-made certificate",
    ];
    let mut found = errors(&sources);
    found.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn variables_that_kubernetes_or_others_set_are_no_mistake() {
    let mut sources = sources();
    for name in [
        "PORTCULLIS_PORT",
        "PORTCULLIS_SERVICE_HOST",
        "PORTCULLIS_ADMIN_PORT_9090_TCP",
        "PORTCULLIS_HOME",
        "PORTCULLIS_TOKEN",
    ] {
        sources.environment.insert(name.into(), "tcp://10.0.0.1:443".into());
    }
    sources.environment.insert("PORTCULLIS_WORKERS".into(), String::new());
    assert_eq!(Config::resolve(&sources).unwrap().workers, 3, "an empty variable is an absent one");
}

#[test]
fn a_file_must_say_what_it_is() {
    let mut sources = sources();
    for (text, count) in [
        ("listen: 127.0.0.1:1", 2),
        ("apiVersion: portcullis.dev/v2\nkind: Configuration", 1),
        ("apiVersion: portcullis.dev/v1alpha1\nkind: Config", 1),
        ("[]", 1),
        ("just words", 1),
        ("a: [", 1),
        ("apiVersion: portcullis.dev/v1alpha1\nkind: Configuration\nworkers: 1\nworkers: 2", 1),
        ("apiVersion: portcullis.dev/v1alpha1\nkind: Configuration\n\"limits.maxHeaders\": 5", 1),
        ("apiVersion: portcullis.dev/v1alpha1\nkind: Configuration\n---\nworkers: 2", 1),
    ] {
        sources.file = Some(ConfigFile { path: PathBuf::from("gate.yaml"), text: text.into() });
        assert_eq!(errors(&sources).len(), count, "{text}: {:?}", errors(&sources));
    }
}

#[test]
fn an_open_line_is_not_a_value() {
    let config = Config::resolve(&with_file(sources(), "serverUrl:\nlimits:\nlog:\n  level:")).unwrap();
    assert_eq!((config.server_url, config.log.level.as_str()), (None, "info"));
}

#[test]
fn clients_cannot_be_given_the_admin_listener() {
    let mut sources = sources();
    for (main, admin, good) in [
        ("127.0.0.1:1", "127.0.0.1:1", false),
        ("0.0.0.0:1", "127.0.0.1:1", false),
        ("127.0.0.1:1", "[::]:1", false),
        ("127.0.0.1:1", "127.0.0.2:1", true),
        ("127.0.0.1:0", "127.0.0.1:0", true),
    ] {
        sources.flags.insert("listen", main.into());
        sources.flags.insert("adminListen", admin.into());
        assert_eq!(Config::resolve(&sources).is_ok(), good, "{main} {admin}");
    }
}

#[test]
fn what_check_config_prints_is_a_configuration_that_gives_the_same() {
    let mut sources = with_file(
        sources(),
        "log: {level: debug}\ntls: {serverNames: [gate, 10.0.0.1]}\nclusters: [{id: prod, kubeconfig: '/a # b'}]",
    );
    sources.environment.insert("PORTCULLIS_CLUSTER_CONTEXT".into(), "a: \"b\" # c".into());
    sources
        .environment
        .insert("PORTCULLIS_USERS_ALLOWED_SYSTEM_IDENTITIES".into(), "system:a, system:b".into());
    let resolution = Resolution::of(&sources).unwrap();
    let printed = resolution.to_yaml();
    assert!(printed.contains("  level: \"debug\"  # file gate.yaml\n"), "{printed}");
    assert!(printed.contains("listen: \"0.0.0.0:8443\"  # default\n"), "{printed}");
    assert!(printed.contains("serverUrl:  # not set\n"), "{printed}");

    let mut again = Sources { host: sources.host, ..Sources::default() };
    again.file = Some(ConfigFile { path: PathBuf::from("printed.yaml"), text: printed });
    assert_eq!(Config::resolve(&again).unwrap(), resolution.config);
}

#[test]
fn settings_of_the_environment_are_checked_like_keys() {
    let mut sources = sources();
    let mut set = |name: &str, value: &str| {
        sources.environment.insert(format!("PORTCULLIS_SETTING_{name}"), value.to_owned());
        sources.clone()
    };
    set("SERVER_URL", "");
    let good = set("AUTH_TOKEN_MAX_TTL_MINUTES", "060");
    let resolution = Resolution::of(&good).unwrap();
    let expected = Values::from([(Setting::TokenMaxTtl, "60".to_owned())]);
    assert_eq!(resolution.config.settings, expected, "an empty variable is an absent one");
    let line =
        "\n# auth-token-max-ttl-minutes: 60  # environment PORTCULLIS_SETTING_AUTH_TOKEN_MAX_TTL_MINUTES\n";
    assert!(resolution.to_yaml().contains(line));

    let conflict = set("KUBECONFIG_DEFAULT_TOKEN_TTL_MINUTES", "61");
    assert!(
        matches!(errors(&conflict).as_slice(), [error] if error.contains("(61)") && error.contains("(60)")),
        "{:?}",
        errors(&conflict)
    );
    set("KUBECONFIG_DEFAULT_TOKEN_TTL_MINUTES", "60");
    set("PASSWORD_MIN_LENGTH", "many");
    set("PASSWORD_MIN_LENGHT", "12");
    let bad = set("NOTHING_OF_THE_KIND", "1");
    let mut found = errors(&bad);
    found.sort();
    let expected = [
        "PORTCULLIS_SETTING_NOTHING_OF_THE_KIND (environment PORTCULLIS_SETTING_NOTHING_OF_THE_KIND): unknown",
        "PORTCULLIS_SETTING_PASSWORD_MIN_LENGHT (environment PORTCULLIS_SETTING_PASSWORD_MIN_LENGHT): unknown, did you mean PORTCULLIS_SETTING_PASSWORD_MIN_LENGTH?",
        "password-min-length (environment PORTCULLIS_SETTING_PASSWORD_MIN_LENGTH): expected a whole number from 8 to 128, not \"many\"",
    ];
    assert_eq!(found, expected);
}

#[test]
fn backups_are_kept_beside_the_data_and_never_within() {
    for (data, given, expected) in [
        ("/var/lib/portcullis", "", Some("/var/lib/portcullis-backups")),
        ("/var/lib/portcullis/", "", Some("/var/lib/portcullis-backups")),
        ("data", "", Some("data-backups")),
        ("/", "", None),
        ("/data", "/backups", Some("/backups")),
        ("/data", "/data/backups", None),
        ("/data", "/data", None),
        ("/data", "/data2", Some("/data2")),
    ] {
        let mut sources = sources();
        sources.flags.insert("dataDir", data.into());
        sources.environment.insert("PORTCULLIS_BACKUP_DIR".into(), given.into());
        let dir = Config::resolve(&sources).ok().map(|config| config.backup_dir);
        assert_eq!(dir, expected.map(PathBuf::from), "{data} {given}");
    }
}

#[test]
fn the_readme_lists_every_key() {
    let row = |key: &Key| {
        let flag = key.flag.map(|flag| format!("`--{flag}`")).unwrap_or_default();
        let (path, variable, kind) = (key.path, key.environment, key.kind.name());
        let (default, reload) = (key.default.describe(), key.reload.name());
        format!("| `{path}` | `{variable}` | {flag} | {kind} | {default} | {reload} | {} |\n", key.help)
    };
    let head =
        "| key | variable | flag | type | default | reload | what it is |\n|---|---|---|---|---|---|---|\n";
    let table = head.to_owned() + &KEYS.iter().map(row).collect::<String>() + "\n";
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&table), "the table in README.md should be:\n{table}");
}
