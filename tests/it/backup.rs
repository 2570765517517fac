//! Backups of a server that runs, and what becomes of them.

use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::command_line::{CommandLine, Outcome};
use crate::support::database;
use crate::support::rig::Rig;

/// A gate, and its operator at the same machine.
struct Machine {
    rig: Rig,
    operator: CommandLine,
}

impl Machine {
    async fn start() -> Self {
        Self { rig: Rig::start().await, operator: CommandLine::new() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.operator.home().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let data = self.rig.gate.data_directory();
        self.operator.run(&[arguments, &["--data-dir", data.to_str().unwrap()]].concat())
    }

    fn refused(&self, arguments: &[&str], why: &str) {
        let outcome = self.run(arguments);
        assert_eq!(outcome.code, Some(1), "{arguments:?}: {outcome:?}");
        assert!(outcome.stderr.contains(why), "{arguments:?}: {}", outcome.stderr);
    }

    async fn stop(&mut self) {
        self.rig.gate.signal(Signal::SIGTERM);
        assert_eq!(self.rig.gate.exit_code().await, Some(0));
    }

    async fn status(&self, bearer: &str) -> u16 {
        self.rig.api("GET", "/v3/tokens?me=true", bearer, &Value::Null).await.status
    }
}

#[tokio::test]
async fn a_backup_of_a_running_server_brings_back_what_it_held() {
    let mut machine = Machine::start().await;
    let account = machine.rig.account("alice", &["dev"]).await;
    let (_, before) = machine.rig.token(&account.bearer, 0).await;
    let outcome = machine.run(&["backup", "backup.db"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("backup.db.sha256"), "{}", outcome.stderr);
    let checked = Command::new("sha256sum")
        .args(["--check", "--status", "backup.db.sha256"])
        .current_dir(machine.operator.home())
        .status();
    assert!(checked.unwrap().success(), "the checksum is one that others can check");
    machine.refused(&["backup", "backup.db"], "exists already");

    let (_, after) = machine.rig.token(&account.bearer, 0).await;
    let target = format!("/v3/tokens/{}", before.split_once(':').unwrap().0);
    assert_eq!(machine.rig.api("DELETE", &target, &account.bearer, &Value::Null).await.status, 204);
    assert_eq!((machine.status(&before).await, machine.status(&after).await), (401, 200));

    machine.refused(&["restore", "backup.db", "--force"], "in use by another process");
    machine.stop().await;
    machine.refused(&["restore", "backup.db"], "has changed since");
    machine.rig.gate.restart().await;
    assert_eq!(machine.status(&after).await, 200, "what was refused changed nothing");

    machine.stop().await;
    assert_eq!(machine.run(&["restore", "backup.db", "--force"]).code, Some(0));
    machine.rig.gate.restart().await;
    assert_eq!((machine.status(&before).await, machine.status(&after).await), (200, 401));
}

#[tokio::test]
async fn a_backup_becomes_a_store_where_there_is_none() {
    let machine = Machine::start().await;
    assert_eq!(machine.run(&["backup", "backup.db"]).code, Some(0));
    let restored = machine.operator.run(&["restore", "backup.db", "--data-dir", "elsewhere"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    let copy = rusqlite::Connection::open(machine.file("elsewhere/portcullis.db")).unwrap();
    let users: i64 = copy.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).unwrap();
    assert_eq!(users, 1);
}

#[tokio::test]
async fn what_is_no_sound_backup_is_not_restored() {
    let mut machine = Machine::start().await;
    machine.refused(
        &["backup", machine.rig.gate.data_directory().join("b.db").to_str().unwrap()],
        "belongs elsewhere",
    );
    let nothing = machine.operator.run(&["backup", "b.db", "--data-dir", "empty"]);
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert_eq!(machine.run(&["backup", "backup.db"]).code, Some(0));
    machine.stop().await;

    let mut bytes = std::fs::read(machine.file("backup.db")).unwrap();
    bytes[5_000] ^= 1;
    std::fs::write(machine.file("altered.db"), &bytes).unwrap();
    machine.refused(&["restore", "altered.db", "--force"], "there is no checksum");
    std::fs::copy(machine.file("backup.db.sha256"), machine.file("altered.db.sha256")).unwrap();
    machine.refused(&["restore", "altered.db", "--force"], "not what its checksum says");
    machine.refused(&["restore", "missing.db", "--force"], "there is no checksum");

    let later = database::open(&machine.rig.gate);
    later.execute("INSERT INTO schema_migrations (version, applied_at) VALUES (99, 0)", []).unwrap();
    drop(later);
    assert_eq!(machine.run(&["backup", "later.db"]).code, Some(0));
    machine.refused(&["restore", "later.db", "--force"], "use the newer Portcullis");
}
