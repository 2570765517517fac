//! What tests of the rooms above need of this one.

use std::sync::Arc;

use super::{Authenticated, CachedToken, CachedUser, Scope};
use crate::token::TokenRecord;
use crate::user::UserRecord;

/// The proof that a request of `user` came with `token`, without either having been checked.
pub(crate) fn authenticated(user: UserRecord, token: TokenRecord) -> Authenticated {
    match Scope::vouched(Arc::new(CachedUser::new(user)), Arc::new(CachedToken::new(token, None))) {
        Scope::User(authenticated) => authenticated,
        Scope::Metrics(_) => panic!("the token is good for metrics alone"),
    }
}
