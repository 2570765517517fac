//! The pure rules of tokens: names, keys, hashes, lifetimes. No input or output, and no clock of its own.

mod bearer;
mod hash;
mod key;
mod name;
mod record;

pub use bearer::{Bearer, BearerError};
pub use hash::{HashError, KeyHash};
pub use key::{KeyError, TokenKey};
pub use name::{NameError, TokenKind, TokenName};
pub use record::{TokenRecord, Ttl};
