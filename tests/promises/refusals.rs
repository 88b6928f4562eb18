//! What a machine refuses: configs that are not for it, roots that were altered, disks that are not ours.
//!
//! Each test switches on the demo cluster's load balancer alone with one thing wrong, reads
//! the reason on its console, and sees that haproxy, its cluster service, never started.
//! Where `slipway config verify` can know too, it is asked and must say the same.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::cli;
use e2e::machine::{Alone, Setup};
use libtest_mimic::Trial;

/// This module's tests.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, test: fn() -> Result<()>| {
        Trial::test(name, move || test().map_err(|error| format!("{error:#}").into()))
    };
    vec![
        trial("a_machine_with_a_good_config_comes_up", good),
        trial("an_unsigned_config_is_refused", unsigned),
        trial("a_config_signed_by_an_unknown_key_is_refused", unknown_key),
        trial("a_config_with_an_altered_byte_is_refused", altered),
        trial("a_config_for_another_role_is_refused", other_role),
        trial("a_config_for_other_hardware_is_refused", other_hardware),
        trial("an_expired_config_is_refused", expired),
        trial("a_config_that_is_not_yet_valid_is_refused", not_yet_valid),
        trial("a_config_with_an_unknown_field_is_refused", unknown_field),
        trial("a_config_of_a_newer_schema_is_refused", newer_schema),
        trial("a_machine_stays_with_its_cluster_its_name_and_its_serial", bound),
        trial("a_flipped_byte_in_the_root_is_refused_when_it_is_read", flipped_byte),
        trial("a_foreign_disk_is_left_alone", foreign_disk),
    ]
}

/// Switches on what `setup` holds and sees it refuse the config for a reason with all of `words`.
fn refused(setup: Setup, words: &[&str]) -> Result<()> {
    let verify = cli::attempt([
        "config",
        "verify",
        "--role",
        "lb",
        "--mac",
        "52:54:00:4d:00:10",
        &setup.config().to_string_lossy(),
    ])?;
    let said = String::from_utf8_lossy(&verify.stderr).into_owned();
    ensure!(!verify.status.success(), "slipway config verify accepts it");
    ensure!(words.iter().all(|word| said.contains(word)), "slipway config verify says {said:?}");
    refuses(&setup.switch_on(None)?, words)
}

/// Sees a machine refuse its config for a reason with all of `words`, and start no cluster service.
fn refuses(machine: &Alone, words: &[&str]) -> Result<()> {
    let mut line = vec!["problem"];
    line.extend(words);
    let line = machine.says(&line, 0)?;
    ensure!(line.contains("waiting for another config"), "it does not say what it waits for: {line:?}");
    let console = machine.console()?;
    ensure!(!console.contains("service haproxy: starting"), "haproxy was started:\n{console}");
    Ok(())
}

fn good() -> Result<()> {
    let machine = Setup::new("e2e-good")?.switch_on(None)?;
    machine.says(&["machine: up"], 0).map(|_| ())
}

fn unsigned() -> Result<()> {
    let setup = Setup::new("e2e-unsigned")?;
    fs::write(setup.config(), setup.payload()?).context("writing the bare payload")?;
    refused(setup, &["not signed"])
}

fn unknown_key() -> Result<()> {
    let setup = Setup::new("e2e-unknown-key")?;
    let (keys, payload) = (setup.path("keys"), setup.path("payload.toml"));
    cli::run(["keys", "new", &keys.to_string_lossy()])?;
    fs::write(&payload, setup.payload()?).context("writing the payload")?;
    let key = keys.join("config.key");
    let (payload, config) =
        (payload.to_string_lossy().into_owned(), setup.config().to_string_lossy().into_owned());
    cli::run(["config", "sign", &payload, "--output", &config, "--key", &key.to_string_lossy()])?;
    refused(setup, &["which is not trusted"])
}

fn altered() -> Result<()> {
    let setup = Setup::new("e2e-altered")?;
    let mut bytes = fs::read(setup.config()).context("reading the config")?;
    let last = bytes.iter().rposition(u8::is_ascii_alphabetic).context("finding a letter to alter")?;
    bytes[last] ^= 1;
    fs::write(setup.config(), bytes).context("writing the altered config")?;
    refused(setup, &["altered"])
}

fn other_role() -> Result<()> {
    let setup = Setup::new("e2e-other-role")?;
    let worker = setup.path("made/machines/w1.slipway");
    fs::copy(worker, setup.config()).context("offering the worker's config")?;
    refused(setup, &["is for role worker", "image is lb"])
}

fn other_hardware() -> Result<()> {
    let setup = Setup::new("e2e-other-hardware")?;
    setup.change("52:54:00:4d:00:10", "52:54:00:4d:00:99")?;
    refused(setup, &["MAC address 52:54:00:4d:00:99"])
}

fn expired() -> Result<()> {
    let setup = Setup::new("e2e-expired")?;
    date(&setup, "2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z")?;
    refused(setup, &["expired at 2020-01-02"])
}

fn not_yet_valid() -> Result<()> {
    let setup = Setup::new("e2e-not-yet-valid")?;
    date(&setup, "2100-01-01T00:00:00Z", "2101-01-01T00:00:00Z")?;
    refused(setup, &["not valid before 2100-01-01"])
}

/// Gives the config another validity.
fn date(setup: &Setup, issued: &str, expires: &str) -> Result<()> {
    let payload = setup.payload()?;
    let dated = payload.lines().map(|line| match line.split(' ').next() {
        Some("issued") => format!("issued = \"{issued}\"\n"),
        Some("expires") => format!("expires = \"{expires}\"\n"),
        _ => format!("{line}\n"),
    });
    setup.sign(&dated.collect::<String>())
}

fn unknown_field() -> Result<()> {
    let setup = Setup::new("e2e-unknown-field")?;
    setup.change("[header]", "[header]\ncolour = \"red\"")?;
    refused(setup, &["unknown field `colour`"])
}

fn newer_schema() -> Result<()> {
    let setup = Setup::new("e2e-newer-schema")?;
    setup.change("schema = 1", "schema = 2")?;
    refused(setup, &["schema 2 is too new"])
}

fn bound() -> Result<()> {
    let setup = Setup::new("e2e-bound")?;
    let config = setup.config();
    let offers = setup.path("offers");
    fs::create_dir_all(&offers).context("making a directory for offers")?;
    // Later offers first, each from the same payload; the accepted one has serial 5 and stays last.
    setup.change("serial = 1", "serial = 5")?;
    let accepted = fs::read(&config).context("reading the config")?;
    let offer = |name: &str, from: &str, to: &str| -> Result<std::path::PathBuf> {
        fs::write(&config, &accepted).context("restoring the config")?;
        setup.change(from, to)?;
        let path = offers.join(name);
        fs::copy(&config, &path).context("keeping an offer")?;
        Ok(path)
    };
    let lower = offer("lower", "serial = 5", "serial = 4")?;
    let cluster = offer("cluster", "cluster = \"demo\"", "cluster = \"other\"")?;
    let machine = offer("machine", "machine = \"lb1\"", "machine = \"lb2\"")?;
    fs::write(&config, &accepted).context("restoring the config")?;
    let alone = setup.switch_on(None)?;
    alone.says(&["machine: up"], 0)?;
    // The stored config stays good, so the machine comes up with it and says why not with the offer.
    for (n, (path, words)) in [
        (&lower, ["serial 4 is lower", "stored 5"]),
        (&cluster, ["is for cluster other", "belongs to demo"]),
        (&machine, ["is for machine lb2", "this machine is lb1"]),
    ]
    .into_iter()
    .enumerate()
    {
        alone.offer(path)?;
        let mut line = vec!["problem"];
        line.extend(words);
        alone.says(&line, 0)?;
        alone.says(&["machine: up"], n + 1)?;
    }
    Ok(())
}

fn flipped_byte() -> Result<()> {
    // The first block is read by every boot. Which others are is the kernel's business: of nine spread over
    // the image some are and must be refused; a machine that comes up has not read the flipped one.
    let mut refused = 0;
    let (tenths, at_least) = if cli::driver() == "qemu" { (0..2, 1) } else { (0..10, 3) };
    for tenth in tenths {
        let mut setup = Setup::new("e2e-flipped-byte")?;
        let slot = setup.own_images()?;
        let at = flip(&slot, tenth)?;
        let machine = setup.switch_on(None)?;
        let end =
            e2e::wait::until("the machine is up or has refused", std::time::Duration::from_secs(90), || {
                let console = machine.console()?;
                let refusal = console.lines().find(|line| line.contains("is corrupted")).map(str::to_owned);
                ensure!(refusal.is_some() || console.contains("machine: up"), "its console is:\n{console}");
                Ok(refusal)
            })?;
        if let Some(line) = end {
            refused += 1;
            let block = format!("block {} is corrupted", at / 4096);
            ensure!(
                line.contains("verity") && line.contains(&block),
                "the line does not say that {block}: {line:?}"
            );
            // It goes on by itself: the machine was switched off and on again, and says the same once more.
            machine.says(&["is corrupted"], 1)?;
        }
    }
    ensure!(refused >= at_least, "only {refused} of the flipped bytes were ever read, not {at_least}");
    Ok(())
}

/// Flips one bit, `tenth` tenths into the erofs part of a slot; gives its offset in bytes.
fn flip(slot: &Path, tenth: u64) -> Result<u64> {
    use std::io::{Read, Seek, SeekFrom, Write};
    let mut file = fs::OpenOptions::new().read(true).write(true).open(slot).context("opening the slot")?;
    // The hash tree behind the root is less than a twentieth of the file.
    let length = file.metadata().context("measuring the slot")?.len() * 19 / 20;
    let at = length / 10 * tenth;
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).context("seeking in the slot")?;
    file.read_exact(&mut byte).context("reading the slot")?;
    byte[0] ^= 1;
    file.seek(SeekFrom::Start(at)).context("seeking in the slot")?;
    file.write_all(&byte).context("writing the slot")?;
    Ok(at)
}

fn foreign_disk() -> Result<()> {
    let setup = Setup::new("e2e-foreign-disk")?;
    // Somebody's photographs: an MBR signature, a file system's magic, and data.
    let disk = setup.path("foreign.img");
    let mut bytes = vec![0_u8; 256 << 20];
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[1024 + 56..1024 + 58].copy_from_slice(&[0x53, 0xef]);
    for (n, byte) in bytes[1 << 20..2 << 20].iter_mut().enumerate() {
        *byte = u8::try_from(n % 251).unwrap_or_default();
    }
    fs::write(&disk, &bytes).context("writing the foreign disk")?;
    let machine = setup.switch_on(Some(&disk))?;
    machine.says(&["problem", "left alone"], 0)?;
    let console = machine.console()?;
    ensure!(!console.contains("service haproxy: starting"), "haproxy was started");
    let after = fs::read(&disk).context("reading the foreign disk")?;
    ensure!(after == bytes, "the foreign disk was written to");
    Ok(())
}
