//! How many files the process may have open: each connection of a client is one, and those to the clusters are more.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Takes as many as the system lets it have. The soft limit that most things are started with, 1024, is for programs that
/// use select(2) (systemd 240 raised the hard one alone for that reason), and would be used up by a tenth of the connections
/// that we take.
pub(super) fn allow_all() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_limit_is_raised_to_what_is_allowed() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(1000), hard).unwrap();
        allow_all();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }
}
