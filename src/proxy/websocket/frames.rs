//! The frames of one direction of a WebSocket, followed as their bytes pass. A few bytes of state, whatever the length of
//! a frame; what no endpoint may send is followed as if it were right, since judging it is the endpoints' business.

use super::{CLOSE, FINAL, LENGTH_IN_TWO};

/// Where one direction of a WebSocket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) struct Frames {
    part: Part,
    /// Whether the last data frame, or the one that is passing, left its message unfinished.
    message_is_open: bool,
    is_closed: bool,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The first byte of a frame: its kind.
    Kind,
    /// Whether the payload is masked, and its length or what stands for it.
    Length,
    LongLength {
        bytes_left: u8,
        so_far: u64,
        is_masked: bool,
    },
    Mask {
        bytes_left: u8,
        payload: u64,
    },
    Payload {
        bytes_left: u64,
    },
}

/// What may follow at the end of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Boundary {
    /// Anything.
    Message,
    /// Control frames or more of the same message.
    Fragment,
    /// Nothing: the endpoint has said that it will send no more.
    Closed,
}

impl Frames {
    /// Before the first frame.
    pub(in crate::proxy) fn new() -> Self {
        Self { part: Part::Kind, message_is_open: false, is_closed: false }
    }

    /// `bytes` have passed.
    pub(in crate::proxy) fn follow(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            if let Part::Payload { bytes_left } = self.part {
                let passed = usize::try_from(bytes_left).unwrap_or(usize::MAX).min(rest.len());
                rest = rest.get(passed..).unwrap_or_default();
                self.part = payload(bytes_left - passed as u64);
            } else {
                self.part = self.header(byte);
                rest = after;
            }
        }
    }

    /// How many of the next bytes belong to the frame that is passing, as far as is known yet; 0 at the end of a frame.
    pub(in crate::proxy) fn left(&self) -> u64 {
        match self.part {
            Part::Kind => 0,
            Part::Length => 1,
            Part::LongLength { bytes_left, .. } => bytes_left.into(),
            Part::Mask { bytes_left, payload } => payload.saturating_add(bytes_left.into()),
            Part::Payload { bytes_left } => bytes_left,
        }
    }

    /// What may follow the frame that has just ended, or the one that is passing.
    pub(in crate::proxy) fn boundary(&self) -> Boundary {
        match (self.is_closed, self.message_is_open) {
            (true, _) => Boundary::Closed,
            (false, true) => Boundary::Fragment,
            (false, false) => Boundary::Message,
        }
    }

    /// One byte of a header, and what comes after it.
    fn header(&mut self, byte: u8) -> Part {
        match self.part {
            Part::Kind => {
                self.kind(byte);
                Part::Length
            }
            Part::Length => {
                let is_masked = byte & MASKED != 0;
                match byte & !MASKED {
                    LENGTH_IN_TWO => Part::LongLength { bytes_left: 2, so_far: 0, is_masked },
                    LENGTH_IN_EIGHT => Part::LongLength { bytes_left: 8, so_far: 0, is_masked },
                    length => masked(is_masked, length.into()),
                }
            }
            Part::LongLength { bytes_left, so_far, is_masked } => {
                let so_far = so_far << 8 | u64::from(byte);
                match bytes_left - 1 {
                    0 => masked(is_masked, so_far),
                    bytes_left => Part::LongLength { bytes_left, so_far, is_masked },
                }
            }
            Part::Mask { bytes_left: 1, payload: length } => payload(length),
            Part::Mask { bytes_left, payload } => Part::Mask { bytes_left: bytes_left - 1, payload },
            Part::Payload { bytes_left } => payload(bytes_left - 1),
        }
    }

    fn kind(&mut self, byte: u8) {
        if byte & CONTROL == 0 {
            self.message_is_open = byte & FINAL == 0;
        } else if byte & OPCODE == CLOSE {
            self.is_closed = true;
        }
    }
}

fn masked(is_masked: bool, length: u64) -> Part {
    if is_masked { Part::Mask { bytes_left: 4, payload: length } } else { payload(length) }
}

/// A frame without (more) payload is over.
fn payload(bytes_left: u64) -> Part {
    if bytes_left == 0 { Part::Kind } else { Part::Payload { bytes_left } }
}

const OPCODE: u8 = 0x0f;
/// The bit of the opcode that control frames have and data frames don't.
const CONTROL: u8 = 0x08;
const MASKED: u8 = 0x80;
const LENGTH_IN_EIGHT: u8 = 127;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    /// A frame as an endpoint writes it.
    fn frame(first: u8, mask: bool, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        let mask_bit = if mask { MASKED } else { 0 };
        match payload.len() {
            length @ 0..=125 => bytes.push(mask_bit | u8::try_from(length).unwrap()),
            length @ 126..=0xffff => {
                bytes.push(mask_bit | LENGTH_IN_TWO);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            length => {
                bytes.push(mask_bit | LENGTH_IN_EIGHT);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if mask {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.extend(payload);
        bytes
    }

    fn after(bytes: &[u8]) -> Frames {
        let mut frames = Frames::new();
        frames.follow(bytes);
        frames
    }

    /// First bytes of data frames and of control frames but Close, and how long their payload is.
    fn frames() -> impl Strategy<Value = Vec<(u8, bool, usize)>> {
        let first =
            prop_oneof![Just(0x82), Just(0x02), Just(0x00), Just(0x80), Just(0x81), Just(0x89), Just(0x8a)];
        let length = prop_oneof![0..4_usize, 120..130_usize, 65_530..65_540_usize];
        vec((first, any::<bool>(), length), 1..8)
    }

    proptest! {
        #[test]
        fn frames_end_where_they_end_however_the_bytes_come(frames in frames(), cuts in vec(any::<Index>(), 0..20)) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            let mut is_open = false;
            for (first, mask, length) in frames {
                bytes.extend(frame(first, mask, &vec![0x88; length]));
                if first & CONTROL == 0 {
                    is_open = first & FINAL == 0;
                }
                ends.push((bytes.len(), if is_open { Boundary::Fragment } else { Boundary::Message }));
            }
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.push(bytes.len());
            cuts.sort_unstable();
            let (mut followed, mut at) = (Frames::new(), 0);
            for cut in cuts {
                followed.follow(&bytes[at..cut]);
                at = cut;
                let end = ends.iter().find(|(end, _)| *end >= at).copied().unwrap();
                if end.0 == at || at == 0 {
                    prop_assert_eq!(followed.left(), 0);
                } else {
                    prop_assert!((1..=(end.0 - at) as u64).contains(&followed.left()), "{followed:?} before {end:?}");
                }
                if end.0 == at {
                    prop_assert_eq!(followed.boundary(), end.1);
                }
            }
        }

        #[test]
        fn as_many_bytes_as_are_left_lead_to_the_end_of_the_frame(
            first in prop_oneof![Just(0x82_u8), Just(0x89)],
            mask in any::<bool>(),
            length in prop_oneof![0..130_usize, 65_530..65_540_usize],
            begun in 1..8_usize,
        ) {
            let next = frame(0x82, false, b"the next");
            let bytes = [frame(first, mask, &vec![7; length]), next.clone()].concat();
            let (begun, mut rest) = bytes.split_at(begun.min(bytes.len() - next.len()));
            let mut followed = after(begun);
            while followed.left() > 0 {
                let (some, others) = rest.split_at(usize::try_from(followed.left()).unwrap());
                followed.follow(some);
                rest = others;
            }
            prop_assert_eq!(rest, next.as_slice());
        }

        #[test]
        fn any_bytes_at_all_are_followed(bytes in vec(any::<u8>(), 0..4_000)) {
            after(&bytes);
        }
    }

    #[test]
    fn control_frames_between_fragments_leave_the_message_open() {
        let begun = frame(0x02, false, b"begun");
        let ping = frame(0x89, false, b"ping");
        assert_eq!(after(&begun).boundary(), Boundary::Fragment);
        assert_eq!(after(&[begun.clone(), ping.clone()].concat()).boundary(), Boundary::Fragment);
        let ended = frame(0x80, false, b"ended");
        assert_eq!(after(&[begun, ping, ended].concat()).boundary(), Boundary::Message);
    }

    #[test]
    fn nothing_follows_a_close_frame() {
        let close = frame(0x88, false, &[3, 232]);
        assert_eq!(after(&close[..1]).boundary(), Boundary::Closed);
        assert_eq!((after(&close).boundary(), after(&close).left()), (Boundary::Closed, 0));
    }

    #[test]
    fn a_payload_of_more_than_can_be_is_passed_by() {
        let mut bytes = vec![0x82, LENGTH_IN_EIGHT];
        bytes.extend(u64::MAX.to_be_bytes());
        bytes.extend([0; 5]);
        assert_eq!(after(&bytes).left(), u64::MAX - 5);
    }
}
