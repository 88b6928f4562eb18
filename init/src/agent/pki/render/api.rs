//! The node API: its leaf and whom it lets in, straight from the config.
//!
//! Nothing is minted here, because no machine has the authority's key. Only apid reads the key, and it does not run as
//! root, so the file is its own.

use std::path::Path;

use machine_config::machine::Api;

use super::{File, Rendered};
use crate::agent::paths;
use crate::control;

pub(super) fn render(api: &Api, out: &mut Rendered) {
    let directory = Path::new(paths::API);
    out.text(directory.join("ca.crt"), api.ca.as_pem());
    out.text(directory.join("tls.crt"), api.certificate.as_pem());
    out.files.push(File {
        path: directory.join("tls.key"),
        mode: 0o400,
        owner: Some(control::API_USER),
        bytes: api.key.as_pem().as_bytes().to_vec(),
    });
}
