//! The configuration file is read again while the gate runs.

use nix::sys::signal::Signal;

use crate::support::gate::{Gate, Settings};
use crate::support::rig::Rig;

#[tokio::test]
async fn a_changed_configuration_is_taken_over_and_a_broken_one_is_not() {
    let settings = Settings { log_level: "info", ..Settings::default() };
    let rig = Rig::with(&["h2", "http/1.1"], &settings).await;
    let gate = &rig.gate;
    let reload = async |settings: &Settings| {
        gate.configure(settings);
        gate.signal(Signal::SIGHUP);
    };
    reload(&Settings { log_level: "error", ..Settings::default() }).await;
    gate.wait_until("taking the level over", async || count(gate, "ok").await == 1).await;
    rig.account("alice", &[]).await;
    assert!(!gate.stderr().contains("alice"), "{}", gate.stderr());
    assert_eq!(metric(gate, "portcullis_configuration_needs_restart").await, 0);

    reload(&Settings { limits: vec![("maxHeaders", "100")], ..settings.clone() }).await;
    gate.wait_until("telling of a restart", async || {
        metric(gate, "portcullis_configuration_needs_restart").await == 1
    })
    .await;
    assert!(gate.stderr().contains("limits.maxHeaders"), "{}", gate.stderr());

    reload(&Settings { log_level: "loud", ..Settings::default() }).await;
    gate.wait_until("refusing a level", async || count(gate, "error").await > 0).await;
    assert!(gate.stderr().contains("log.level"), "{}", gate.stderr());
    assert_eq!(gate.admin_request("/livez").await.0, 200);

    reload(&settings).await;
    gate.wait_until("as it was", async || metric(gate, "portcullis_configuration_needs_restart").await == 0)
        .await;
}

async fn count(gate: &Gate, result: &str) -> u64 {
    metric(gate, &format!("portcullis_reload_total{{what=\"configuration\",result=\"{result}\"}}")).await
}

async fn metric(gate: &Gate, series: &str) -> u64 {
    let (_, metrics) = gate.admin_request("/metrics").await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series}")).parse().unwrap()
}
