//! Users: who owns tokens, and as whom the cluster sees their requests.

mod password;
mod record;

pub use password::{
    MAX_PASSWORD_BYTES, NewPassword, PasswordError, PasswordHash, PasswordHashError, verify_against_nothing,
};
pub use record::UserRecord;
