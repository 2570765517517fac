//! Why a command failed.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::ConfigErrors;
use crate::server::ServeError;
use crate::store::BackupError;
use crate::telemetry::LoggingError;

/// Why a command failed, in words for the one who typed it.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    /// Arguments that don't go together, as only the command itself can see.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error("the configuration has mistakes:\n{0}")]
    Config(ConfigErrors),
    /// The log can't be set up.
    #[error("can't log")]
    Logging(#[from] LoggingError),
    /// The server did not start, or had to stop.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A backup was not made or not restored.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There is no profile.
    #[error("not logged in: run `portcullis login URL` first")]
    NotLoggedIn,
    /// Neither `PORTCULLIS_HOME` nor `HOME` says where the profile is.
    #[error("no place for the profile: set HOME or PORTCULLIS_HOME")]
    NoHome,
    /// The profile is there and can't be used.
    #[error("profile {} is damaged: log in again", .0.display())]
    DamagedProfile(PathBuf, #[source] serde_json::Error),
    /// A file can't be read or written.
    #[error("{}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    /// A file would be overwritten.
    #[error("{} exists: choose another name, or pass --force to replace it", .0.display())]
    FileExists(PathBuf),
    /// A file to put contexts into is something else.
    #[error("{} is no kubeconfig: nothing was put into it", .0.display())]
    NotKubeconfig(PathBuf),
    /// A context of another server would be lost.
    #[error(
        "{} has something of another server by the name {name:?}: choose another file, or pass --force to replace it",
        .path.display()
    )]
    ContextTaken {
        /// The context.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// A file of certificates holds none.
    #[error("{}: no PEM certificate in it", .0.display())]
    NoCertificate(PathBuf),
    /// Standard input or output failed.
    #[error("terminal")]
    Terminal(#[source] std::io::Error),
    /// The server's certificate is from an authority we don't know.
    #[error(
        "the certificate of {0} is from an unknown authority: pass the authority's certificate with --ca-file FILE \
         (a server that made its own keeps it as ca.crt in its data directory)"
    )]
    UnknownAuthority(String),
    /// The server's certificate is from another authority than the one that was given or is remembered.
    #[error(
        "the certificate of {0} is not from the authority that is believed for it: should the server have a new one, \
         get its certificate from somebody you trust and run `portcullis login {0} --ca-file FILE`"
    )]
    OtherAuthority(String),
    /// The server's certificate is good, and not for the name in the URL.
    #[error(
        "the certificate of {0} is for other names: use one of these, or have this one added to the certificate \
         (tls.serverNames for one that the server made itself)"
    )]
    OtherName(String),
    /// The server's certificate is not good at this time.
    #[error(
        "the certificate of {0} has expired or is not valid yet: compare this machine's clock, then ask the operator \
         of the server to renew it"
    )]
    NotValidNow(String),
    /// What answers is no TLS.
    #[error("{0} does not answer with TLS: check the port, and what stands between")]
    NoTls(String),
    /// No answer, or none that is HTTP.
    #[error("cannot reach {server} (is it running, and is the URL right?)")]
    Unreachable {
        /// The server.
        server: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The server doesn't accept the session.
    #[error("the session is no longer good: run `portcullis login {0}`")]
    SessionEnded(String),
    /// The server takes neither this name with this password nor tells which of them is wrong.
    #[error(
        "name or password is wrong: try again, or have an administrator set a new one with `portcullis user \
         set-password NAME`"
    )]
    WrongPassword,
    /// The command of `run` can't be started.
    #[error("can't run {}", .0.display())]
    CannotRun(OsString, #[source] std::io::Error),
    /// The command of `run` can't be waited for, or signals can't be heard.
    #[error("can't look after the command")]
    CannotSupervise(#[source] std::io::Error),
    /// A login needs somebody who types.
    #[error(
        "there is no good token for {0} and nobody to ask for name and password: run `portcullis login {0}`, or this \
         command once more from a terminal without redirecting its input"
    )]
    NobodyToAsk(String),
    /// Somebody was asked and typed nothing.
    #[error("no {0} was typed")]
    NothingTyped(&'static str),
    /// Another process has asked for a password and waits.
    #[error("another kubectl of yours is waiting for name and password: answer there, then try again")]
    LoginUnderWay,
    /// What kubectl says to its plugin makes no sense.
    #[error("KUBERNETES_EXEC_INFO {0}: this is set by kubectl and understood in the versions v1 and v1beta1")]
    BadExecInfo(&'static str),
    /// The API refused the request.
    #[error("{message} ({status} {code})")]
    Refused {
        /// The status.
        status: u16,
        /// The API's word for it.
        code: String,
        /// The API's explanation.
        message: String,
    },
    /// A refusal that the API would not give.
    #[error("{server} does not answer like a Portcullis server (status {status}): check its URL")]
    UnexpectedRefusal {
        /// The server.
        server: String,
        /// The status.
        status: u16,
    },
    /// An answer that the API would not give.
    #[error("{0} does not answer like a Portcullis server: {1}")]
    UnexpectedAnswer(String, &'static str),
    /// A feature could not be switched on, or not to the end.
    #[error("feature {name}: {reason}")]
    FeatureFailed {
        /// Which.
        name: String,
        /// What the server says.
        reason: String,
    },
    /// The answer to a question was not yes.
    #[error("nothing was changed")]
    Declined,
    /// Nobody has that name.
    #[error("no user has the name or id {0:?}")]
    NoSuchUser(String),
    /// No cluster has that name, or none that one may use.
    #[error("no cluster has the name or id {0:?}, or none that you may use")]
    NoSuchCluster(String),
    /// A name that says nothing.
    #[error(
        "{0:?} is the name of more than one cluster, or the id of another: use the id of the one you mean"
    )]
    AmbiguousCluster(String),
    /// The server can't use the cluster.
    #[error("the server can't use the cluster: {0}")]
    ClusterUnusable(String),
    /// A kubeconfig of this machine can't be sent.
    #[error("kubeconfig {}: {}", .0.display(), .1)]
    LocalKubeconfig(PathBuf, String),
    /// One user's name is another one's id.
    #[error("{0:?} is the name of one user and the id of another: use the id of the one you mean")]
    AmbiguousUser(String),
}

impl CliError {
    /// Whether the server could not show who it is.
    pub(super) fn is_about_certificate(&self) -> bool {
        matches!(
            self,
            Self::UnknownAuthority(_) | Self::OtherAuthority(_) | Self::OtherName(_) | Self::NotValidNow(_)
        )
    }
}
