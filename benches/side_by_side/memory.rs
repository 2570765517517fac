//! What a proxy holds: memory, and connections to the origin.

use std::fs::read_to_string;
use std::net::SocketAddr;

use crate::process::tree;

/// As `/proc/net/tcp` writes the state of a connection that is open at both ends.
const ESTABLISHED: &str = "01";

/// Memory of a process and of all below it in KiB, each page divided by the number of processes that share it.
pub(crate) fn proportional(root: u32) -> f64 {
    let of_one = |process: u32| {
        // One that has just ended has none.
        let text = read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    };
    tree(root).into_iter().filter_map(|(process, _)| of_one(process)).sum()
}

/// Connections of this machine to `address`.
pub(crate) fn connections(address: SocketAddr) -> usize {
    let port = format!(":{:04X}", address.port());
    let is_one = |line: &&str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.len() > 3 && fields[2].ends_with(&port) && fields[3] == ESTABLISHED
    };
    read_to_string("/proc/net/tcp").unwrap().lines().filter(is_one).count()
}
