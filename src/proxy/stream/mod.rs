//! Requests that last: how they are entered among the live streams, and how their answers end when they are cut.

mod body;
mod enrolment;
mod framing;

pub(super) use body::LiveBody;
pub(super) use enrolment::{Enrolment, LASTS_FROM, unless_cut};
pub(super) use framing::Framing;
