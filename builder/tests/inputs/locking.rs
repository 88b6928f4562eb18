//! What `slipway lock` promises: only what the archive's key vouches for gets into a lock.
//!
//! A small archive is made and signed here with a new key for each test, and then falsified in
//! one place; the real keys of Debian are only read by `slipway lock` itself. Downloading what
//! was locked is `fetching`'s.

use std::io::Write;

use image_format::Digest;
use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, KeyType, SecretKeyParamsBuilder, SignedPublicKey, SignedSecretKey,
};
use pgp::types::Password;
use slipway::lock::Lock;

use crate::fixture::{Fixture, refused, succeeded};

const PACKAGES: &str = "\
Package: gcc
Version: 4:14.2.0-1
Architecture: amd64
Depends: libc6 (>= 2.38), cpp | c-preprocessor
Recommends: libc6-dev
Filename: pool/main/g/gcc.deb
Size: 5
SHA256: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef

Package: libc6
Version: 2.41-12
Architecture: amd64
Filename: pool/main/g/libc6.deb
Size: 6
SHA256: 6f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef

Package: clang
Version: 19
Architecture: amd64
Provides: c-preprocessor
Filename: pool/main/c/clang.deb
Size: 7
SHA256: 7f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
";

struct Archive {
    fixture: Fixture,
    key: SignedSecretKey,
}

impl Archive {
    /// A repository that asks for gcc, and a mirror with a suite signed by a key that it trusts.
    fn signed() -> Self {
        let fixture = Fixture::empty();
        fixture.write("profiles/tools/cc.toml", "description = 'tools'\npackages = ['gcc']\n");
        let key = new_key();
        let public = SignedPublicKey::from(key.clone()).to_armored_string(ArmorOptions::default()).unwrap();
        fixture.write("profiles/keys/archive.asc", &public);
        let archive = Self { fixture, key };
        let packages = compressed(PACKAGES);
        archive.publish(&release("trixie", &packages, ""), &packages);
        archive
    }

    fn publish(&self, release: &str, packages: &[u8]) {
        let signed = sign(release, &self.key);
        self.fixture.mirror.put("dists/trixie/InRelease", signed.as_bytes());
        self.put_packages(release, packages);
    }

    /// The list of packages, under the digest that the release gives.
    fn put_packages(&self, release: &str, packages: &[u8]) {
        let line = release.lines().find(|line| line.ends_with("Packages.xz")).unwrap();
        let digest = line.split_whitespace().next().unwrap();
        let path = format!("dists/trixie/main/binary-amd64/by-hash/SHA256/{digest}");
        self.fixture.mirror.put(&path, packages);
    }
}

fn new_key() -> SignedSecretKey {
    SecretKeyParamsBuilder::default()
        .key_type(KeyType::Ed25519Legacy)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id("archive <archive@test>".to_owned())
        .build()
        .unwrap()
        .generate(rand::thread_rng())
        .unwrap()
}

fn sign(text: &str, key: &SignedSecretKey) -> String {
    CleartextSignedMessage::sign(rand::thread_rng(), text, &key.primary_key, &Password::empty())
        .unwrap()
        .to_armored_string(ArmorOptions::default())
        .unwrap()
}

fn compressed(text: &str) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn release(codename: &str, packages: &[u8], more: &str) -> String {
    let (digest, size) = (Digest::of(packages), packages.len());
    format!(
        "Origin: Debian\nCodename: {codename}\nDate: Sat, 12 Sep 2026 07:55:41 UTC\n{more}SHA256:\n \
         {digest} {size} main/binary-amd64/Packages.xz\n"
    )
}

#[test]
fn a_lock_holds_the_closure_by_digest_and_names_no_host() {
    let archive = Archive::signed();
    succeeded(archive.fixture.run(&["lock"]));
    let path = archive.fixture.lock_path();
    let text = std::fs::read_to_string(&path).unwrap();
    let names: Vec<String> =
        Lock::load(&path).unwrap().packages().iter().map(|package| package.name.clone()).collect();
    assert_eq!(names, ["clang", "gcc", "libc6"]);
    assert!(!text.contains("127.0.0.1") && !text.contains("http"), "{text}");
    // Nothing has changed: neither does the lock.
    succeeded(archive.fixture.run(&["lock"]));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_release_that_was_altered_is_refused() {
    let archive = Archive::signed();
    let packages = compressed(PACKAGES);
    let signed = sign(&release("trixie", &packages, ""), &archive.key);
    let altered = signed.replace("Origin: Debian", "Origin: Debiam");
    archive.fixture.mirror.put("dists/trixie/InRelease", altered.as_bytes());
    let text = refused(archive.fixture.run(&["lock"]));
    assert!(text.contains("no good signature"), "{text}");
    assert!(!archive.fixture.lock_path().exists());
}

#[test]
fn a_release_signed_by_a_stranger_is_refused() {
    let archive = Archive::signed();
    let packages = compressed(PACKAGES);
    let signed = sign(&release("trixie", &packages, ""), &new_key());
    archive.fixture.mirror.put("dists/trixie/InRelease", signed.as_bytes());
    let text = refused(archive.fixture.run(&["lock"]));
    assert!(text.contains("no good signature"), "{text}");
}

#[test]
fn words_around_the_signed_text_are_not_believed() {
    let archive = Archive::signed();
    let packages = compressed(PACKAGES);
    let signed = sign(&release("trixie", &packages, ""), &archive.key);
    for wrapped in [format!("Codename: trixie\n\n{signed}"), format!("{signed}\nCodename: forky\n")] {
        archive.fixture.mirror.put("dists/trixie/InRelease", wrapped.as_bytes());
        refused(archive.fixture.run(&["lock"]));
    }
}

#[test]
fn a_list_of_packages_that_the_release_does_not_vouch_for_is_refused() {
    let archive = Archive::signed();
    let release = release("trixie", &compressed(PACKAGES), "");
    archive.put_packages(&release, &compressed(&PACKAGES.replace("2.41-12", "2.41-13")));
    let text = refused(archive.fixture.run(&["lock"]));
    assert!(text.contains("trixie's list of packages: sha256"), "{text}");
}

#[test]
fn a_release_past_its_end_is_refused() {
    let archive = Archive::signed();
    let packages = compressed(PACKAGES);
    let until = "Valid-Until: Sat, 12 Sep 2020 07:55:41 UTC\n";
    archive.publish(&release("trixie", &packages, until), &packages);
    let text = refused(archive.fixture.run(&["lock"]));
    assert!(text.contains("valid until"), "{text}");
}

#[test]
fn a_suite_that_is_served_under_another_s_name_is_refused() {
    let archive = Archive::signed();
    let packages = compressed(PACKAGES);
    archive.publish(&release("bookworm", &packages, ""), &packages);
    let text = refused(archive.fixture.run(&["lock"]));
    assert!(text.contains("bookworm"), "{text}");
}

#[test]
fn a_need_that_the_suite_cannot_meet_names_the_tool_set_and_the_package() {
    let archive = Archive::signed();
    let packages = compressed(&PACKAGES.replace(">= 2.38", ">= 3"));
    archive.publish(&release("trixie", &packages, ""), &packages);
    let text = refused(archive.fixture.run(&["lock"]));
    assert!(text.contains("tool set cc") && text.contains("libc6 (>= 3)"), "{text}");
}
