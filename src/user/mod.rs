//! Users: who owns tokens, and as whom the cluster sees their requests.

mod password;
mod record;

pub use password::PasswordHash;
pub use record::UserRecord;
