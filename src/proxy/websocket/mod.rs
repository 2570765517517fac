//! As much of WebSocket (RFC 6455) as it takes to end one that is not ours: where the frames of one direction end, and
//! the frames to say goodbye with. Payload is neither read nor kept.

mod frames;
mod goodbye;

pub(super) use frames::Frames;
pub(super) use goodbye::{ErrorChannel, Goodbye};
