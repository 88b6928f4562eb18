//! A role's services: gathered from profiles, ordered once, checked against the image.
//!
//! That there is an order, and that every program exists, is seen at build time and not on a
//! booting machine. The spec and the graph are `machine_config::service`'s, the same code that
//! PID 1 uses; starting services is PID 1's alone.

use image_format::manifest::{ImagePath, Kind, Manifest};
use machine_config::service::{GraphError, Readiness, ServiceSpec, order};

use crate::profile::{Profiles, Role};

/// What is wrong with a role's services.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// There is no order for them.
    #[error("the services of role {role}: {source}")]
    Graph {
        /// Which role.
        role: String,
        /// The edge, or the cycle.
        source: GraphError,
    },
    /// A name without a file.
    #[error("role {role} has the service {service}, which is not in profiles/services")]
    Unknown {
        /// Which role.
        role: String,
        /// Which service.
        service: String,
    },
    /// A program that no component brings.
    #[error("service {service} runs {program}, and no component of the role brings such a program")]
    Program {
        /// Which service.
        service: String,
        /// What it runs.
        program: String,
    },
}

/// The role's services, in an order in which each comes after what it needs.
///
/// # Errors
/// [`ServicesError`] names the role and the edge.
pub(super) fn gather(role: &Role, profiles: &Profiles) -> Result<Vec<ServiceSpec>, ServicesError> {
    let specs = role
        .services
        .iter()
        .map(|name| {
            profiles
                .services
                .get(name)
                .cloned()
                .ok_or_else(|| ServicesError::Unknown { role: role.name.clone(), service: name.clone() })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let order = order(&specs).map_err(|source| ServicesError::Graph { role: role.name.clone(), source })?;
    let place = |spec: &ServiceSpec| order.iter().position(|name| *name == spec.name);
    let mut specs = specs;
    specs.sort_by_key(place);
    Ok(specs)
}

/// Every program that a service starts is in the image.
///
/// # Errors
/// [`ServicesError::Program`].
pub(super) fn check_programs(services: &[ServiceSpec], manifest: &Manifest) -> Result<(), ServicesError> {
    for spec in services {
        let probe = match &spec.ready {
            Readiness::Probe { command } => command.first(),
            Readiness::Exit {} | Readiness::Notify {} => None,
        };
        for program in spec.exec.first().into_iter().chain(probe) {
            let path: Option<ImagePath> = program.parse().ok();
            let found = path.and_then(|path| manifest.resolve(&path));
            if !found
                .is_some_and(|(_, node)| matches!(node.kind, Kind::File { .. }) && node.mode & 0o111 != 0)
            {
                let (service, program) = (spec.name.to_string(), program.clone());
                return Err(ServicesError::Program { service, program });
            }
        }
    }
    Ok(())
}
