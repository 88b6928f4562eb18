//! Overlays: what agents leave for PID 1 to read at each start of a service.
//!
//! What decodes is encoded and decoded again as it was, and nothing may stand behind it.

use machine_config::service::{Overlay, TableError};

pub(super) fn run(input: &[u8]) {
    let Ok(overlay) = Overlay::decode(input) else { return };
    let mut bytes = overlay.encode().unwrap();
    assert!(bytes.len() <= input.len(), "what was read is not what is there");
    assert_eq!(Overlay::decode(&bytes), Ok(overlay));
    bytes.push(0);
    assert_eq!(Overlay::decode(&bytes), Err(TableError::Rest(1)));
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let overlay = |arguments: &[&str], environment: &[&str]| Overlay {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        environment: environment.iter().map(ToString::to_string).collect(),
    };
    [
        overlay(&[], &[]),
        overlay(&["--name=etcd1", "--listen-client-urls=https://10.77.0.11:2379"], &[]),
        overlay(&["with\nline", ""], &["GOMAXPROCS=2", "A=", "B=ä"]),
    ]
    .iter()
    .map(|overlay| overlay.encode().unwrap())
    .collect()
}
