//! The unit of storage: lines that were read together, as they came, behind one header.
//!
//! All lines of a block share its stamps, so storing costs one header per wakeup and not one per
//! line. Header and text have a checksum each: a torn or spoiled block is found, skipped and
//! counted, and never read as something that a service said. Integers are little-endian.

use super::record::BootId;

/// Bytes of a header.
pub const HEADER: usize = 72;
/// The longest line that is kept whole; a longer one is cut, and its parts are marked.
pub const LINE_MAX: usize = 16 * 1024;
/// The longest text of a block: what intake holds at once.
pub const TEXT_MAX: usize = 64 * 1024;

/// How a header begins: also what is searched for behind a spoiled one.
const MAGIC: [u8; 4] = *b"\x1dSB1";
/// How a segment begins.
const SEGMENT_MAGIC: [u8; 8] = *b"\x1dSLIPLOG";
/// Bytes before a segment's first block.
pub const PREFIX: usize = 32;

/// The line goes on in the next block.
pub const CUT: u8 = 1;
/// The line began in an earlier block.
pub const CONTINUED: u8 = 2;
/// Not the service's words but ours: lines were dropped.
pub const NOTICE: u8 = 4;

/// What is known of a block's lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// Bytes of text.
    pub length: u32,
    /// Lines in it.
    pub lines: u32,
    /// Checksum of the text.
    pub checksum: u32,
    /// [`CUT`], [`CONTINUED`], [`NOTICE`].
    pub flags: u8,
    /// Syslog's facility and severity; 0 if the sender did not say.
    pub priority: u8,
    /// The first line's number; the others follow without gaps.
    pub first: u64,
    /// Microseconds since 1970.
    pub realtime: u64,
    /// Microseconds since boot.
    pub monotonic: u64,
    /// Lines that were dropped just before: only a notice has any.
    pub gone: u64,
    /// Bytes kept since boot, these included: so counters survive us.
    pub bytes: u64,
    /// Lines dropped since boot.
    pub dropped: u64,
}

impl Header {
    /// The number of the line after the last.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first.saturating_add(u64::from(self.lines))
    }

    /// Header and text together, in bytes.
    #[must_use]
    pub fn span(&self) -> usize {
        HEADER.saturating_add(self.length as usize)
    }

    /// Fills in what follows from `text`.
    #[must_use]
    pub fn over(mut self, text: &[u8]) -> Self {
        self.length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.checksum = crc32fast::hash(text);
        self
    }

    /// As it is stored.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut at = 8;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&self.length.to_le_bytes());
        put(&self.lines.to_le_bytes());
        put(&self.checksum.to_le_bytes());
        put(&[self.flags, self.priority, 0, 0]);
        for field in [self.first, self.realtime, self.monotonic, self.gone, self.bytes, self.dropped] {
            put(&field.to_le_bytes());
        }
        bytes[..4].copy_from_slice(&MAGIC);
        let checksum = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote; nothing if it is anything else.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let four = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let eight = |at: usize| u64::from(four(at)) | u64::from(four(at + 4)) << 32;
        if bytes[..4] != MAGIC || four(4) != crc32fast::hash(&bytes[8..]) {
            return None;
        }
        let header = Self {
            length: four(8),
            lines: four(12),
            checksum: four(16),
            flags: bytes[20],
            priority: bytes[21],
            first: eight(24),
            realtime: eight(32),
            monotonic: eight(40),
            gone: eight(48),
            bytes: eight(56),
            dropped: eight(64),
        };
        (header.length as usize <= TEXT_MAX).then_some(header)
    }

    /// Whether `text` is what was stored.
    #[must_use]
    pub fn fits(&self, text: &[u8]) -> bool {
        crc32fast::hash(text) == self.checksum
    }

    /// The lines of `text` without their ends, each with its number.
    pub fn split<'a>(&self, text: &'a [u8]) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let whole = text.strip_suffix(b"\n").unwrap_or(text);
        // A cut line has no end in its block; a block always has at least one line. What a disk says may leave no
        // numbers for them.
        let first = self.first;
        whole.split(|byte| *byte == b'\n').zip(0_u64..).map(move |(line, n)| (first.saturating_add(n), line))
    }
}

/// A segment's beginning: its boot, and the number before which no line of it can be.
#[must_use]
pub fn prefix(boot: BootId, first: u64) -> [u8; PREFIX] {
    let mut bytes = [0; PREFIX];
    bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
    bytes[8..24].copy_from_slice(&boot.0);
    bytes[24..].copy_from_slice(&first.to_le_bytes());
    bytes
}

/// What [`prefix`] wrote, if it was that.
#[must_use]
pub fn read_prefix(bytes: &[u8; PREFIX]) -> Option<(BootId, u64)> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (boot, first) = rest.split_first_chunk::<16>()?;
    (*magic == SEGMENT_MAGIC).then_some((BootId(*boot), u64::from_le_bytes(first.try_into().ok()?)))
}

/// Where a header may begin in `bytes`, not before `from`.
#[must_use]
pub fn resume(bytes: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(bytes.get(from..)?, &MAGIC).map(|at| at + from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            lines: 2,
            first: 41,
            realtime: 7,
            monotonic: 8,
            gone: 3,
            bytes: 11,
            dropped: 5,
            ..Header::default()
        }
        .over(b"one\ntwo\n")
    }

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let written = header();
        assert_eq!(Header::decode(&written.encode()), Some(written));
        assert_eq!(written.next(), 43);
    }

    #[test]
    fn lines_are_numbered_and_an_empty_one_is_one() {
        let header = Header { lines: 3, first: 9, ..Header::default() }.over(b"a\n\nb\n");
        let lines: Vec<_> = header.split(b"a\n\nb\n").collect();
        assert_eq!(lines, [(9, &b"a"[..]), (10, b""), (11, b"b")]);
        assert_eq!(header.split(b"\n").count(), 1);
    }

    #[test]
    fn lines_behind_the_last_number_share_it() {
        let header = Header { lines: 2, first: u64::MAX, ..Header::default() }.over(b"a\nb\n");
        let numbers: Vec<u64> = header.split(b"a\nb\n").map(|(number, _)| number).collect();
        assert_eq!(numbers, [u64::MAX, u64::MAX]);
    }

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unseen(at in 0..HEADER * 8) {
            let mut bytes = header().encode();
            bytes[at / 8] ^= 1 << (at % 8);
            prop_assert_eq!(Header::decode(&bytes), None);
        }
    }
}
