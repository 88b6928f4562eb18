//! User-mode Linux: a kernel as an ordinary process, in seccomp mode, with our switch behind its network card.
//!
//! It is never sent SIGTERM, which makes the guest panic. Its power button is the management console's `cad`, which
//! reaches PID 1 as ctrl-alt-del does; the end of the guest is seen on its console, and the process is killed then.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixDatagram;

use super::driver::{Driver, Invocation, Pending};
use super::place::Place;
use super::power::Abilities;
use super::spec::MachineSpec;
use crate::error::{Doing, Error, Result, on};
use crate::switch::Framing;

/// Its directory below `$HOME/.uml`; there is one machine per home.
const UMID: &str = "m";

/// The management console answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(2);

/// The driver; it has no settings.
#[derive(Debug)]
pub(crate) struct Uml;

impl Driver for Uml {
    fn framing(&self) -> Framing {
        Framing::Message
    }

    fn abilities(&self) -> Abilities {
        Abilities { reset_in_place: false }
    }

    fn invocation(&self, spec: &MachineSpec, place: &Place) -> Invocation {
        let word = |key: &str, value: &Path| {
            let mut word = OsString::from(key);
            word.push(value);
            word
        };
        let mut arguments: Vec<OsString> = vec![
            format!("mem={}M", spec.memory_mib).into(),
            "seccomp=on".into(),
            format!("umid={UMID}").into(),
        ];
        arguments.push(word("initrd=", &spec.initramfs));
        for (letter, disk) in ('a'..='z').zip(&spec.disks) {
            let number = u32::from(letter) - u32::from('a');
            let flag = if disk.read_only { "r" } else { "" };
            arguments.push(word(&format!("ubd{number}{flag}="), &place.disk(disk)));
        }
        let mut card = word("vec0:transport=bess,dst=", &place.cable());
        card.push(format!(",mac={}", spec.mac));
        arguments.push(card);
        // `quiet` silences what User-mode Linux says about its host; the guest's own level comes later in the line.
        arguments.extend(["con=null", "con0=null,fd:1", "quiet"].map(OsString::from));
        arguments.extend(spec.cmdline.split_ascii_whitespace().map(OsString::from));
        let environment =
            vec![("HOME", place.scratch().into_os_string()), ("TMPDIR", place.memory.clone().into())];
        Invocation { program: spec.kernel.clone(), arguments, environment }
    }

    fn press_power<'a>(&'a self, place: &'a Place) -> Pending<'a, Result<()>> {
        Box::pin(async move { command(place, "cad").await.map(|_reply| ()) })
    }

    fn reset_in_place<'a>(&'a self, _place: &'a Place) -> Pending<'a, Result<()>> {
        Box::pin(async {
            Err(Error::Other("a User-mode Linux process does not outlive its reset".to_owned()))
        })
    }
}

/// `struct mconsole_request` and `mconsole_reply` of arch/um/drivers/mconsole.h: three words, then text.
const MAGIC: u32 = 0xcafe_babe;
const VERSION: u32 = 2;
const MAX_DATA: usize = 512;

fn request(text: &str) -> Option<Vec<u8>> {
    let length = u32::try_from(text.len()).ok().filter(|_| text.len() < MAX_DATA)?;
    let mut bytes = Vec::with_capacity(12 + MAX_DATA);
    for word in [MAGIC, VERSION, length] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(text.as_bytes());
    bytes.resize(12 + MAX_DATA, 0);
    Some(bytes)
}

/// The text of a reply, or of the error that it carries.
fn reply(bytes: &[u8]) -> Result<String, String> {
    let (error, rest) = bytes.split_first_chunk::<4>().ok_or("a reply that is too short")?;
    let text = rest.get(8..).unwrap_or_default();
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = String::from_utf8_lossy(text).trim().to_owned();
    if u32::from_ne_bytes(*error) == 0 { Ok(text) } else { Err(text) }
}

/// Sends one command to a machine's management console.
async fn command(place: &Place, text: &str) -> Result<String> {
    let console = console_socket(place);
    let ours = place.scratch().join("mconsole-reply");
    match std::fs::remove_file(&ours) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing(on("removing", &ours))?
        }
        _ => {}
    }
    let socket = UnixDatagram::bind(&ours).doing(on("binding", &ours))?;
    let bytes = request(text).ok_or_else(|| Error::Other(format!("mconsole command too long: {text}")))?;
    socket.send_to(&bytes, &console).await.doing(on("writing to", &console))?;
    let mut buffer = [0; 12 + MAX_DATA];
    match tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await {
        Err(_elapsed) => Err(Error::Other(format!("{} does not answer", console.display()))),
        Ok(received) => {
            let length = received.doing(on("reading from", &console))?;
            reply(buffer.get(..length).unwrap_or_default()).map_err(Error::Other)
        }
    }
}

fn console_socket(place: &Place) -> PathBuf {
    place.scratch().join(".uml").join(UMID).join("mconsole")
}

/// The longest path of a socket below a machine's run directory, for the check that it fits.
pub(crate) fn longest_socket(place: &Place) -> usize {
    console_socket(place).as_os_str().as_bytes().len()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::spec::Disk;
    use super::*;
    use crate::Mac;

    #[test]
    fn the_command_line_has_the_disks_in_order_and_the_card_on_our_switch() {
        let disk = |path: &str, read_only| Disk { path: path.into(), read_only, create_bytes: None };
        let spec = MachineSpec {
            name: "w1".into(),
            kernel: "/k/linux".into(),
            initramfs: "/i/initramfs".into(),
            cmdline: "slipway.root=abc  panic=10".into(),
            disks: vec![disk("/o/slot.img", true), disk("data.img", false), disk("config.img", true)],
            memory_mib: 1536,
            mac: Mac([0x52, 0x54, 0, 0x4d, 0, 1]),
            address: Ipv4Addr::new(10, 77, 0, 21),
            cpu: Some(1),
        };
        let place = Place { kept: "/s/w1".into(), run: "/r/w1".into(), memory: "/dev/shm".into() };
        let invocation = Uml.invocation(&spec, &place);
        let words: Vec<_> = invocation.arguments.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words,
            [
                "mem=1536M",
                "seccomp=on",
                "umid=m",
                "initrd=/i/initramfs",
                "ubd0r=/o/slot.img",
                "ubd1=/s/w1/data.img",
                "ubd2r=/s/w1/config.img",
                "vec0:transport=bess,dst=/r/w1/net,mac=52:54:00:4d:00:01",
                "con=null",
                "con0=null,fd:1",
                "quiet",
                "slipway.root=abc",
                "panic=10",
            ]
        );
    }

    #[test]
    fn a_reply_of_the_management_console_is_its_text_or_its_error() {
        let mut bytes = [0u32.to_ne_bytes(), 0u32.to_ne_bytes(), 3u32.to_ne_bytes()].concat();
        bytes.extend(b"ok\n\0");
        assert_eq!(reply(&bytes), Ok("ok".to_owned()));
        bytes[0] = 1;
        assert_eq!(reply(&bytes), Err("ok".to_owned()));
        assert!(reply(b"x").is_err());
    }
}
