//! Whether the host's KVM is of any use, found out by running a guest on it.
//!
//! The file's presence says little: a nested, para-virtual KVM may be there and execute guests so slowly that the
//! translator is faster. The guest here is a firmware of 70 bytes that enters protected mode, counts down from 2^26 and
//! reports by an exit port; a CPU does that in 30 ms, the translator in 200 ms, a useless KVM not within the deadline.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::qemu::QemuProgram;

/// QEMU's own start included.
const DEADLINE: Duration = Duration::from_secs(2);
/// QEMU ends with `(value << 1) | 1` when the guest writes `value`, here 0x2a, to the exit port.
const SUCCESS: i32 = 85;
/// The size of the firmware image; the CPU starts 16 bytes before its end.
const ROM: usize = 64 << 10;

#[rustfmt::skip]
const PROGRAM: &[u8] = &[
    0xfa,                                           //       cli
    0x8c, 0xc8, 0x8e, 0xd8,                         //       mov ds, cs
    0x66, 0x0f, 0x01, 0x16, 0x40, 0x00,             //       lgdt [0x40]
    0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0, //       cr0.pe = 1
    0x66, 0xea, 0x1b, 0x00, 0xff, 0xff, 0x08, 0x00, //       jmp 8:0xffff001b
    0xb9, 0x00, 0x00, 0x00, 0x04,                   //       mov ecx, 1 << 26
    0x49, 0x75, 0xfd,                               // loop: dec ecx; jnz loop
    0x66, 0xba, 0xf4, 0x00, 0xb0, 0x2a, 0xee,       //       out 0xf4, 0x2a
    0xf4, 0xeb, 0xfd,                               // halt: hlt; jmp halt
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                //       (to 0x38)
    0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xcf, 0x00, // 0x38: flat code segment, selector 8 of the table at 0x30
    0x0f, 0x00, 0x30, 0x00, 0xff, 0xff,             // 0x40: limit and base of the table
];
/// `jmp 0`, as seen from the reset vector.
const RESET_VECTOR: [u8; 3] = [0xe9, 0x0d, 0x00];

/// Tries it.
pub fn kvm_works(qemu: &QemuProgram) -> bool {
    fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok() && runs_guest(qemu, "kvm")
}

fn rom() -> Vec<u8> {
    let mut rom = vec![0; ROM];
    if let Some(start) = rom.get_mut(..PROGRAM.len()) {
        start.copy_from_slice(PROGRAM);
    }
    if let Some(vector) = rom.get_mut(ROM - 16..ROM - 13) {
        vector.copy_from_slice(&RESET_VECTOR);
    }
    rom
}

fn runs_guest(qemu: &QemuProgram, accelerator: &str) -> bool {
    let path = std::env::temp_dir().join(format!("slipway-probe-{}-{accelerator}.rom", std::process::id()));
    if let Err(error) = fs::write(&path, rom()) {
        tracing::warn!(path = %path.display(), %error, "KVM not probed");
        return false;
    }
    let works = run(qemu, accelerator, &path);
    if let Err(error) = fs::remove_file(&path) {
        tracing::debug!(path = %path.display(), %error, "probe's firmware not removed");
    }
    works
}

fn run(qemu: &QemuProgram, accelerator: &str, rom: &std::path::Path) -> bool {
    let mut command = qemu.command();
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-M", "pc", "-m", "16"]);
    command.args(["-accel", accelerator, "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-bios"]).arg(rom);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            tracing::warn!(program = %qemu.program.display(), %error, "KVM not probed");
            return false;
        }
    };
    let deadline = Instant::now() + DEADLINE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.code() == Some(SUCCESS),
            Ok(None) if Instant::now() < deadline => sleep(Duration::from_millis(10)),
            _ => break,
        }
    }
    // Best effort on a child that is ours: it may have ended this moment.
    let _ = child.kill();
    let _ = child.wait();
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probes_tables_are_where_its_instructions_look_for_them() {
        assert_eq!(PROGRAM[0x1b], 0xb9);
        assert_eq!(PROGRAM[0x38..0x40], [0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0]);
        assert_eq!(PROGRAM[0x40..0x46], [0x0f, 0, 0x30, 0, 0xff, 0xff]);
        assert_eq!(rom()[0xfff0], 0xe9);
    }

    #[test]
    fn without_a_program_there_is_no_kvm() {
        assert!(!runs_guest(&QemuProgram::installed("/nonexistent".into()), "kvm"));
    }
}
