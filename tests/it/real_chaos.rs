//! The way to a real apiserver breaks: what kubectl makes of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, json};

use crate::cluster::Cluster;
use crate::real_gate::{RealGate, open_upstream, succeed};
use crate::real_streams::{Protocol, Session};
use crate::real_tunnel_cuts::Watched;
use crate::support::chaos::{Chaos, Fault};
use crate::support::{accounts, report};

/// Until kubectl has ended, where the gate's kernel hears of the end and where it does not.
const HEARD: Duration = Duration::from_secs(2);
const UNHEARD: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_ends_soon_after_the_way_to_the_apiserver_does() {
    let chaos = Chaos::before(port(Cluster::shared())).await;
    let gate = Arc::new(RealGate::start_by(&address(&chaos)).await);
    let Some(websocket) = Session::of(Arc::clone(&gate), "broken", Protocol::WebSocket).await else { return };
    let Some(spdy) = Session::of(gate, "broken-spdy", Protocol::Spdy).await else { return };
    for session in [&websocket, &spdy] {
        session.user.run_pod("web", &[], &["sleep", "600"]);
    }
    let mut rows = Map::new();
    let faults =
        [(Fault::Reset, "is reset", HEARD), (Fault::End, "ends", HEARD), (Fault::Loss, "is lost", UNHEARD)];
    for (fault, name, limit) in faults {
        let mut commands = Vec::new();
        for (session, command, protocol, line) in [
            (&websocket, &EXEC[..], "WebSocket", "begun"),
            (&spdy, &EXEC[..], "SPDY", "begun"),
            (&websocket, &["get", "pods", "--watch"][..], "HTTP/2", "web"),
        ] {
            let (token, bearer) = accounts::token(&session.gate.gate, &session.user.account.bearer, 0).await;
            let mut watched = Watched::start(session, &bearer, command);
            watched.running.line_with(line);
            commands.push((format!("{}, {protocol}, when the way {name}", command[0]), token, watched));
        }
        // What the watch shows at first is from a list; that it is open the apiserver says.
        let gate = &websocket.gate;
        for (_, token, _) in &commands {
            let is_open = async || open_upstream(gate.cluster, token).is_none_or(|open| open == 1);
            gate.gate.wait_until("streaming", is_open).await;
        }
        let broke = Instant::now();
        chaos.now(fault);
        let ends: Vec<_> = commands
            .into_iter()
            .map(|(name, token, watched)| {
                tokio::task::spawn_blocking(move || (name, watched.end(&token).1, broke.elapsed()))
            })
            .collect();
        for end in ends {
            let (name, mut end, taken) = end.await.unwrap();
            eprintln!("{name}: {end} after {taken:?}");
            assert!(taken < limit, "{name}: {end} after {taken:?}");
            end["ms"] = json!(taken.as_millis());
            rows.insert(name, end);
        }
        // And can be run again at once.
        succeed(websocket.kubectl().args(["exec", "web", "--", "true"]));
    }
    let command = "cargo test --test it kubectl_ends_soon_after";
    report::write("way-to-the-apiserver", &json!({ "command": command, "command of kubectl": rows }));
}

const EXEC: [&str; 7] = ["exec", "-i", "web", "--", "sh", "-c", "echo begun; exec cat"];

pub(crate) fn port(cluster: &Cluster) -> u16 {
    cluster.server().rsplit(':').next().unwrap().parse().unwrap()
}

pub(crate) fn address(chaos: &Chaos) -> String {
    format!("https://127.0.0.1:{}", chaos.port)
}
