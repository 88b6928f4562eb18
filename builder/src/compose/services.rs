//! A role's services: gathered from profiles, laid out, checked against the image.
//!
//! That they fit together, and that every program exists, is seen at build time and not on a
//! booting machine. Specs and layout are `machine_config::service`'s; PID 1 reads the table.

use image_format::manifest::{ImagePath, Kind, Manifest};
use machine_config::service::{LayoutError, ServiceSpec, Table, layout};

use crate::profile::{Profiles, Role};

/// What is wrong with a role's services.
#[derive(Debug, thiserror::Error)]
pub enum ServicesError {
    /// They do not fit together.
    #[error("the services of role {role}: {source}")]
    Layout {
        /// Which role.
        role: String,
        /// The edge, or the cycle.
        source: LayoutError,
    },
    /// A name without a file.
    #[error("role {role} has the service {service}, which is not in profiles/services")]
    Unknown {
        /// Which role.
        role: String,
        /// Which service.
        service: String,
    },
    /// Rights without a reason.
    #[error(
        "service {service} must say either which user it runs as, or why it cannot have one (root-because)"
    )]
    Rights {
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

/// The role's services, laid out.
///
/// # Errors
/// [`ServicesError`] names the role and the edge.
pub(super) fn gather(role: &Role, profiles: &Profiles) -> Result<Table, ServicesError> {
    let specs: Vec<ServiceSpec> = role
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
    if let Some(spec) = specs.iter().find(|spec| spec.user.is_some() == spec.root_because.is_some()) {
        return Err(ServicesError::Rights { service: spec.name.to_string() });
    }
    layout(&specs).map_err(|source| ServicesError::Layout { role: role.name.clone(), source })
}

/// Every program that a service starts is in the image.
///
/// # Errors
/// [`ServicesError::Program`].
pub(super) fn check_programs(services: &Table, manifest: &Manifest) -> Result<(), ServicesError> {
    for unit in &services.units {
        let around = unit.before_start.iter().chain(&unit.after_stop).filter_map(|command| command.first());
        for program in unit.exec.first().into_iter().chain(around) {
            let path: Option<ImagePath> = program.parse().ok();
            let found = path.and_then(|path| manifest.resolve(&path));
            if !found
                .is_some_and(|(_, node)| matches!(node.kind, Kind::File { .. }) && node.mode & 0o111 != 0)
            {
                let (service, program) = (unit.name.to_string(), program.clone());
                return Err(ServicesError::Program { service, program });
            }
        }
    }
    Ok(())
}
