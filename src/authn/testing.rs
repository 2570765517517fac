//! What tests of the rooms above need of this one.

use std::sync::Arc;

use super::{Authenticated, CachedToken, CachedUser, Place, Scope};
use crate::token::TokenRecord;
use crate::user::UserRecord;

/// The proof that a request of `user` came with `token`, without either having been checked.
pub(crate) fn authenticated(user: UserRecord, token: TokenRecord) -> Authenticated {
    let (user, token) = (Arc::new(CachedUser::new(user)), Arc::new(CachedToken::new(token, None)));
    match Scope::vouched(user, token, Place::Cluster(None)) {
        Scope::User(authenticated) => authenticated,
        Scope::Metrics(_) | Scope::Itself(_) => panic!("the token is good for less"),
    }
}
