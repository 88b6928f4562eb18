//! The node API: its leaf and whom it lets in, straight from the config.
//!
//! Nothing is minted here, because no machine has the authority's key. The leaf's key is for apid,
//! the one service of the group that reads it.

use std::path::Path;

use machine_config::machine::Api;
use machine_config::service::Group;

use super::Rendered;
use crate::agent::paths;

pub(super) fn render(api: &Api, out: &mut Rendered) {
    let directory = Path::new(paths::API);
    out.text(directory.join("ca.crt"), api.ca.as_pem());
    out.text(directory.join("tls.crt"), api.certificate.as_pem());
    out.secret(Group::ApiKeys, directory.join("tls.key"), api.key.as_pem());
}
