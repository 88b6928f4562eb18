//! What the image wants supervised: /usr/share/slipway/services, read once.
//!
//! The builder has checked the set; it is checked again because a wrong one would mean
//! waiting for ever. A file that cannot be read is left out and told, so that one bad spec
//! does not take the machine's other services with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use machine_config::service::{self, ServiceSpec};

/// The services of an image, and what is wrong with its files.
#[derive(Debug, Default)]
pub struct ImageServices {
    /// Those that can be supervised.
    pub specs: Vec<ServiceSpec>,
    /// What is wrong with the others.
    pub problems: Vec<String>,
}

/// Reads every service in `directory`.
#[must_use]
pub fn load(directory: &Path) -> ImageServices {
    let mut found = ImageServices::default();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            found.problems.push(format!("listing {}: {error}", directory.display()));
            return found;
        }
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "toml")) {
        let text = fs::read_to_string(path).map_err(|error| error.to_string());
        match text.and_then(|text| toml::from_str(&text).map_err(|error| error.to_string())) {
            Ok(spec) => found.specs.push(spec),
            Err(error) => found.problems.push(format!("reading {}: {}", path.display(), error.trim_end())),
        }
    }
    drop_unusable(&mut found);
    found
}

/// Leaves out services that can never start, until the rest is sound.
fn drop_unusable(found: &mut ImageServices) {
    while let Err(error) = service::order(&found.specs) {
        let bad: BTreeSet<_> = match &error {
            service::GraphError::Unknown { service, .. }
            | service::GraphError::NeedsLate { service, .. }
            | service::GraphError::LateMilestone(service)
            | service::GraphError::Duplicate(service)
            | service::GraphError::NoProgram(service) => [service.clone()].into(),
            service::GraphError::Cycle(names) => names.iter().cloned().collect(),
        };
        found.problems.push(format!("{error}; left out"));
        found.specs.retain(|spec| !bad.contains(&spec.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, needs: &str) {
        let text = format!(
            "name = {name:?}\ndescription = \"x\"\nexec = [\"/bin/x\"]\nneeds = [{needs}]\nready = {{ by = \"exit\" }}"
        );
        fs::write(directory.join(format!("{name}.toml")), text).unwrap();
    }

    #[test]
    fn one_bad_file_does_not_take_the_others_with_it() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a", "");
        write(dir.path(), "b", "\"a\"");
        fs::write(dir.path().join("c.toml"), "nonsense").unwrap();
        write(dir.path(), "d", "\"c\"");
        let found = load(dir.path());
        let names: Vec<&str> = found.specs.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(found.problems.len(), 2, "{:?}", found.problems);
    }

    #[test]
    fn services_of_the_repository_are_sound() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles/services");
        let found = load(&directory);
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        assert!(found.specs.len() > 10);
    }
}
