//! Every rule by which tokens and users are made, changed and unmade. The API calls this and nothing below it.
//!
//! A caller's rights are read from the store for each act, not believed from when the request was authenticated: an
//! administrator who was demoted a moment ago is none. Each change writes one event with the target `audit`.

mod bootstrap;
mod error;
mod limiter;
mod login;
mod password_work;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tokens;
mod users;

use std::sync::Mutex;

pub use error::AuthorityError;
pub use login::{Login, LoginPurpose};
pub use tokens::{Issued, NewToken, TokenScope};
pub use users::{NewUser, UserChange};

use crate::identity::{UserId, Username};
use crate::store::Store;
use crate::token::TokenName;
use limiter::FailureLimiter;
use password_work::PasswordWork;

/// The token authority.
#[derive(Debug)]
pub struct Authority {
    store: Store,
    allowed_system_identities: Vec<String>,
    password_work: PasswordWork,
    failures: Mutex<FailureLimiter>,
}

/// Who asks, as the gate has authenticated it.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user's id.
    pub id: UserId,
    /// The user's name.
    pub name: Username,
    /// The token the request came with.
    pub token: TokenName,
}

impl Authority {
    /// An authority over `store`. Exactly `allowed_system_identities` may be given to users of those names and groups
    /// that begin with `system:`.
    pub fn new(store: Store, allowed_system_identities: Vec<String>) -> Self {
        Self {
            store,
            allowed_system_identities,
            password_work: PasswordWork::new(),
            failures: Mutex::new(FailureLimiter::default()),
        }
    }
}

/// The shortest password taken, in characters.
const MIN_PASSWORD_CHARACTERS: usize = 12;
