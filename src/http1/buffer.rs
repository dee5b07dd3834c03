//! Bytes on their way: read at one end, written at the other, and seldom copied between.
//!
//! They stand in a block of memory that the thread lends, and most are written in the breath in which
//! they were read: then the block is free for the next. What has to wait is copied into memory of its
//! own length ([`Buffer::settle`]), so that no waiting connection holds a block.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, Range};

use crate::model::limits::{BLOCK_BYTES, BLOCKS_KEPT};

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Left free in front of the first bytes of a block: what is written before them goes out with them in
/// one piece.
const HEADROOM_BYTES: usize = 2 * 1024;

/// Was there room?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fits {
    Yes,
    No,
}

/// Bytes that came and were not taken. Empty, it holds no memory.
#[derive(Default)]
pub struct Buffer {
    /// A block, or as much as was needed when it settled.
    memory: Box<[u8]>,
    from: u32,
    until: u32,
}

#[expect(clippy::cast_possible_truncation, reason = "no buffer is near 4 GiB")]
const fn narrow(place: usize) -> u32 {
    place as u32
}

impl Buffer {
    const fn range(&self) -> Range<usize> {
        self.from as usize..self.until as usize
    }

    const fn is_block(&self) -> bool {
        self.memory.len() == BLOCK_BYTES
    }

    /// The free memory behind the bytes: of a block at least, where they are not longer than half of
    /// one.
    pub fn room(&mut self) -> &mut [u8] {
        self.reserve(BLOCK_BYTES / 2);
        self.memory.get_mut(self.until as usize..).unwrap_or_default()
    }

    /// The first `count` bytes of the room were filled.
    pub fn filled(&mut self, count: usize) {
        self.until = narrow((self.until as usize + count).min(self.memory.len()));
    }

    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        let until = self.until as usize;
        if let Some(room) = self.memory.get_mut(until..until + bytes.len()) {
            room.copy_from_slice(bytes);
            self.until = narrow(until + bytes.len());
        }
    }

    /// Makes room for `more` bytes.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.memory.len() - (self.until as usize) < more {
            self.grow(more);
        }
    }

    fn grow(&mut self, more: usize) {
        let length = self.len();
        let wanted = HEADROOM_BYTES + length + more;
        if self.is_block() && wanted <= BLOCK_BYTES {
            self.memory.copy_within(self.range(), HEADROOM_BYTES);
        } else {
            let mut memory = match wanted {
                ..=BLOCK_BYTES => lend(),
                _ => vec![0; wanted].into_boxed_slice(),
            };
            if let Some(place) = memory.get_mut(HEADROOM_BYTES..HEADROOM_BYTES + length) {
                place.copy_from_slice(self);
            }
            give_back(std::mem::replace(&mut self.memory, memory));
        }
        (self.from, self.until) = (narrow(HEADROOM_BYTES), narrow(HEADROOM_BYTES + length));
    }

    /// Puts `bytes` in front, where there is room for them before those that came first; else nothing.
    pub fn prepend(&mut self, bytes: &[u8]) -> Fits {
        let from = self.from as usize;
        let begin = from.checked_sub(bytes.len());
        let Some(room) = begin.and_then(|begin| self.memory.get_mut(begin..from)) else {
            return Fits::No;
        };
        room.copy_from_slice(bytes);
        self.from -= narrow(bytes.len());
        Fits::Yes
    }

    /// As [`Self::prepend`], behind those that came last.
    pub fn append(&mut self, bytes: &[u8]) -> Fits {
        let room = self.memory.len() - self.until as usize;
        if room < bytes.len() {
            return Fits::No;
        }
        self.extend_from_slice(bytes);
        Fits::Yes
    }

    /// Drops the first `count` bytes, of which there are so many.
    pub fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.len(), "bytes that are not there");
        self.from = narrow((self.from as usize + count).min(self.until as usize));
        if self.from == self.until {
            self.clear();
        }
    }

    #[inline]
    pub fn clear(&mut self) {
        if !self.memory.is_empty() {
            give_back(std::mem::take(&mut self.memory));
            (self.from, self.until) = (0, 0);
        }
    }

    /// Takes the first `count` bytes, of which there are so many. Whichever part is smaller is copied.
    #[must_use]
    pub fn take(&mut self, count: usize) -> Self {
        self.take_within(0..count, count)
    }

    /// Takes those within `taken`, and drops all before `end`.
    pub(super) fn take_within(&mut self, taken: Range<usize>, end: usize) -> Self {
        let rest = self.get(end..).unwrap_or_default();
        if rest.len() < taken.len() {
            let rest = Self::from(rest);
            let mut whole = std::mem::replace(self, rest);
            whole.until = whole.from + narrow(taken.end);
            whole.from += narrow(taken.start);
            return whole;
        }
        let copied = Self::from(self.get(taken).unwrap_or_default());
        self.advance(end);
        copied
    }

    /// Moves the bytes at `from` down to `to`, over those that are there.
    pub(super) fn move_down(&mut self, from: Range<usize>, to: usize) {
        if from.start == to {
            return;
        }
        let begin = self.from as usize;
        self.memory.copy_within(begin + from.start..begin + from.end, begin + to);
    }

    /// To be called before a wait: gives the block back. What has not been taken is kept, in no more
    /// memory than it needs.
    #[inline]
    pub fn settle(&mut self) {
        if self.is_empty() {
            self.clear();
        } else if self.is_block() {
            *self = Self::from(&self[..]);
        }
    }
}

fn lend() -> Box<[u8]> {
    let free = FREE.with_borrow_mut(Vec::pop);
    free.unwrap_or_else(|| vec![0; BLOCK_BYTES].into_boxed_slice())
}

fn give_back(memory: Box<[u8]>) {
    if memory.len() != BLOCK_BYTES {
        return;
    }
    // At the thread's end there is nobody left to lend it to.
    let _ = FREE.try_with(|free| {
        let mut free = free.borrow_mut();
        if free.len() < BLOCKS_KEPT {
            free.push(memory);
        }
    });
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        self.clear();
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.memory.get(self.range()).unwrap_or_default()
    }
}

impl<T: AsRef<[u8]> + ?Sized> From<&T> for Buffer {
    /// A copy, in memory of its own length.
    fn from(bytes: &T) -> Self {
        let bytes = bytes.as_ref();
        Self { memory: bytes.into(), from: 0, until: narrow(bytes.len()) }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Buffer").field(&bytes::Bytes::copy_from_slice(self)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn free() -> usize {
        FREE.with_borrow(Vec::len)
    }

    /// Fills the room of `buffer` as a socket does.
    fn fill(buffer: &mut Buffer, bytes: &[u8]) {
        buffer.room()[..bytes.len()].copy_from_slice(bytes);
        buffer.filled(bytes.len());
    }

    #[test]
    fn a_block_is_lent_again_as_soon_as_its_bytes_are_taken() {
        let mut buffer = Buffer::default();
        fill(&mut buffer, b"hello");
        let lent = buffer.memory.as_ptr();
        assert_eq!((&buffer[..], free()), (&b"hello"[..], 0));
        buffer.advance(5);
        assert_eq!((buffer.memory.len(), free()), (0, 1));
        fill(&mut buffer, b"again");
        assert_eq!((buffer.memory.as_ptr(), free()), (lent, 0));
        drop(buffer.take(5));
        assert_eq!((buffer.memory.len(), free()), (0, 1));
    }

    #[test]
    fn what_waits_holds_no_more_than_its_bytes() {
        let mut buffer = Buffer::default();
        fill(&mut buffer, b"hello");
        buffer.advance(1);
        buffer.settle();
        assert_eq!((&buffer[..], buffer.memory.len(), free()), (&b"ello"[..], 4, 1));
        fill(&mut buffer, b"!");
        assert_eq!((&buffer[..], buffer.is_block()), (&b"ello!"[..], true));
        buffer.advance(5);
        buffer.settle();
        assert_eq!((buffer.memory.len(), free()), (0, 1));
    }

    #[test]
    fn of_two_parts_the_smaller_one_is_copied() {
        for count in [0, 1, 500, 999, 1_000] {
            let mut buffer = Buffer::default();
            fill(&mut buffer, &[7; 1_000]);
            let block = buffer.memory.as_ptr();
            let taken = buffer.take(count);
            assert_eq!((taken.len(), buffer.len()), (count, 1_000 - count));
            let kept = if 500 < count { &taken } else { &buffer };
            assert_eq!(kept.memory.as_ptr(), block, "{count}");
        }
    }

    #[test]
    fn there_is_room_behind_bytes_that_fill_a_block_and_more() {
        let mut buffer = Buffer::default();
        buffer.extend_from_slice(&[1; BLOCK_BYTES - HEADROOM_BYTES]);
        assert!(buffer.is_block());
        buffer.advance(buffer.len() - 2);
        assert!(BLOCK_BYTES / 2 <= buffer.room().len());
        buffer.extend_from_slice(&[2; BLOCK_BYTES]);
        assert_eq!((buffer.len(), &buffer[..3]), (BLOCK_BYTES + 2, &[1, 1, 2][..]));
        assert!(!buffer.room().is_empty());
    }

    #[test]
    fn what_is_put_beside_the_bytes_stands_there_or_nowhere() {
        let mut buffer = Buffer::default();
        fill(&mut buffer, b"head, body");
        buffer.advance(6);
        assert_eq!(buffer.prepend(b"a new head, "), Fits::Yes);
        assert_eq!(&buffer[..], b"a new head, body");
        let room = buffer.from as usize;
        assert_eq!(buffer.prepend(&vec![0; room + 1]), Fits::No);
        assert_eq!(&buffer[..], b"a new head, body");
        assert_eq!(buffer.prepend(&vec![7; room]), Fits::Yes);
        assert_eq!(&buffer[room..], b"a new head, body");
        assert_eq!(buffer.append(b"."), Fits::Yes);
        assert_eq!(&buffer[room..], b"a new head, body.");
        let mut settled = Buffer::from("x");
        assert_eq!((settled.prepend(b"y"), settled.append(b"y")), (Fits::No, Fits::No));
        assert_eq!(&settled[..], b"x");
    }

    #[test]
    fn no_more_blocks_are_kept_than_are_worth_it() {
        let mut all: Vec<Buffer> = (0..=BLOCKS_KEPT).map(|_| Buffer::default()).collect();
        all.iter_mut().for_each(|buffer| fill(buffer, b"x"));
        drop(all);
        assert_eq!(free(), BLOCKS_KEPT);
    }

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(steps in prop::collection::vec((0_u8..6, 0_usize..700), 0..60)) {
            let (mut buffer, mut expected, mut next) = (Buffer::default(), Vec::new(), 0_u8);
            for (what, count) in steps {
                let count = if what < 2 { count } else { count.min(expected.len()) };
                match what {
                    0 | 1 => {
                        let bytes: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                        if what == 0 { buffer.extend_from_slice(&bytes) } else { fill(&mut buffer, &bytes) }
                        expected.extend(bytes);
                    }
                    2 => prop_assert_eq!(buffer.take(count).to_vec(), expected.drain(..count).collect::<Vec<u8>>()),
                    3 => { buffer.advance(count); expected.drain(..count); }
                    4 => if buffer.prepend(&vec![0; count]) == Fits::Yes {
                        expected.splice(..0, vec![0; count]);
                    },
                    _ => buffer.settle(),
                }
                prop_assert_eq!(&buffer[..], &expected[..]);
            }
        }
    }
}
