//! The kernel's log: records of /dev/kmsg as lines of the service `kernel`.
//!
//! Their numbers and stamps are the kernel's own, so what it wrote over before we read it shows
//! as a gap, and after our restart reading goes on behind the last record that was stored.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use node_sys::event;

use super::block::Header;
use super::shelf::{Shelf, Stamp};

/// More than a record of the kernel can be (`CONSOLE_EXT_LOG_MAX` is 8192).
const RECORD_MAX: usize = 16 * 1024;
/// Records per turn, so that a kernel that talks does not keep services waiting.
const TURN_MAX: usize = 256;

/// One record.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Facility and severity.
    pub priority: u8,
    /// Its number.
    pub number: u64,
    /// Microseconds since boot.
    pub monotonic: u64,
    /// What it says.
    pub text: &'a [u8],
}

/// Reads a record: `PRIORITY,NUMBER,MICROSECONDS,FLAGS[,…];TEXT`, then lines of properties.
#[must_use]
pub fn parse(record: &[u8]) -> Option<Record<'_>> {
    let end = memchr::memchr(b';', record)?;
    let mut fields = std::str::from_utf8(record.get(..end)?).ok()?.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let number = fields.next()?.parse().ok()?;
    let monotonic = fields.next()?.parse().ok()?;
    let text = record.get(end + 1..)?.split(|byte| *byte == b'\n').next()?;
    Some(Record { priority: u8::try_from(priority & 0xff).unwrap_or(0), number, monotonic, text })
}

/// The kernel's log as it is read.
#[derive(Debug)]
pub struct Kernel {
    device: OwnedFd,
    shelf: Shelf,
}

impl Kernel {
    /// Opens /dev/kmsg.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(path: &Path, shelf: Shelf) -> io::Result<Self> {
        let device = OpenOptions::new().read(true).custom_flags(event::OPEN_CONSOLE).open(path)?;
        Ok(Self { device: device.into(), shelf })
    }

    /// The shelf, for what is not about the device.
    pub fn shelf(&mut self) -> &mut Shelf {
        &mut self.shelf
    }

    /// Takes what is there; how many bytes that was.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(RECORD_MAX);
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        let mut taken = 0;
        for _ in 0..TURN_MAX {
            match event::read_now(&self.device, buffer) {
                Ok(None | Some(0)) => break,
                Ok(Some(read)) => {
                    taken += read;
                    if let Some(record) = parse(buffer.get(..read).unwrap_or_default()) {
                        self.store(&record, Stamp::now());
                    }
                }
                // Records were written over; the next read goes on with the oldest that is left.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    fn store(&mut self, record: &Record<'_>, now: Stamp) {
        let next = self.shelf.next();
        if record.number < next {
            return;
        }
        if next > 0 && record.number > next {
            self.shelf.service().kernel_lost.fetch_add(record.number - next, Relaxed);
        }
        self.shelf.skip_to(record.number);
        let age = now.monotonic.saturating_sub(record.monotonic);
        let header = Header {
            lines: 1,
            priority: record.priority,
            realtime: now.realtime.saturating_sub(age),
            monotonic: record.monotonic,
            ..Header::default()
        };
        self.shelf.store(header, &[record.text, b"\n"].concat());
    }
}

impl AsFd for Kernel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_read_without_its_properties() {
        let record = parse(b"6,339,5140900,-,caller=T1;usb 1-1: new device; fine\n SUBSYSTEM=usb\n").unwrap();
        let text = &b"usb 1-1: new device; fine"[..];
        assert_eq!(record, Record { priority: 6, number: 339, monotonic: 5_140_900, text });
    }

    proptest! {
        #[test]
        fn no_record_makes_us_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }
    }
}
