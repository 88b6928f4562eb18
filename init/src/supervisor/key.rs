//! The power button: an input device that reports KEY_POWER.
//!
//! Read as bytes of `struct input_event`; nothing is grabbed and no other key means anything.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

/// Input devices that are listened to at most.
const DEVICES_MAX: usize = 16;
/// Bytes of `struct input_event` on a 64-bit machine: two words of time, then type, code, value.
const EVENT_LEN: usize = 24;
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// The machine's input devices, to be read without waiting.
pub(super) fn devices() -> Vec<File> {
    let Ok(entries) = fs::read_dir("/dev/input") else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("event"))
        .filter_map(|entry| {
            File::options().read(true).custom_flags(node_sys::event::OPEN_CONSOLE).open(entry.path()).ok()
        })
        .take(DEVICES_MAX)
        .collect()
}

/// Whether the power button is among what was pressed on `device` since the last look.
///
/// # Errors
/// Those of read(2), when the device is gone.
pub(super) fn power_pressed(mut device: &File) -> io::Result<bool> {
    let mut bytes = [0; EVENT_LEN * 64];
    match device.read(&mut bytes) {
        Ok(len) => Ok(bytes.get(..len).unwrap_or_default().chunks_exact(EVENT_LEN).any(is_power_press)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_power_press(event: &[u8]) -> bool {
    let Some(&[a, b, c, d, e, f, g, h]) = event.get(16..24).and_then(<[u8]>::first_chunk) else {
        return false;
    };
    let (kind, code) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
    (kind, code, i32::from_ne_bytes([e, f, g, h])) == (EV_KEY, KEY_POWER, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        [&[0; 16][..], &kind.to_ne_bytes(), &code.to_ne_bytes(), &value.to_ne_bytes()].concat()
    }

    #[test]
    fn only_pressing_the_power_button_counts() {
        assert!(is_power_press(&event(EV_KEY, KEY_POWER, 1)));
        assert!(!is_power_press(&event(EV_KEY, KEY_POWER, 0)), "its release does not");
        assert!(!is_power_press(&event(EV_KEY, 30, 1)));
        assert!(!is_power_press(&event(0, 0, 0)));
        assert!(!is_power_press(&[]));
    }
}
