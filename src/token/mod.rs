//! The pure rules of tokens: names, kinds, keys, hashes, lifetimes. No input or output, and no clock of its own.

mod bearer;
mod hash;
mod key;
mod kind;
mod name;
mod record;
pub mod ttl;

pub use bearer::{Bearer, BearerError};
pub use hash::{HashError, KeyHash};
pub use key::{KeyError, TokenKey};
pub use kind::{DefaultTtl, KindRules, Maker, TokenKind};
pub use name::{NameError, TokenName};
pub use record::{LastUse, TokenEnd, TokenRecord, Ttl};
