//! Why the authority refuses.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::{ClusterError, GivenError, SealError};
use crate::setting::{Setting, SettingError};
use crate::store::{AuditOutcome, MAX_CLUSTERS, StoreError};
use crate::token::TokenKind;
use crate::token::ttl::TtlError;
use crate::user::PasswordError;

/// Why something was not done. The message may be shown to the client; what stands behind it is for the log.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The caller's user was deleted or switched off since the request was authenticated.
    #[error("must authenticate")]
    CallerGone,
    /// A login with an unknown name or a wrong password.
    #[error("authentication failed")]
    BadCredentials,
    /// A login with the right password of a user who is switched off.
    #[error("user is disabled")]
    UserDisabled,
    /// Only administrators may do this.
    #[error("only administrators may do this")]
    NotAdministrator,
    /// Nobody makes such tokens for somebody else.
    #[error("a token of this kind can be made for oneself only")]
    ForAnotherUser,
    /// A token of a kind that only a login makes.
    #[error("a token of kind {} is made by logging in only", .0.as_str())]
    MadeByLogin(TokenKind),
    /// A token of the system without a lease, for somebody who is no administrator.
    #[error("a token of kind {} without a lease is made by administrators only", .0.as_str())]
    LeaseRequired(TokenKind),
    /// A lease for a kind that has none.
    #[error("a token of kind {} has no lease", .0.as_str())]
    NoLease(TokenKind),
    /// A token on a lease that asks for tokens: they would outlive it.
    #[error("a token on a lease can't make tokens")]
    CallerOnLease,
    /// A lease to renew of a token that has none, or whose lease has ended.
    #[error("token has no lease that could be renewed")]
    NotLeased,
    /// A token for a user that does not exist.
    #[error("there is no such user")]
    UnknownOwner,
    /// The owner has as many tokens as one may have.
    #[error("user has {0} tokens, which is the quota: delete some first")]
    QuotaReached(u64),
    /// A token that has a successor already.
    #[error("token was replaced already")]
    AlreadyReplaced,
    /// A token that is good for nothing any more, or not now.
    #[error("a token that has expired or is disabled can't be rotated")]
    NotRotatable,
    /// An old token that would stay beside its successor for too long.
    #[error("overlap can be {} seconds at most", MAX_OVERLAP.as_secs())]
    OverlapTooLong,
    /// A change that met another one.
    #[error("token was changed at the same time, look again")]
    ChangedMeanwhile,
    /// A bulk change of everything.
    #[error("a bulk change needs a filter")]
    FilterMissing,
    /// A bulk change to the maximum where there is none.
    #[error("{} is 0: there is no maximum", Setting::TokenMaxTtl.name())]
    NoMaximum,
    /// Hashing of tokens was to be turned off.
    #[error("token-hashing can't be switched off: what is hashed can't be made readable again")]
    HashingIsForGood,
    /// A marker of another list.
    #[error("marker is not of this list")]
    ForeignMarker,
    /// A setting that the environment has fixed.
    #[error("{} is fixed by the environment variable {}", .0.name(), .0.environment())]
    SettingFixed(Setting),
    /// A value that a setting can't have.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A cluster of the configuration can be changed there alone.
    #[error("the cluster is one of the server's configuration, and is changed there")]
    ClusterConfigured,
    /// Another cluster has the name.
    #[error("another cluster has this name")]
    ClusterNameTaken,
    /// A description of a cluster that can't be one.
    #[error(transparent)]
    Cluster(#[from] GivenError),
    /// What is described can't be used: a file is missing, or certificate and key don't belong together.
    #[error("{}", with_causes(&**.0))]
    ClusterUnusable(Box<ClusterError>),
    /// Credentials are sealed with a key that is gone. A new one would take the place of the one to be put back.
    #[error("key file {} is missing: put it back, or delete the clusters whose credentials are sealed with it", .0.display())]
    ClusterKeyMissing(PathBuf),
    /// A credential can't be sealed.
    #[error("credential can't be sealed")]
    ClusterSealing(#[from] SealError),
    /// A token for a cluster that does not exist.
    #[error("there is no such cluster")]
    UnknownCluster,
    /// As many clusters as can be added.
    #[error("{MAX_CLUSTERS} clusters are the most that can be added")]
    TooManyClusters,
    /// A kind of token that can't be for one cluster alone.
    #[error("a token of kind {} can't be for one cluster alone", .0.as_str())]
    NoScope(TokenKind),
    /// There is none, or none that the caller may know of.
    #[error("not found")]
    NotFound,
    /// Another user has the name.
    #[error("user name is taken")]
    NameTaken,
    /// A name of Kubernetes' own that was not allowed explicitly.
    #[error("names that begin with \"system:\" belong to Kubernetes, and \"{0}\" is not among those allowed")]
    Reserved(String),
    /// More groups than a request could carry.
    #[error("a user can have {MAX_GROUPS} groups at most")]
    TooManyGroups,
    /// A description longer than we store.
    #[error("description is longer than {MAX_DESCRIPTION_BYTES} bytes")]
    DescriptionTooLong,
    /// A lifetime that can't be.
    #[error(transparent)]
    Ttl(#[from] TtlError),
    /// A password that can't be taken.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A password that is the user's name.
    #[error("password must differ from the user name")]
    PasswordIsUsername,
    /// A new password that is the old one.
    #[error("new password must differ from the current one")]
    PasswordUnchanged,
    /// A change of password that does not know the current one.
    #[error("current password is wrong")]
    WrongCurrentPassword,
    /// Somebody about to lock himself out.
    #[error("nobody can disable or delete themselves")]
    OwnUser,
    /// The change would leave nobody who can manage users.
    #[error("at least one enabled administrator must be left")]
    LastAdministrator,
    /// A session deleting its own token: that is what logout is for.
    #[error("can't delete or disable the token of the current session, use logout instead")]
    CurrentSession,
    /// Too many wrong passwords for this name from this address.
    #[error("too many failed attempts, try again later")]
    TooManyFailures {
        /// When the next attempt is looked at.
        retry_after: Duration,
    },
    /// Too many passwords are being checked at once.
    #[error("too many logins at once, try again")]
    Busy,
    /// The store can't be reached now; asking again may help.
    #[error("token store is unreachable")]
    StoreUnreachable(#[source] StoreError),
    /// The store gave what can't be used, such as a corrupt row; asking again does not help.
    #[error("token store failed")]
    StoreFailed(#[source] StoreError),
    /// The operating system has no random bytes, or every name tried was taken.
    #[error("no new name or key could be made")]
    NoRandomness,
    /// There is nowhere for a backup.
    #[error("can't make the backup directory {path}")]
    BackupDirectory {
        /// Which directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The first administrator's password can't be left for the operator.
    #[error("can't write {path}")]
    AdminPassword {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl AuthorityError {
    /// How the audit log calls it; `None` for a slip that says nothing about anybody's rights.
    pub(super) fn outcome(&self) -> Option<AuditOutcome> {
        match self {
            Self::CallerGone
            | Self::BadCredentials
            | Self::UserDisabled
            | Self::NotAdministrator
            | Self::ForAnotherUser
            | Self::MadeByLogin(_)
            | Self::LeaseRequired(_)
            | Self::NoLease(_)
            | Self::CallerOnLease
            | Self::NotLeased
            | Self::UnknownOwner
            | Self::QuotaReached(_)
            | Self::AlreadyReplaced
            | Self::NotRotatable
            | Self::HashingIsForGood
            | Self::OverlapTooLong
            | Self::SettingFixed(_)
            | Self::ClusterConfigured
            | Self::ClusterUnusable(_)
            | Self::UnknownCluster
            | Self::TooManyClusters
            | Self::NoScope(_)
            | Self::Setting(_)
            | Self::Reserved(_)
            | Self::TooManyGroups
            | Self::Ttl(_)
            | Self::Password(PasswordError::TooShort(_) | PasswordError::TooLong)
            | Self::PasswordIsUsername
            | Self::PasswordUnchanged
            | Self::WrongCurrentPassword
            | Self::OwnUser
            | Self::LastAdministrator
            | Self::CurrentSession
            | Self::TooManyFailures { .. } => Some(AuditOutcome::Refused),
            Self::Busy
            | Self::StoreUnreachable(_)
            | Self::StoreFailed(_)
            | Self::NoRandomness
            | Self::ClusterKeyMissing(_)
            | Self::ClusterSealing(_)
            | Self::Password(PasswordError::Unhashable)
            | Self::BackupDirectory { .. }
            | Self::AdminPassword { .. } => Some(AuditOutcome::Failure),
            Self::NotFound
            | Self::NameTaken
            | Self::ClusterNameTaken
            | Self::Cluster(_)
            | Self::DescriptionTooLong
            | Self::ChangedMeanwhile
            | Self::FilterMissing
            | Self::NoMaximum
            | Self::ForeignMarker => None,
        }
    }
}

impl From<StoreError> for AuthorityError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LastAdministrator => Self::LastAdministrator,
            StoreError::UnknownUser => Self::CallerGone,
            StoreError::Unreachable(_) => Self::StoreUnreachable(error),
            StoreError::QuotaReached { quota } => Self::QuotaReached(quota),
            StoreError::UnknownCluster => Self::UnknownCluster,
            StoreError::TooManyClusters => Self::TooManyClusters,
            StoreError::TtlNotShorter => Self::ChangedMeanwhile,
            StoreError::AlreadyReplaced => Self::AlreadyReplaced,
            StoreError::ForeignMarker => Self::ForeignMarker,
            StoreError::Exists
            | StoreError::HashingIsOn
            | StoreError::Backup(_)
            | StoreError::JournalInUse
            | StoreError::NoRandomness
            | StoreError::Corrupt { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::InUse(_)
            | StoreError::Open { .. } => Self::StoreFailed(error),
        }
    }
}

/// The messages of an error and its causes: a file's name alone does not say what is wrong with it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl From<getrandom::Error> for AuthorityError {
    fn from(_: getrandom::Error) -> Self {
        Self::NoRandomness
    }
}

/// Groups of a user. Each is a header line upstream: with the longest names they are 128 KiB, of 1 MiB that an apiserver
/// takes. Directories of large organisations do give hundreds.
pub(super) const MAX_GROUPS: usize = 512;

/// How long a token may stay good beside its successor.
pub(super) const MAX_OVERLAP: Duration = Duration::from_hours(7 * 24);

/// Bytes in a token's description.
pub(super) const MAX_DESCRIPTION_BYTES: usize = 1024;
