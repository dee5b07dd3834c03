//! Following WebSocket frames (RFC 6455 section 5.2) as they pass, to know where one ends.
//!
//! Nothing is buffered and payloads are not looked at. A Close may be placed wherever no frame is
//! open; that fragments of a message are still to come does not matter, for control frames may
//! stand between them (section 5.4).

/// The longest frame header: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;

/// A Close frame of a server (unmasked) with status 1012, "service restart".
pub const CLOSE_1012: [u8; 4] = [0x88, 0x02, 0x03, 0xF4];

const OPCODE_CLOSE: u8 = 0x8;

/// Where in the stream of frames the bytes seen so far end.
#[derive(Clone, Debug, Default)]
pub struct FrameTracker {
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    payload_left: u64,
    close_seen: bool,
}

impl FrameTracker {
    /// Does the stream stand between two frames?
    pub fn at_boundary(&self) -> bool {
        self.header_len == 0 && self.payload_left == 0
    }

    /// Has a Close frame begun?
    pub fn close_seen(&self) -> bool {
        self.close_seen
    }

    /// Goes over `bytes` up to and with the first point where no frame is open, or to their end.
    /// Returns how many that is.
    pub fn to_boundary(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            at += self.advance(bytes.get(at..).unwrap_or_default());
            if self.at_boundary() {
                break;
            }
        }
        at
    }

    /// Goes over all of `bytes`.
    pub fn pass(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at += self.advance(bytes.get(at..).unwrap_or_default());
        }
    }

    /// One step: the rest of a payload, or one byte of a header. `bytes` is not empty.
    fn advance(&mut self, bytes: &[u8]) -> usize {
        if self.payload_left != 0 {
            let here = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
            self.payload_left -= here as u64;
            return here;
        }
        if let (Some(slot), Some(byte)) =
            (self.header.get_mut(usize::from(self.header_len)), bytes.first())
        {
            *slot = *byte;
            self.header_len += 1;
        }
        if let Some(length) = self.whole_header() {
            self.close_seen |= self.header[0] & 0x0F == OPCODE_CLOSE;
            self.payload_left = length;
            self.header_len = 0;
        }
        1
    }

    /// The payload's length, once the header is complete.
    fn whole_header(&self) -> Option<u64> {
        if self.header_len < 2 {
            return None;
        }
        let mask_bytes = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        let (length_bytes, short) = match self.header[1] & 0x7F {
            126 => (2, None),
            127 => (8, None),
            short => (0, Some(u64::from(short))),
        };
        if self.header_len < 2 + length_bytes + mask_bytes {
            return None;
        }
        let long = self.header.iter().skip(2).take(usize::from(length_bytes));
        Some(short.unwrap_or_else(|| long.fold(0, |sum, byte| sum << 8 | u64::from(*byte))))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, payload: usize, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut bytes = vec![first];
        let bit = if mask.is_some() { 0x80 } else { 0 };
        match payload {
            0..126 => bytes.push(bit | payload as u8),
            126..65536 => {
                bytes.push(bit | 126);
                bytes.extend((payload as u16).to_be_bytes());
            }
            _ => {
                bytes.push(bit | 127);
                bytes.extend((payload as u64).to_be_bytes());
            }
        }
        bytes.extend(mask.into_iter().flatten());
        bytes.extend(std::iter::repeat_n(0x88, payload));
        bytes
    }

    #[test]
    fn every_length_form_ends_where_its_payload_ends() {
        for payload in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let bytes = frame(0x82, payload, mask);
                let mut tracker = FrameTracker::default();
                tracker.pass(&bytes[..bytes.len() - 1]);
                assert!(!tracker.at_boundary(), "{payload} {mask:?}");
                tracker.pass(&bytes[bytes.len() - 1..]);
                assert!(tracker.at_boundary(), "{payload} {mask:?}");
                assert!(!tracker.close_seen());
            }
        }
    }

    #[test]
    fn a_close_is_seen_by_its_opcode_and_not_by_bytes_of_a_payload() {
        let mut tracker = FrameTracker::default();
        tracker.pass(&frame(0x81, 300, None));
        assert!(!tracker.close_seen());
        tracker.pass(&CLOSE_1012);
        assert!(tracker.close_seen());
        assert!(tracker.at_boundary());
    }

    proptest! {
        #[test]
        fn boundaries_do_not_depend_on_how_the_bytes_are_cut(
            payloads in prop::collection::vec(0_usize..70_000, 1..6),
            cuts in prop::collection::vec(1_usize..5_000, 1..50),
        ) {
            let frames: Vec<Vec<u8>> = payloads.iter().map(|n| frame(0x02, *n, None)).collect();
            let all: Vec<u8> = frames.concat();
            let mut ends = vec![];
            let mut tracker = FrameTracker::default();
            let (mut at, mut cut) = (0, cuts.iter().cycle());
            while at < all.len() {
                let upto = all.len().min(at + cut.next().expect("a cycle"));
                let mut here = at;
                while here < upto {
                    here += tracker.to_boundary(&all[here..upto]);
                    if tracker.at_boundary() {
                        ends.push(here);
                    }
                }
                at = upto;
            }
            let mut sum = 0;
            let expected: Vec<usize> = frames.iter().map(|f| { sum += f.len(); sum }).collect();
            prop_assert_eq!(ends, expected);
        }
    }
}
