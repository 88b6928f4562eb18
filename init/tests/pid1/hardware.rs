//! What only hardware shows: the watchdog, and last words that outlive a reset. Under QEMU.
//!
//! A machine here boots more than once, and a byte of its disk counts how often. Its time jumps over rests (see
//! `emulator`), so that minutes of watching are seconds of testing.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use init::control::message::{Ending, Order, StateName};

use crate::ask::{PATIENCE, Pid1, until};
use crate::boot::{Boot, Setup};
use crate::inside::report;
use crate::machine::Ended;
use crate::{Scenario, ends, logs, meddle, scenarios};

pub(crate) fn scenarios() -> Vec<Scenario> {
    scenarios![
        a_pid1_that_hangs_is_reset_by_the_watchdog,
        a_pid1_that_hangs_is_reset_by_the_boards_own_watchdog,
        a_pid1_that_is_well_is_left_alone_by_the_watchdog_also_after_it_replaced_itself,
        a_pid1_that_hangs_while_the_machine_ends_is_reset_by_the_watchdog,
        a_machine_that_takes_its_time_to_end_is_left_alone_by_the_watchdog,
        last_words_of_a_panicked_kernel_are_read_on_the_next_boot,
        last_words_are_found_wherever_the_next_kernel_is_put,
        a_pid1_that_faulted_too_often_has_left_its_reason_for_the_next_boot,
    ]
}

/// How long the watchdog lets PID 1 hang.
const BITES_AFTER: Duration = Duration::from_secs(60);
/// A watchdog on a card of its own. It comes before the chipset's, which every machine has.
const CARD: &[&str] = &["-device", "i6300esb"];
/// What PID 1 says of a boot that is a watchdog's doing.
const RESET: &str = "the watchdog has reset the machine";

/// A machine that keeps lines and looks for its past, once the disk it has no need of is there.
fn setup(boot: &Boot) -> Setup {
    let services = r#"
        [[service]]
        name = "storage"
        exec = ["/usr/bin/actor", "exit=0"]
        ready = { by = "exit" }
    "#;
    Setup {
        services: services.to_owned(),
        ours: &["logd", "past"],
        disks: vec![boot.disk("boots")],
        memory_mib: 384,
        within: Duration::from_secs(400),
        ..Setup::default()
    }
}

/// Counts this boot: 1 for the first.
fn count_boot() -> u8 {
    let disk = File::options().read(true).write(true).open("/dev/vda").unwrap();
    let mut block = [0; 512];
    disk.read_exact_at(&mut block, 0).unwrap();
    block[0] += 1;
    disk.write_all_at(&block, 0).unwrap();
    disk.sync_all().unwrap();
    report(&format!("boot {}", block[0]));
    block[0]
}

/// Whether PID 1's record has a line of the machine's own with `text`.
fn is_on_record(pid1: &Pid1, text: &str) -> bool {
    pid1.events(0).iter().any(|event| event.service.is_none() && event.cause.contains(text))
}

/// What `slipway logs past` shows of earlier boots, once the agent has looked.
fn past(pid1: &Pid1) -> Vec<String> {
    pid1.until("past", StateName::Done);
    // Its lines are in logd's pipe when it has ended.
    thread::sleep(Duration::from_secs(1));
    let lines = until("logd answers", PATIENCE, || logs::lines("past"));
    let lines = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned());
    lines.filter(|line| line.contains("before this boot: ")).collect()
}

fn has(lines: &[String], text: &str) {
    assert!(lines.iter().any(|line| line.contains(text)), "{text} is not among {lines:#?}");
}

/// Has PID 1 hang: for how many seconds it did, and what is left of the machine after the boot that followed, which
/// has been seen to know of it, or not to.
fn hang(boot: &Boot, devices: &'static [&'static str], within: Duration, known: bool) -> (u64, Ended) {
    let ended = boot.machine_with(Setup { devices, ..setup(boot) }, |pid1| {
        until("the machine is up", PATIENCE, || pid1.own().up);
        assert!(is_on_record(pid1, "a watchdog resets the machine after 60s of hanging"));
        if count_boot() == 2 {
            assert_eq!(is_on_record(pid1, RESET), known, "the device can tell");
            return;
        }
        assert!(!is_on_record(pid1, RESET), "nobody hung before this boot");
        let frozen = meddle::Frozen::pid1();
        let began = Instant::now();
        while began.elapsed() < within + Duration::from_secs(30) {
            thread::sleep(Duration::from_secs(1));
            report(&format!("hangs for {} s", began.elapsed().as_secs()));
        }
        drop(frozen);
        panic!("the machine is still there");
    });
    let hung = last_number(&ended, "hangs for ");
    let said = |text| ended.console.matches(text).count();
    assert_eq!(said("machine: started"), 2, "{}", ended.words());
    assert_eq!(said("machine: shutting down"), 1, "only the second boot ended in order\n{}", ended.words());
    (hung, ended)
}

/// By a device that says so afterwards.
fn a_pid1_that_hangs_is_reset_by_the_watchdog(boot: &Boot) {
    let (hung, ended) = hang(boot, CARD, BITES_AFTER, true);
    // Since it was petted last, which is done every 20 s.
    assert!((38..=60).contains(&hung), "it hung for {hung} s\n{}", ended.words());
    assert_eq!(ended.console.matches(RESET).count(), 1, "{}", ended.words());
}

/// By the chipset, which bites at the second time and does not say so.
fn a_pid1_that_hangs_is_reset_by_the_boards_own_watchdog(boot: &Boot) {
    let (hung, ended) = hang(boot, &[], BITES_AFTER * 2, false);
    assert!((38..=120).contains(&hung), "it hung for {hung} s\n{}", ended.words());
}

/// The counter-proof.
fn a_pid1_that_is_well_is_left_alone_by_the_watchdog_also_after_it_replaced_itself(boot: &Boot) {
    let ended = boot.machine_with(Setup { devices: CARD, ..setup(boot) }, |pid1| {
        until("the machine is up", PATIENCE, || pid1.own().up);
        assert_eq!(count_boot(), 1);
        thread::sleep(BITES_AFTER * 3);
        pid1.order(Order::Reexec);
        until("it has replaced itself", PATIENCE, || (pid1.own().reexecs == 1).then_some(()));
        thread::sleep(BITES_AFTER * 3);
        meddle::smash_pid1();
        until("it goes on", PATIENCE, || (pid1.own().recoveries == 1).then_some(()));
        thread::sleep(BITES_AFTER * 3);
    });
    assert_eq!(ended.console.matches("machine: started").count(), 1, "{}", ended.words());
}

/// What an end may take, and what the watchdog adds to that.
const ENDS_WITHIN: Duration = Duration::from_secs(240 + 60);

/// Not later because PID 1 was well for a while: it is the end that has its time.
fn a_pid1_that_hangs_while_the_machine_ends_is_reset_by_the_watchdog(boot: &Boot) {
    let ended = boot.machine_with(Setup { devices: CARD, ..setup(boot) }, |pid1| {
        until("the machine is up", PATIENCE, || pid1.own().up);
        if count_boot() == 2 {
            assert!(is_on_record(pid1, RESET), "the device can tell");
            return;
        }
        // Or the scenario would end with the other services.
        node_sys::event::Signals::listen().unwrap();
        pid1.order(Order::Shutdown { ending: Ending::PowerOff, reason: "the end is to hang".to_owned() });
        let began = Instant::now();
        thread::sleep(Duration::from_secs(100));
        let frozen = meddle::Frozen::pid1();
        while began.elapsed() < ENDS_WITHIN + Duration::from_secs(30) {
            thread::sleep(Duration::from_secs(1));
            report(&format!("ends for {} s", began.elapsed().as_secs()));
        }
        drop(frozen);
        panic!("the machine is still there");
    });
    let took = last_number(&ended, "ends for ");
    // The device counts a little slower than the machine.
    assert!((295..=310).contains(&took), "it ended for {took} s\n{}", ended.words());
    let said = |text| ended.console.matches(text).count();
    assert_eq!((said("machine: started"), said("machine: powering off")), (2, 1), "{}", ended.words());
}

/// The counter-proof: most of the 240 seconds, and more than a minute of them with nobody left but PID 1.
fn a_machine_that_takes_its_time_to_end_is_left_alone_by_the_watchdog(boot: &Boot) {
    const HANGING: [&str; 5] = ["vdb", "vdc", "vdd", "vde", "vdf"];
    let setup = setup(boot);
    let disks = setup.disks.iter().cloned().chain(HANGING.map(|disk| boot.disk(disk))).collect();
    let ended = boot.machine_with(Setup { devices: CARD, disks, ..setup }, |pid1| {
        until("the machine is up", PATIENCE, || pid1.own().up);
        assert_eq!(count_boot(), 1);
        for disk in HANGING {
            meddle::mount(&format!("/dev/{disk}"), "ext4", &format!("/{disk}"), "");
        }
        // Each is waited for ten seconds, and what is left half a minute then.
        meddle::fill_and_clog(&HANGING);
        // The scenario is what does not stop.
        node_sys::event::Signals::listen().unwrap();
    });
    let said = |text| ended.console.matches(text).count();
    assert_eq!((said("machine: started"), said("machine: powering off")), (1, 1), "{}", ended.words());
    let at = |text| ends::must(&ended, "machine", text);
    let took = at("powering off") - at("shutting down");
    assert!((200.0..245.0).contains(&took), "it took {took} s\n{}", ended.words());
    at("problem: sync takes too long");
}

/// The number after the last `text` of the report.
fn last_number(ended: &Ended, text: &str) -> u64 {
    let mut numbers = ended.report.lines().filter_map(|line| line.split_once(text)?.1.split(' ').next());
    numbers.next_back().unwrap().parse().unwrap()
}

fn last_words_of_a_panicked_kernel_are_read_on_the_next_boot(boot: &Boot) {
    const BEFORE: &str = "the scenario goes to work";
    boot.machine_with(setup(boot), |pid1| {
        let words = past(pid1);
        if count_boot() == 1 {
            assert_eq!(words, Vec::<String>::new(), "nothing was before this boot");
            fs::write("/dev/kmsg", BEFORE).unwrap();
            // Ten seconds are for people who read the console; translated they are forty.
            fs::write("/proc/sys/kernel/panic", "1").unwrap();
            fs::write("/proc/sysrq-trigger", "c").unwrap();
            thread::sleep(PATIENCE * 2);
            panic!("the machine is still there");
        }
        has(&words, BEFORE);
        has(&words, "Kernel panic - not syncing: sysrq triggered crash");
        let order = words.iter().position(|line| line.contains(BEFORE));
        assert!(order < words.iter().position(|line| line.contains("Kernel panic")), "{words:#?}");
        let left = fs::read_dir("/sys/fs/pstore").unwrap().count();
        assert_eq!(left, 0, "what was read makes room for the next");
    });
}

/// Where the kernel is, as it says itself.
fn kernels_place() -> String {
    let map = fs::read_to_string("/proc/iomem").unwrap();
    let code = map.lines().find_map(|line| line.trim().strip_suffix(" : Kernel code"));
    code.unwrap_or_else(|| panic!("no kernel in {map}")).to_owned()
}

/// A dozen kernels one after the other, each put elsewhere by KASLR, and each with words for the next.
fn last_words_are_found_wherever_the_next_kernel_is_put(boot: &Boot) {
    const BOOTS: u8 = 12;
    const WORDS: &str = "words of boot number";
    let services = String::new();
    let ended = boot.machine_with(Setup { services, ours: &[], ..setup(boot) }, |_| {
        let number = count_boot();
        report(&format!("the kernel is at {}", kernels_place()));
        let left = fs::read_dir("/sys/fs/pstore").unwrap().map(|entry| entry.unwrap().path());
        let left: Vec<String> = left
            .map(|path| {
                let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
                fs::remove_file(path).unwrap();
                text
            })
            .collect();
        let before = format!("{WORDS} {}.", number - 1);
        let found = left.iter().any(|text| text.contains(&before) && text.contains("sysrq triggered crash"));
        assert_eq!(found, number > 1, "{before} is to be found from the second boot on: {left:#?}");
        if number < BOOTS {
            fs::write("/dev/kmsg", format!("{WORDS} {number}.")).unwrap();
            fs::write("/proc/sys/kernel/panic", "1").unwrap();
            fs::write("/proc/sysrq-trigger", "c").unwrap();
            thread::sleep(PATIENCE * 2);
            panic!("the machine is still there");
        }
    });
    let places = ended.report.lines().filter_map(|line| Some(line.split_once("the kernel is at ")?.1));
    let mut places: Vec<&str> = places.collect();
    assert_eq!(places.len(), usize::from(BOOTS), "{}", ended.words());
    places.sort_unstable();
    places.dedup();
    assert!(places.len() > usize::from(BOOTS / 2), "kernels are not put anywhere: {places:#?}");
}

/// S38, for whoever comes when the machine is up again.
fn a_pid1_that_faulted_too_often_has_left_its_reason_for_the_next_boot(boot: &Boot) {
    boot.machine_with(setup(boot), |pid1| {
        let words = past(pid1);
        match count_boot() {
            1 => {
                for times in 1..=3 {
                    meddle::smash_pid1();
                    until("it goes on", PATIENCE, || (pid1.own().recoveries == times).then_some(()));
                }
                meddle::smash_and_wake_pid1();
            }
            2 => {
                has(&words, "slipway: PID 1 has faulted too often");
                assert_eq!(words.len(), 1, "the machine ended in order: {words:#?}");
                let reason = "nothing is wrong".to_owned();
                pid1.order(Order::Shutdown { ending: Ending::Reboot, reason });
                thread::sleep(PATIENCE * 2);
                panic!("the machine is still there");
            }
            _ => assert_eq!(words, Vec::<String>::new(), "nothing was wrong with the boot before"),
        }
    });
}
