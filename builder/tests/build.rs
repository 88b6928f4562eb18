//! Builds of a made-up repository: what comes from the store, what is built again, and why.
//!
//! Components of kind [files] need no tools, so these tests need no store that was filled before.
//! Builds with compilers are tested by building the roles themselves.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, too")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use slipway::build::{Built, Options, Workshop};
use slipway::lock::Lock;
use slipway::profile::{ComponentName, Profiles};
use slipway::progress::Progress;
use slipway::store::Store;

struct Repository {
    dir: tempfile::TempDir,
}

const FILES: &str = "description = 'd'\nlicense = 'MIT'\n[[files.text]]\npath = '/etc/greeting'\ntext = 'hello'\n\
                     [[files.file]]\npath = '/etc/motd'\nsource = 'motd'\n";

impl Repository {
    fn new() -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap() };
        repository.write("profiles/components/greeting/component.toml", FILES);
        repository.write("profiles/components/greeting/motd", "one");
        repository
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn workshop(&self) -> Arc<Workshop> {
        let profiles = Profiles::load(self.dir.path()).unwrap();
        let lock = "schema = 1\npackage = []\n[suites]\n[tools]\n[components]\n";
        let lock = Lock::parse(Path::new("slipway.lock"), lock).unwrap();
        let store = Store::open(&self.store()).unwrap();
        let options = Options { cold: false, offline: true, cargo_home: self.dir.path().to_owned() };
        Arc::new(Workshop::new(profiles, lock, store, Progress::silent(), options))
    }

    fn build(&self) -> Built {
        let name: ComponentName = "greeting".parse().unwrap();
        self.workshop().build(&BTreeSet::from([name.clone()])).unwrap().remove(&name).unwrap()
    }

    fn missing(&self) -> usize {
        self.workshop().missing(&BTreeSet::from(["greeting".parse().unwrap()])).unwrap().len()
    }
}

#[test]
fn what_did_not_change_comes_from_the_store() {
    let repository = Repository::new();
    assert_eq!(repository.missing(), 1);
    let first = repository.build();
    assert_eq!(repository.missing(), 0);
    let again = repository.build();
    assert_eq!(first.key, again.key);
    let inode = |built: &Built| fs::metadata(built.directory.join("manifest.json")).unwrap().ino();
    assert_eq!(inode(&first), inode(&again), "it was not made again");
    assert_eq!(fs::read_to_string(first.file(&"/etc/motd".parse().unwrap())).unwrap(), "one");
}

#[test]
fn a_changed_file_gives_another_result_and_the_old_one_stays() {
    let repository = Repository::new();
    let first = repository.build();
    repository.write("profiles/components/greeting/motd", "two");
    let second = repository.build();
    assert_ne!(first.key, second.key);
    assert_eq!(fs::read_to_string(second.file(&"/etc/motd".parse().unwrap())).unwrap(), "two");
    repository.write("profiles/components/greeting/motd", "one");
    assert_eq!(repository.build().key, first.key, "back to what is in the store");
}

#[test]
fn words_about_a_component_are_no_input() {
    let repository = Repository::new();
    let key = repository.build().key;
    let text = format!("# a comment\n{}", FILES.replace("'d'", "'another description'"));
    repository.write("profiles/components/greeting/component.toml", &text);
    assert_eq!(repository.build().key, key);
}

#[test]
fn a_build_that_fails_leaves_nothing_and_names_the_component() {
    let repository = Repository::new();
    fs::remove_file(repository.dir.path().join("profiles/components/greeting/motd")).unwrap();
    let name: ComponentName = "greeting".parse().unwrap();
    let error = repository.workshop().build(&BTreeSet::from([name])).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("component greeting") && text.contains("motd"), "{text}");
    assert_eq!(fs::read_dir(repository.store().join("built")).unwrap().count(), 0);
}

#[test]
fn what_a_killed_build_left_is_removed_and_what_a_running_one_uses_is_not() {
    let repository = Repository::new();
    let store = Store::open(&repository.store()).unwrap();
    let work = |key: &str| repository.store().join("tmp").join(format!("work-{key}-x1"));
    fs::create_dir(work("dead")).unwrap();
    fs::create_dir(work("alive")).unwrap();
    drop(store.lock_exclusively("built-dead", || ()).unwrap());
    let _held = store.lock_exclusively("built-alive", || ()).unwrap();
    repository.build();
    let deadline = Instant::now() + Duration::from_secs(30);
    while work("dead").exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!work("dead").exists());
    assert!(work("alive").exists());
}

#[test]
fn a_component_that_does_not_exist_is_said_so() {
    let repository = Repository::new();
    let error = repository.workshop().build(&BTreeSet::from(["nothing".parse().unwrap()])).unwrap_err();
    assert_eq!(format!("{error:#}"), "there is no component nothing in profiles/components");
}
