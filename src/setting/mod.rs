//! Settings: what an administrator may change while the server runs. Names, units, defaults and checks; no input or
//! output.
//!
//! A value comes from the environment, else from the store, else it is the default. [`Settings`] is one snapshot of
//! what holds, with a typed answer for each; [`LiveSettings`] holds the one that holds now.

mod catalogue;
mod check;
mod effective;
mod live;

pub use catalogue::{ENVIRONMENT_PREFIX, Setting};
pub use check::SettingError;
pub use effective::{Minutes, Settings, Source, Values, first_conflict};
pub use live::LiveSettings;
