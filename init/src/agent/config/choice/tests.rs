//! What is refused, in which words, and which of several configs counts.
//!
//! Keys are made anew for each test; signatures are real ones.

use jiff::SignedDuration;
use machine_config::admission::Refusal;
use trust::signing::{SigningKey, new_keys};

use super::*;
use crate::agent::fixture::{config, made};

struct Signer {
    key: SigningKey,
    public: PublicKey,
}

fn signer() -> Signer {
    let keys = new_keys(None).unwrap();
    Signer {
        key: SigningKey::open(&keys.secret, || None).unwrap(),
        public: PublicKey::parse(&keys.public).unwrap(),
    }
}

impl Signer {
    fn seal(&self, config: &MachineConfig) -> Vec<u8> {
        self.seal_text(&toml::to_string(config).unwrap())
    }

    fn seal_text(&self, text: &str) -> Vec<u8> {
        self.key.seal(text.as_bytes(), "test").unwrap()
    }
}

fn disk(bytes: Vec<u8>) -> Candidate {
    Candidate { source: Source::Disk("/dev/vdc".to_owned()), bytes: Ok(bytes) }
}

fn stored(bytes: Vec<u8>) -> Candidate {
    Candidate { source: Source::Stored, bytes: Ok(bytes) }
}

fn worker() -> Standing {
    Standing {
        role: Role::Worker,
        macs: vec!["52:54:00:4d:00:21".to_owned()],
        bound_to: None,
        clock: made() + SignedDuration::from_hours(1),
        built: made() - SignedDuration::from_hours(24),
    }
}

fn bound(serial: u64) -> Option<Binding> {
    Some(Binding { cluster: "demo".parse().unwrap(), machine: "w1".parse().unwrap(), serial })
}

fn with_serial(serial: u64) -> MachineConfig {
    let mut config = config(Role::Worker);
    config.header.serial = serial;
    config
}

/// The reason why the only candidate is refused.
fn refusal(bytes: Vec<u8>, trusted: &[PublicKey], standing: &Standing) -> Refused {
    let mut choice = choose(vec![disk(bytes)], trusted, standing);
    assert_eq!(choice.accepted, None);
    assert!(complaint(&choice).unwrap().starts_with("the config on /dev/vdc is refused: "));
    choice.refused.pop().unwrap().1
}

#[test]
fn a_config_for_this_machine_is_accepted() {
    let s = signer();
    let choice = choose(vec![disk(s.seal(&with_serial(1)))], &[s.public], &worker());
    assert_eq!(complaint(&choice), None);
    assert_eq!(choice.accepted.unwrap().config.header, with_serial(1).header);
}

#[test]
fn what_is_unsigned_altered_or_signed_by_a_stranger_is_refused_before_it_is_parsed() {
    let (s, stranger) = (signer(), signer());
    let trusted = [s.public.clone()];
    let bare = toml::to_string(&with_serial(1)).unwrap().into_bytes();
    assert!(matches!(refusal(bare, &trusted, &worker()), Refused::Envelope(EnvelopeError::Unsigned)));
    let foreign = stranger.seal(&with_serial(1));
    assert!(matches!(
        refusal(foreign, &trusted, &worker()),
        Refused::Envelope(EnvelopeError::UnknownKey { .. })
    ));
    let mut altered = s.seal_text("this = is no config");
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(refusal(altered, &trusted, &worker()), Refused::Envelope(EnvelopeError::Altered(_))));
}

#[test]
fn an_unknown_field_and_a_newer_schema_are_refused_on_one_line() {
    let s = signer();
    let trusted = [s.public.clone()];
    let text = toml::to_string(&with_serial(1)).unwrap();
    let unknown = refusal(s.seal_text(&format!("colour = \"red\"\n{text}")), &trusted, &worker());
    assert!(unknown.to_string().contains("unknown field `colour`"), "{unknown}");
    assert!(!unknown.to_string().contains('\n'));
    let newer = text.replacen("schema = 1", "schema = 2", 1);
    let newer = refusal(s.seal_text(&newer), &trusted, &worker());
    assert!(newer.to_string().starts_with("schema 2 is too new"), "{newer}");
}

#[test]
fn a_config_for_another_role_cluster_machine_or_nic_is_refused() {
    let s = signer();
    let trusted = [s.public.clone()];
    let of_lb = refusal(s.seal(&config(Role::Lb)), &trusted, &worker());
    assert!(matches!(of_lb, Refused::Admission(Refusal::OtherRole { .. })));

    let standing = Standing { bound_to: bound(1), ..worker() };
    let mut other = with_serial(1);
    other.header.cluster = "prod".parse().unwrap();
    let reason = refusal(s.seal(&other), &trusted, &standing);
    assert!(matches!(reason, Refused::Admission(Refusal::OtherCluster { .. })));
    let mut other = with_serial(1);
    other.header.machine = "w2".parse().unwrap();
    let reason = refusal(s.seal(&other), &trusted, &standing);
    assert!(matches!(reason, Refused::Admission(Refusal::OtherMachine { .. })));
    let mut other = with_serial(1);
    other.header.mac = Some("52:54:00:4d:00:22".to_owned());
    let reason = refusal(s.seal(&other), &trusted, &worker());
    assert!(matches!(reason, Refused::Admission(Refusal::OtherHardware { .. })));
}

#[test]
fn a_config_that_has_expired_or_is_not_valid_yet_is_refused() {
    let s = signer();
    let trusted = [s.public.clone()];
    let mut expired = with_serial(1);
    expired.header.expires = made() + SignedDuration::from_mins(1);
    let reason = refusal(s.seal(&expired), &trusted, &worker());
    assert!(matches!(reason, Refused::Admission(Refusal::Expired { .. })));
    let mut early = with_serial(1);
    early.header.issued = made() + SignedDuration::from_hours(2);
    let reason = refusal(s.seal(&early), &trusted, &worker());
    assert!(matches!(reason, Refused::Admission(Refusal::NotYetValid { .. })));
}

#[test]
fn a_clock_from_before_the_image_does_not_keep_a_fresh_config_out() {
    let s = signer();
    let trusted = [s.public.clone()];
    let standing = Standing { clock: Timestamp::UNIX_EPOCH, ..worker() };
    let choice = choose(vec![disk(s.seal(&with_serial(1)))], &trusted, &standing);
    assert!(choice.accepted.is_some());
    // An image newer than the config's last day proves that the day is over.
    let standing = Standing { built: made() + SignedDuration::from_hours(24 * 400), ..standing };
    let reason = refusal(s.seal(&with_serial(1)), &trusted, &standing);
    assert!(matches!(reason, Refused::Admission(Refusal::Expired { .. })));
}

#[test]
fn the_highest_valid_serial_counts_wherever_it_is() {
    let s = signer();
    let trusted = [s.public.clone()];
    let standing = Standing { bound_to: bound(3), ..worker() };
    let (three, four) = (s.seal(&with_serial(3)), s.seal(&with_serial(4)));

    let choice = choose(vec![disk(four.clone()), stored(three.clone())], &trusted, &standing);
    assert_eq!(choice.accepted.unwrap().source, Source::Disk("/dev/vdc".to_owned()));

    let standing = Standing { bound_to: bound(4), ..worker() };
    let choice = choose(vec![disk(three), stored(four)], &trusted, &standing);
    assert!(matches!(choice.refused[0].1, Refused::Admission(Refusal::Superseded { offered: 3, stored: 4 })));
    assert_eq!(choice.accepted.unwrap().source, Source::Stored);
}

#[test]
fn a_refused_newer_config_leaves_the_stored_one_in_force() {
    let s = signer();
    let standing = Standing { bound_to: bound(3), ..worker() };
    let mut newer = with_serial(4);
    newer.header.expires = made();
    let choice = choose(vec![disk(s.seal(&newer)), stored(s.seal(&with_serial(3)))], &[s.public], &standing);
    assert!(complaint(&choice).unwrap().contains("expired at"));
    assert_eq!(choice.accepted.unwrap().source, Source::Stored);
}

#[test]
fn two_different_configs_of_one_serial_are_not_mixed_up() {
    let s = signer();
    let standing = Standing { bound_to: bound(3), ..worker() };
    let same = s.seal(&with_serial(3));
    let mut other = with_serial(3);
    other.cluster.domain = "other.local".to_owned();
    let choice =
        choose(vec![disk(s.seal(&other)), stored(same.clone())], std::slice::from_ref(&s.public), &standing);
    assert!(matches!(choice.refused[0].1, Refused::SerialTaken(3)));
    assert_eq!(choice.accepted.unwrap().source, Source::Stored);

    let choice = choose(vec![disk(same.clone()), stored(same)], &[s.public], &standing);
    assert_eq!(complaint(&choice), None, "the same config twice is nothing to complain about");
}

#[test]
fn without_any_candidate_the_machine_says_what_it_waits_for() {
    let choice = choose(vec![], &[], &worker());
    assert!(
        complaint(&choice)
            .unwrap()
            .starts_with("waiting for a config: no disk with the ext4 label slipway-config")
    );
}

#[test]
fn a_disk_that_cannot_be_read_is_a_reason_too() {
    let candidate =
        Candidate { source: Source::Disk("/dev/vdc".to_owned()), bytes: Err("file not found".to_owned()) };
    let choice = choose(vec![candidate], &[], &worker());
    assert_eq!(
        complaint(&choice).unwrap(),
        "the config on /dev/vdc is refused: file not found; waiting for another config"
    );
}
