//! Why the authority refuses.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::store::StoreError;
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
    /// Nobody makes tokens for somebody else.
    #[error("a token can be made for oneself only")]
    ForAnotherUser,
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
    /// A lifetime that is negative or ends after the year 9999.
    #[error("ttl must be 0 (never expires) or positive milliseconds that end before the year 10000")]
    TtlOutOfRange,
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
    #[error("can't delete the token of the current session, use logout instead")]
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

impl From<StoreError> for AuthorityError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::LastAdministrator => Self::LastAdministrator,
            StoreError::UnknownUser => Self::CallerGone,
            StoreError::Unreachable(_) => Self::StoreUnreachable(error),
            StoreError::Exists
            | StoreError::QuotaReached { .. }
            | StoreError::TtlNotShorter
            | StoreError::AlreadyReplaced
            | StoreError::ForeignMarker
            | StoreError::HashingIsOn
            | StoreError::Corrupt { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::InUse(_)
            | StoreError::Open { .. } => Self::StoreFailed(error),
        }
    }
}

impl From<getrandom::Error> for AuthorityError {
    fn from(_: getrandom::Error) -> Self {
        Self::NoRandomness
    }
}

/// Groups of a user. Each is a header line upstream: with the longest names they are 128 KiB, of 1 MiB that an apiserver
/// takes. Directories of large organisations do give hundreds.
pub(super) const MAX_GROUPS: usize = 512;

/// Bytes in a token's description.
pub(super) const MAX_DESCRIPTION_BYTES: usize = 1024;
