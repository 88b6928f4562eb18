//! The way of lines from a service's pipe to storage: cut, limited, and shown.
//!
//! No byte is lost or added, whatever the pieces in which they come; no line is longer than the longest; a cut
//! line's parts are marked; the limit lets no more lines pass than came. Kernel records and PID 1's marked lines are read, too.

use init::logd::block::{CONTINUED, CUT, LINE_MAX};
use init::logd::cut::{Cutter, Piece};
use init::logd::kernel;
use init::logd::limit::Limit;
use init::logd::record::harmless;
use init::logd::word::Word;
use memchr::memchr_iter;

use crate::input::Input;

/// The most chunks that come.
const CHUNKS_MAX: usize = 32;
/// The most bytes that an input is drawn out to.
const WRITTEN_MAX: usize = 60_000;

pub(super) fn run(input: &[u8]) {
    if let Some(record) = kernel::parse(input) {
        assert!(!record.text.contains(&b'\n'));
    }
    if let Some(word) = Word::parse(input) {
        assert_eq!(Word::parse(word.to_string().as_bytes()), Some(word));
    }
    assert!(!harmless(input).chars().any(char::is_control));

    let mut input = Input::new(input);
    let step = 1 + input.below(256) * 300;
    let mut limit = Limit::new(u32::from(input.byte().unwrap_or(0)), 1000, 0);
    let written = drawn_out(&mut input);
    let step = step.max(written.len() / CHUNKS_MAX);
    let (mut cutter, mut held, mut kept) = (Cutter::default(), Vec::new(), Vec::new());
    let mut before = None;
    for (turn, chunk) in (0_u64..).zip(written.chunks(step)) {
        held.extend_from_slice(chunk);
        let mut bytes = &held[..];
        while let Some(piece) = cutter.next(&mut bytes) {
            sound(piece, before);
            before = Some(piece.flags);
            let passing = limit.take(piece.lines, turn * 1000);
            assert!(passing <= piece.lines);
            let first = piece.first(passing);
            assert!(piece.text.starts_with(first.text) && first.lines == passing);
            kept.extend_from_slice(piece.text);
        }
        assert!(bytes.len() <= LINE_MAX, "more than a line is held");
        held = bytes.to_vec();
    }
    if let Some(piece) = cutter.last(&held) {
        assert_eq!((piece.lines, piece.text), (1, &held[..]));
        kept.extend_from_slice(piece.text);
    }
    assert_eq!(kept, written);
}

fn sound(piece: Piece<'_>, before: Option<u8>) {
    let (mut ends, mut begun) = (0, 0);
    for end in memchr_iter(b'\n', piece.text) {
        assert!(end - begun <= LINE_MAX, "a line that is too long");
        (ends, begun) = (ends + 1, end + 1);
    }
    assert!(piece.text.len() - begun <= LINE_MAX, "a part that is too long");
    let cut = piece.flags & CUT != 0;
    assert_eq!(piece.lines, if cut { 1 } else { ends });
    assert_eq!(cut, !piece.text.ends_with(b"\n"));
    let goes_on = before.is_some_and(|flags| flags & CUT != 0);
    assert_eq!(piece.flags & CONTINUED != 0, goes_on, "a part that is not marked");
}

/// Few bytes as many: 0xff, a byte and a count is that byte so many times 64.
fn drawn_out(input: &mut Input<'_>) -> Vec<u8> {
    let mut written = Vec::new();
    while let Some(byte) = input.byte() {
        if byte == 0xff && written.len() < WRITTEN_MAX {
            let byte = input.byte().unwrap_or(0);
            written.resize(written.len() + input.below(256) * 64, byte);
        } else {
            written.push(byte);
        }
    }
    written
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"\x01\x09one\ntwo\n\nrest".to_vec(),
        b"\xff\x01before\n\xffx\xff\xffx\xff\xffx\xff\xffx\xff\xffx\xff\nafter\n".to_vec(),
        b"\x09\x00\xff\n\x40x\n".to_vec(),
        b"\x1efailed etcd 17".to_vec(),
        b"6,339,5140900,-,caller=T1;usb 1-1: new device; fine\n SUBSYSTEM=usb\n".to_vec(),
        b"\x1b[31mred\0\xe2\x80\xae\xff\ttab\r\n".to_vec(),
    ]
}
