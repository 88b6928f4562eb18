//! What `slipway fetch` promises: resuming, refusing, sharing, and staying sound when killed.
//!
//! Each test runs the real command against a mirror on loopback that misbehaves on purpose
//! (`mirror`), with a lock that `fixture` wrote. Making a lock is `locking`'s. Text is compared
//! only where it is what the user needs next: names, digests, commands.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, SIZE, content, refused, size, succeeded};
use crate::mirror::Manner;

#[test]
fn what_the_store_has_is_not_asked_for_again() {
    let fixture = Fixture::with_a_locked_package();
    succeeded(fixture.run(&["fetch"]));
    assert!(fixture.store().has_blob(&fixture.package().sha256));
    // Without a mirror: nothing may need one.
    let output = fixture.slipway(&["fetch"]).env_remove("SLIPWAY_DEBIAN_MIRROR").output().unwrap();
    let text = succeeded(output);
    assert!(text.contains("from the store"), "{text}");
    assert_eq!(fixture.mirror.requests().len(), 1);
}

#[test]
fn a_wrong_digest_names_the_tool_set_both_digests_and_what_to_do() {
    let fixture = Fixture::with_a_locked_package();
    let mut wrong = content();
    wrong[SIZE / 2] ^= 1;
    fixture.mirror.put(&fixture.package().path, &wrong);
    let text = refused(fixture.run(&["fetch"]));
    let (expected, found) = (fixture.package().sha256, image_format::Digest::of(&wrong));
    for part in
        ["tool set cc", "gcc", &expected.to_string(), &found.to_string(), "--debian-mirror", "slipway lock"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert!(!fixture.store().has_blob(&expected) && !fixture.store().has_blob(&found));
    // The store is sound: the right bytes are taken afterwards.
    fixture.mirror.put(&fixture.package().path, &content());
    succeeded(fixture.run(&["fetch"]));
}

#[test]
fn a_file_of_another_length_is_a_wrong_digest_and_not_a_broken_transfer() {
    let fixture = Fixture::with_a_locked_package();
    for wrong in [&content()[..SIZE - 1], &[content(), content()].concat()] {
        fixture.mirror.put(&fixture.package().path, wrong);
        let text = refused(fixture.run(&["fetch"]));
        assert!(text.contains("is expected"), "{text}");
    }
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let fixture = Fixture::with_a_locked_package();
    fixture.mirror.misbehave([Manner::BreakOff(SIZE / 4), Manner::BreakOff(SIZE / 4)]);
    succeeded(fixture.run(&["fetch"]));
    let ranges: Vec<_> = fixture.mirror.requests().into_iter().map(|request| request.range).collect();
    let range = |from: usize| Some(format!("bytes={from}-"));
    assert_eq!(ranges, [None, range(SIZE / 4), range(SIZE / 2)]);
    assert!(
        fixture.mirror.requests()[1].if_range.is_some(),
        "a changed file must not be glued to the old one"
    );
}

#[test]
fn a_server_that_gives_nothing_more_is_given_up_and_what_came_is_kept() {
    let fixture = Fixture::with_a_locked_package();
    fixture.mirror.misbehave([
        Manner::BreakOff(SIZE / 2),
        Manner::BreakOff(0),
        Manner::BreakOff(0),
        Manner::Status(503),
    ]);
    let text = refused(fixture.run(&["fetch"]));
    let progress = format!("{} of {SIZE} bytes", SIZE / 2);
    assert!(text.contains(&progress) && text.contains("slipway fetch"), "{text}");
    succeeded(fixture.run(&["fetch"]));
    let last = fixture.mirror.requests().pop().unwrap();
    assert_eq!(last.range, Some(format!("bytes={}-", SIZE / 2)));
}

#[test]
fn a_fetch_killed_in_the_middle_leaves_a_sound_store_and_is_resumed() {
    let fixture = Fixture::with_a_locked_package();
    let package = fixture.package();
    fixture.mirror.misbehave([Manner::Stall(SIZE / 2)]);
    let mut child = fixture.slipway(&["fetch"]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let half = u64::try_from(SIZE / 2).unwrap();
    let patience = Instant::now() + Duration::from_secs(60);
    while size(&fixture.partial(&package.sha256)) < half {
        assert!(Instant::now() < patience, "half of it never came");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!fixture.store().has_blob(&package.sha256));
    succeeded(fixture.run(&["fetch"]));
    assert_eq!(fixture.mirror.requests()[1].range, Some(format!("bytes={half}-")));
    assert_eq!(std::fs::read(fixture.store().blob_path(&package.sha256)).unwrap(), content());
    assert_eq!(std::fs::read_dir(fixture.store_path().join("partial")).unwrap().count(), 0);
}

#[test]
fn a_file_that_changed_on_the_server_is_not_glued_to_its_old_beginning() {
    let fixture = Fixture::with_a_locked_package();
    let other: Vec<u8> = content().into_iter().rev().collect();
    fixture.mirror.put(&fixture.package().path, &other);
    fixture.mirror.misbehave([
        Manner::BreakOff(SIZE / 2),
        Manner::Status(500),
        Manner::Status(500),
        Manner::Status(500),
    ]);
    refused(fixture.run(&["fetch"]));
    fixture.mirror.put(&fixture.package().path, &content());
    succeeded(fixture.run(&["fetch"]));
}

#[test]
fn a_rotten_beginning_is_thrown_away_and_fetched_anew() {
    let fixture = Fixture::with_a_locked_package();
    let partial = fixture.partial(&fixture.package().sha256);
    std::fs::create_dir_all(partial.parent().unwrap()).unwrap();
    std::fs::write(&partial, vec![0; SIZE / 2]).unwrap();
    succeeded(fixture.run(&["fetch"]));
    assert_eq!(fixture.mirror.requests().len(), 2);
}

#[test]
fn of_two_fetches_at_once_one_downloads_and_the_other_finds_it() {
    let fixture = Fixture::with_a_locked_package();
    fixture.mirror.misbehave([Manner::After(Duration::from_secs(1))]);
    let spawn = || fixture.slipway(&["fetch"]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let (one, two) = (spawn(), spawn());
    succeeded(one.wait_with_output().unwrap());
    succeeded(two.wait_with_output().unwrap());
    assert_eq!(fixture.mirror.requests().len(), 1);
}

#[test]
fn a_vanished_version_names_the_package_the_lock_s_version_and_the_next_command() {
    let fixture = Fixture::with_a_locked_package();
    fixture.mirror.remove(&fixture.package().path);
    let text = refused(fixture.run(&["fetch"]));
    for part in ["tool set cc: gcc", "4:14.2.0-1", "404", "run `slipway lock`"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_damaged_file_is_named_moved_aside_and_fetched_again() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::with_a_locked_package();
    succeeded(fixture.run(&["fetch"]));
    let blob = fixture.store().blob_path(&fixture.package().sha256);
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut rotten = content();
    rotten[7] ^= 1;
    std::fs::write(&blob, &rotten).unwrap();
    let text = succeeded(fixture.run(&["fetch", "--verify"]));
    assert!(text.contains("damaged: tool set cc: gcc"), "{text}");
    assert_eq!(std::fs::read(&blob).unwrap(), content());
    let aside = fixture.store_path().join("damaged").join(fixture.package().sha256.to_string());
    assert_eq!(std::fs::read(aside).unwrap(), rotten);
}

#[test]
fn a_lock_older_than_a_profile_is_named_and_so_is_the_next_command() {
    let fixture = Fixture::with_a_locked_package();
    fixture.write("profiles/tools/cc.toml", "description = 'tools'\npackages = ['gcc', 'make']\n");
    let text = refused(fixture.run(&["fetch"]));
    assert!(text.contains("the lock is older than tool set cc: run `slipway lock`"), "{text}");
}

#[test]
fn a_full_disk_says_so_and_the_store_stays_sound() {
    let fixture = Fixture::with_a_locked_package();
    // A file system of half the package's size, in namespaces of the test's own.
    let script = "mount -t tmpfs -o size=512k tmpfs \"$SLIPWAY_STORE\" || exit 77; \
                  \"$0\" fetch; code=$?; ls \"$SLIPWAY_STORE\"/blobs/sha256 | wc -l; exit $code";
    let inner = fixture.slipway(&[]);
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(inner.get_program())
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) && !is_refusal(&output.stderr) => output,
        other => {
            let _ =
                writeln!(std::io::stdout(), "\nSKIPPED: an ordinary user may mount nothing here: {other:?}");
            return;
        }
    };
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let text = refused(output);
    assert!(text.contains("the disk that holds the store is full") && text.contains("--store"), "{text}");
    assert_eq!(listing.trim(), "0");
}

fn is_refusal(stderr: &[u8]) -> bool {
    String::from_utf8_lossy(stderr).contains("unshare:")
}

#[test]
fn json_progress_is_one_object_per_line_with_a_result_at_the_end() {
    let fixture = Fixture::with_a_locked_package();
    let output = fixture.run(&["fetch", "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let objects: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = objects.last().unwrap();
    assert_eq!((last["event"].as_str(), last["fetched"].as_u64()), (Some("result"), Some(1)));
    assert!(objects.iter().any(|object| object["event"] == "finished" && object["name"] == "gcc"));
}
