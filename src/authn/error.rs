//! Why a request is not authenticated.

use http::StatusCode;

use super::AccountError;
use crate::store::StoreError;
use crate::telemetry::AuthenticationResult;
use crate::token::TokenEnd;

/// Why a request is not authenticated. The client sees one answer for all that are about its credential; the log and
/// the metric have the difference.
#[derive(Debug, thiserror::Error)]
pub enum AuthnError {
    /// No credential at all.
    #[error("no credential")]
    NoCredential,
    /// Something that is not a bearer of ours.
    #[error("malformed credential")]
    Malformed,
    /// More than one credential: which one counts would be a guess.
    #[error("more than one credential")]
    Ambiguous,
    /// No token of that name.
    #[error("unknown token")]
    Unknown,
    /// The token exists, the key is not its key.
    #[error("wrong key")]
    WrongKey,
    /// One more wrong key after too many: whoever sends it has to connect anew for the next.
    #[error("too many wrong keys")]
    TooManyFailures,
    /// The token's life is over.
    #[error("token has expired")]
    Expired,
    /// The token's life is over, and another has taken its place.
    #[error("token was replaced")]
    Rotated,
    /// The session was not used for longer than sessions may be.
    #[error("session was unused for too long")]
    Idle,
    /// The token is switched off.
    #[error("token is disabled")]
    Disabled,
    /// The token's user is switched off or gone.
    #[error("user is disabled")]
    UserDisabled,
    /// The token is good for one cluster alone, and this is another.
    #[error("token is for another cluster")]
    WrongCluster,
    /// We can't tell yet: too many slow hashes are being checked. Never a reason to call the credential bad.
    #[error("too many slow hashes are being checked")]
    Busy,
    /// We can't tell: our store does not answer. Never a reason to call the credential bad.
    #[error("token store is unreachable")]
    StoreUnreachable(#[source] StoreError),
    /// We can't tell: what our store holds of this token or user is damaged.
    #[error("stored record is damaged")]
    Corrupt(#[source] StoreError),
    /// A service account's token gets nobody in.
    #[error(transparent)]
    ServiceAccount(#[from] AccountError),
}

impl AuthnError {
    /// Whose fault it is, as HTTP says it: 401 only when the caller's credential is bad.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoCredential
            | Self::Malformed
            | Self::Unknown
            | Self::WrongKey
            | Self::TooManyFailures
            | Self::Expired
            | Self::Rotated
            | Self::Idle
            | Self::Disabled
            | Self::UserDisabled
            | Self::WrongCluster => StatusCode::UNAUTHORIZED,
            Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::Busy | Self::StoreUnreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Corrupt(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceAccount(error) => error.status(),
        }
    }

    /// The error as the metric and the log name it.
    pub fn result(&self) -> AuthenticationResult {
        match self {
            Self::NoCredential => AuthenticationResult::NoCredential,
            Self::Malformed => AuthenticationResult::Malformed,
            Self::Ambiguous => AuthenticationResult::Ambiguous,
            Self::Unknown => AuthenticationResult::Unknown,
            Self::WrongKey => AuthenticationResult::WrongKey,
            Self::TooManyFailures => AuthenticationResult::TooManyFailures,
            Self::Expired => AuthenticationResult::Expired,
            Self::Rotated => AuthenticationResult::Rotated,
            Self::Idle => AuthenticationResult::Idle,
            Self::Disabled => AuthenticationResult::Disabled,
            Self::UserDisabled => AuthenticationResult::UserDisabled,
            Self::WrongCluster => AuthenticationResult::WrongCluster,
            Self::Busy => AuthenticationResult::Busy,
            Self::StoreUnreachable(_) | Self::Corrupt(_) => AuthenticationResult::StoreError,
            Self::ServiceAccount(error) => error.result(),
        }
    }
}

impl From<TokenEnd> for AuthnError {
    fn from(end: TokenEnd) -> Self {
        match end {
            TokenEnd::Expired => Self::Expired,
            TokenEnd::Rotated => Self::Rotated,
            TokenEnd::Disabled => Self::Disabled,
        }
    }
}

impl From<StoreError> for AuthnError {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::Corrupt { .. }) {
            Self::Corrupt(error)
        } else {
            Self::StoreUnreachable(error)
        }
    }
}
