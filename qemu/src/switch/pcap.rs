//! A capture file of everything that crosses the switch, in the classic pcap format.
//!
//! Written by hand because it is 24 bytes of header and 16 per frame. A capture that cannot be written any more ends,
//! the network does not.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::{Doing, Result, on};

/// A capture that is being written.
#[derive(Debug)]
pub(super) struct Pcap<W: Write = BufWriter<File>> {
    out: W,
}

impl Pcap {
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).doing(on("creating", path))?;
        Pcap::new(BufWriter::new(file)).doing(on("writing", path))
    }
}

impl<W: Write> Pcap<W> {
    fn new(mut out: W) -> io::Result<Self> {
        // Magic for microseconds, version 2.4, no time zone, no accuracy, snap length 256 KiB, link type Ethernet.
        let words: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 1 << 18, 1];
        for word in words {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(Pcap { out })
    }

    pub(super) fn record(&mut self, frame: &[u8], at: SystemTime) -> io::Result<()> {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        let seconds = u32::try_from(since.as_secs()).unwrap_or(u32::MAX);
        for word in [seconds, since.subsec_micros(), length, length] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(frame)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_has_a_header_and_a_record_per_frame() {
        let mut pcap = Pcap::new(Vec::new()).unwrap();
        pcap.record(&[0xab; 60], UNIX_EPOCH + std::time::Duration::new(5, 7_000)).unwrap();
        assert_eq!(pcap.out.len(), 24 + 16 + 60);
        assert_eq!(pcap.out[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
        assert_eq!(pcap.out[24..32], [5, 0, 0, 0, 7, 0, 0, 0]);
    }
}
