//! The machine's end (S33 to S36): in order, in bounded time, whatever hangs.
//!
//! Inside, the scenario prepares what will hang and then asks for the end; outside, the console says
//! in which order things went, and the disk what had been written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use init::control::message::{Ending, Order, StateName};
use node_sys::mount;

use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::{Boot, Setup};
use crate::disk;
use crate::machine::{Ended, Reader};
use crate::meddle;
use crate::{Scenario, look, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        of_a_hundred_services_one_hangs_in_the_kernel_and_the_others_stop_in_order,
        a_second_request_ends_patience_and_keeps_the_first_ones_kind,
        an_end_while_services_start_restart_and_prepare_lets_nothing_more_begin,
        mounts_on_mounts_are_undone_and_what_was_written_is_on_the_disk,
        a_disk_that_hangs_keeps_no_other_from_being_unmounted_and_no_machine_from_ending,
        a_console_that_is_full_keeps_no_disk_from_being_unmounted,
    ]
}

/// The moment of the first line about `subject` with `text`, in seconds since boot.
fn when(ended: &Ended, subject: &str, text: &str) -> Option<f64> {
    ended.console.lines().find_map(|line| {
        let (moment, rest) = line.strip_prefix("slipway[")?.split_once("] ")?;
        let (about, said) = rest.split_once(": ")?;
        (about == subject && said.starts_with(text)).then(|| moment.parse().ok())?
    })
}

pub(crate) fn must(ended: &Ended, subject: &str, text: &str) -> f64 {
    when(ended, subject, text).unwrap_or_else(|| panic!("{subject}: {text} is not said\n{}", ended.words()))
}

/// S33: ten chains of ten, and one that waits for a disk that does not answer.
fn of_a_hundred_services_one_hangs_in_the_kernel_and_the_others_stop_in_order(boot: &Boot) {
    let name = |chain: u32, link: u32| format!("s{chain}-{link}");
    let mut services = String::from(
        r#"
        [[service]]
        name = "hanging"
        exec = ["/usr/bin/actor", "await=/run/go", "flood=/disk/file:8", "stay"]
        stop = { timeout = "1s" }
        sandbox = { privileged = true }
        "#,
    );
    for (chain, link) in (0..10).flat_map(|chain| (0..10).map(move |link| (chain, link))) {
        let needs = if link == 0 { String::new() } else { format!("\"{}\"", name(chain, link - 1)) };
        let own = name(chain, link);
        services += &format!(
            "[[service]]\nname = \"{own}\"\nexec = [\"/usr/bin/actor\", \"stay\"]\nrequires = [{needs}]\n"
        );
    }
    let setup = Setup {
        services,
        disks: vec![boot.disk("clogged")],
        memory_mib: 512,
        within: Duration::from_secs(280),
        ..Setup::default()
    };
    let ended = boot.machine_with(setup, |pid1| {
        until("the machine is up", PATIENCE * 2, || pid1.own().up);
        meddle::mount("/dev/ubda", "ext4", "/disk", "");
        meddle::clog(&look::group("hanging"), "ubda");
        meddle::touch("/run/go");
        let pid = pid1.pid("hanging");
        let mut hangs = 0;
        until("it hangs in the kernel", PATIENCE, || {
            // Whoever writes is there for a moment now and then.
            hangs = if look::process(pid).unwrap().state == 'D' { hangs + 1 } else { 0 };
            (hangs > 100).then_some(())
        });
    });
    let began = must(&ended, "machine", "shutting down (power off)");
    for (chain, link) in (0..10).flat_map(|chain| (1..10).map(move |link| (chain, link))) {
        let of = |link| must(&ended, &format!("service {}", name(chain, link)), "stopped");
        assert!(of(link) <= of(link - 1), "{} stops after its need", name(chain, link));
    }
    must(&ended, "service hanging", "could not be stopped, left behind");
    assert_eq!(when(&ended, "service hanging", "stopped"), None);
    let off = must(&ended, "machine", "powering off");
    assert!(off - began < 240.0, "took {} s\n{}", off - began, ended.words());
}

/// S34.
fn a_second_request_ends_patience_and_keeps_the_first_ones_kind(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "deaf"
        exec = ["/usr/bin/actor", "ignore-term", "ready", "stay"]
        ready = { by = "notify" }
        stop = { timeout = "1h" }
    "#;
    let ended = boot.machine(services, |pid1| {
        let pid = pid1.until("deaf", StateName::Ready).pid.unwrap();
        // Or this would end with the first.
        node_sys::event::Signals::listen().unwrap();
        let order = |ending| Order::Shutdown { ending, reason: "a test".to_owned() };
        pid1.order(order(Ending::PowerOff));
        pid1.until("deaf", StateName::Stopping);
        std::thread::sleep(Duration::from_secs(1));
        assert!(look::process(pid).is_some(), "it has an hour");
        // From here on everybody is killed, this included: said beforehand.
        crate::inside::report("passed");
        pid1.order(order(Ending::Reboot));
    });
    must(&ended, "machine", "powering off");
    assert_eq!(when(&ended, "machine", "rebooting"), None, "{}", ended.words());
}

/// S35.
fn an_end_while_services_start_restart_and_prepare_lets_nothing_more_begin(boot: &Boot) {
    let mut services = String::from(
        r#"
        [[service]]
        name = "preparing"
        exec = ["/usr/bin/actor", "stay"]
        before-start = [["/usr/bin/actor", "ignore-term", "stay"]]
        milestone = false
        "#,
    );
    for n in 0..5 {
        services += &format!(
            "[[service]]\nname = \"starting{n}\"\nexec = [\"/usr/bin/actor\", \"stay\"]\nready = {{ by = \"notify\" }}\n\
             [[service]]\nname = \"crashing{n}\"\nexec = [\"/usr/bin/actor\", \"sleep=30\", \"exit=1\"]\n\
             restart = {{ pause = \"10ms\", longest-pause = \"10ms\" }}\nmilestone = false\n"
        );
    }
    let ended = boot.machine(&services, |pid1| {
        pid1.until("preparing", StateName::Preparing);
        pid1.until("starting4", StateName::Starting);
        until("they crash and come again", PATIENCE, || (pid1.service("crashing4").starts > 3).then_some(()));
    });
    let after = ended.console.split_once("shutting down (power off)").expect("it shuts down").1;
    assert!(!after.contains(": starting"), "{}", ended.words());
    assert_eq!(when(&ended, "service preparing", "starting"), None, "{}", ended.words());
    let took = must(&ended, "machine", "powering off") - must(&ended, "machine", "shutting down");
    assert!(took < 20.0, "took {took} s\n{}", ended.words());
}

const WORDS: &str = "written before the end";

/// S36: on a disk an overlay, in that a tmpfs twice over, a bind mount of a directory in there, one of a file,
/// and one that is its own parent's.
fn mounts_on_mounts_are_undone_and_what_was_written_is_on_the_disk(boot: &Boot) {
    let image = boot.disk("data");
    let setup = Setup { disks: vec![image.clone()], ..Setup::default() };
    let ended = boot.machine_with(setup, |_| {
        meddle::mount("/dev/ubda", "ext4", "/var", "");
        for directory in ["/var/lower", "/var/upper", "/var/work", "/run/bound", "/var/again"] {
            fs::create_dir(directory).unwrap();
        }
        let layers = "lowerdir=/var/lower,upperdir=/var/upper,workdir=/var/work";
        meddle::mount("overlay", "overlay", "/run/merged", layers);
        fs::write("/run/merged/file", WORDS).unwrap();
        meddle::mount("tmpfs", "tmpfs", "/run/merged/memory", "");
        meddle::mount("tmpfs", "tmpfs", "/run/merged/memory", "");
        fs::create_dir("/run/merged/memory/inner").unwrap();
        mount::bind(Path::new("/run/merged/memory/inner"), Path::new("/run/bound")).unwrap();
        mount::bind(Path::new("/var"), Path::new("/var/again")).unwrap();
        fs::write("/run/file", "").unwrap();
        mount::bind(Path::new("/var/upper/file"), Path::new("/run/file")).unwrap();
        meddle::mount("tmpfs", "tmpfs", "/run/with space\tand tab", "");
    });
    assert!(!ended.console.contains("unmounting "), "{}", ended.words());
    assert!(!ended.console.contains("problem"), "{}", ended.words());
    assert!(disk::is_clean(&image), "{}", ended.words());
    assert_eq!(disk::read(&image, "/upper/file"), WORDS);
    let took = must(&ended, "machine", "powering off") - must(&ended, "machine", "shutting down");
    assert!(took < 20.0, "took {took} s");
}

/// Ends a machine with a good disk and one that takes nothing any more, with bytes for it in memory, which no sync
/// gets out. What is left of it is the good disk's.
fn with_a_disk_that_hangs(boot: &Boot, setup: Setup, before: impl FnOnce(&Pid1)) -> (Ended, PathBuf) {
    let image = boot.disk("good");
    let setup = Setup {
        // The one that hangs is mounted last, and so the first to be unmounted.
        disks: vec![image.clone(), boot.disk("bad")],
        within: Duration::from_secs(280),
        ..setup
    };
    let ended = boot.machine_with(setup, |pid1| {
        meddle::mount("/dev/ubda", "ext4", "/good", "");
        meddle::mount("/dev/ubdb", "ext4", "/ubdb", "");
        fs::write("/good/file", WORDS).unwrap();
        meddle::fill_and_clog(&["ubdb"]);
        before(pid1);
    });
    (ended, image)
}

/// S36.
fn a_disk_that_hangs_keeps_no_other_from_being_unmounted_and_no_machine_from_ending(boot: &Boot) {
    let (ended, image) = with_a_disk_that_hangs(boot, Setup::default(), |_| {});
    assert!(disk::is_clean(&image), "{}", ended.words());
    assert_eq!(disk::read(&image, "/file"), WORDS);
    let took = must(&ended, "machine", "powering off") - must(&ended, "machine", "shutting down");
    assert!(took < 240.0, "took {took} s\n{}", ended.words());
}

/// S36 and S40: who unmounts says that one disk hangs, on a console that takes nothing, and goes on with the other.
fn a_console_that_is_full_keeps_no_disk_from_being_unmounted(boot: &Boot) {
    let services = r#"
        [[service]]
        name = "noisy"
        exec = ["/usr/bin/actor", "print=30000", "ready", "stay"]
        ready = { by = "notify" }

        [[service]]
        name = "last"
        exec = ["/usr/bin/actor", "await=/run/never", "ready", "stay"]
        ready = { by = "notify" }
    "#;
    let console = Reader::StopsAfter(0);
    let setup = Setup { services: services.to_owned(), ours: &["logd"], console, ..Setup::default() };
    let (ended, image) = with_a_disk_that_hangs(boot, setup, |pid1| {
        pid1.until_within("noisy", StateName::Ready, PATIENCE * 2);
    });
    assert!(disk::is_clean(&image), "{}", ended.words());
    assert_eq!(disk::read(&image, "/file"), WORDS);
}
