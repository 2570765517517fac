//! As much of WebSocket (RFC 6455) as it takes to end one that is not ours: where the frames of one direction end, and
//! the frames to say goodbye with. Payload is neither read nor kept.

mod frames;
mod goodbye;

pub(super) use frames::Frames;
pub(super) use goodbye::{ErrorChannel, Goodbye};

/// The bit of a frame's first byte that says it is the last of its message.
const FINAL: u8 = 0x80;
/// The opcode of the frame that ends a connection.
const CLOSE: u8 = 8;
/// What stands for the length of a payload whose length is in the next two bytes.
const LENGTH_IN_TWO: u8 = 126;
