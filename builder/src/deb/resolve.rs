//! Closures: a list of package names to every package that they need.
//!
//! No solver: inside of one stable suite the first alternative that exists is right, and a choice
//! that does not fit a later bound is an error that names both. `Recommends` are not followed. A suite
//! such as `trixie-backports` extends `trixie`: what is asked for comes from the extension, what that
//! needs from the base where the base will do. The result depends on its inputs alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::index::Candidate;
use super::relation::{BadRelation, Relation};
use crate::lock::LockedPackage;
use crate::profile::Suite;

/// The packages of all suites.
#[derive(Debug, Default)]
pub struct Universe {
    suites: BTreeMap<Suite, Packages>,
}

#[derive(Debug, Default)]
struct Packages {
    all: Vec<Candidate>,
    by_name: HashMap<String, Vec<usize>>,
    by_provided: HashMap<String, Vec<usize>>,
}

/// Why there is no closure.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A name that no suite has.
    #[error("there is no package {name} in {suite}")]
    NoSuchPackage {
        /// The name.
        name: String,
        /// The suite.
        suite: Suite,
    },
    /// A dependency that nothing satisfies.
    #[error("{package} needs {wanted}, and nothing in {suite} is that")]
    Unsatisfied {
        /// Who needs it.
        package: String,
        /// What.
        wanted: String,
        /// Where it was looked for.
        suite: Suite,
    },
    /// A dependency that a choice already made rules out.
    #[error("{package} needs {wanted}, and {chosen} was chosen for another package")]
    Conflict {
        /// Who needs it.
        package: String,
        /// What.
        wanted: String,
        /// What is there instead.
        chosen: String,
    },
    /// A dependency that is none.
    #[error("{package}: its dependencies")]
    Malformed {
        /// Whose.
        package: String,
        /// Why.
        source: BadRelation,
    },
}

impl Universe {
    /// Adds a suite's packages.
    pub fn add(&mut self, suite: Suite, candidates: Vec<Candidate>) {
        let mut packages = Packages::default();
        for (index, candidate) in candidates.iter().enumerate() {
            packages.by_name.entry(candidate.package.name.clone()).or_default().push(index);
            for provided in &candidate.provides {
                packages.by_provided.entry(provided.name.clone()).or_default().push(index);
            }
        }
        packages.all = candidates;
        self.suites.insert(suite, packages);
    }

    /// The package of that name, without what it depends on.
    ///
    /// # Errors
    /// The suite has none.
    pub fn package(&self, suite: &Suite, name: &str) -> Result<&Candidate, ResolveError> {
        let found = self.suites.get(suite).and_then(|packages| packages.newest(name, |_| true));
        found.ok_or_else(|| ResolveError::NoSuchPackage { name: name.to_owned(), suite: suite.clone() })
    }

    /// The closure of packages.
    ///
    /// # Errors
    /// A package is not there, or its dependencies cannot be met.
    pub fn closure(&self, suite: &Suite, roots: &[String]) -> Result<BTreeSet<LockedPackage>, ResolveError> {
        let mut chosen: BTreeMap<&str, &Candidate> = BTreeMap::new();
        let mut queue = VecDeque::new();
        for name in roots {
            let root = self.package(suite, name)?;
            if chosen.insert(&root.package.name, root).is_none() {
                queue.push_back(root);
            }
        }
        let suites = lookup_order(suite);
        while let Some(candidate) = queue.pop_front() {
            let package = || format!("{} {}", candidate.package.name, candidate.package.version);
            let groups = candidate
                .depends()
                .map_err(|source| ResolveError::Malformed { package: package(), source })?;
            for group in &groups {
                if group.iter().any(|wanted| met(wanted, &chosen)) {
                    continue;
                }
                let wanted = || group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
                let found = group.iter().find_map(|wanted| self.first(&suites, wanted)).ok_or_else(|| {
                    ResolveError::Unsatisfied { package: package(), wanted: wanted(), suite: suite.clone() }
                })?;
                if let Some(other) = chosen.insert(&found.package.name, found) {
                    return Err(ResolveError::Conflict {
                        package: package(),
                        wanted: wanted(),
                        chosen: format!("{} {}", other.package.name, other.package.version),
                    });
                }
                queue.push_back(found);
            }
        }
        Ok(chosen.into_values().map(|candidate| candidate.package.clone()).collect())
    }

    /// The first suite's best package for a relation: the newest of that name, or else the provider that
    /// Debian wants most, by name among equals.
    fn first(&self, suites: &[Suite], wanted: &Relation) -> Option<&Candidate> {
        suites.iter().find_map(|suite| {
            let packages = self.suites.get(suite)?;
            packages
                .newest(&wanted.name, |candidate| admits(wanted, &candidate.version))
                .or_else(|| packages.provider(wanted))
        })
    }
}

impl Packages {
    fn newest(&self, name: &str, wanted: impl Fn(&Candidate) -> bool) -> Option<&Candidate> {
        let found = self.by_name.get(name)?.iter().filter_map(|index| self.all.get(*index));
        found.filter(|candidate| wanted(candidate)).max_by(|one, two| one.version.cmp(&two.version))
    }

    fn provider(&self, wanted: &Relation) -> Option<&Candidate> {
        let found = self.by_provided.get(&wanted.name)?.iter().filter_map(|index| self.all.get(*index));
        found.filter(|candidate| provides(candidate, wanted)).min_by(|one, two| {
            (one.priority, &one.package.name)
                .cmp(&(two.priority, &two.package.name))
                .then(two.version.cmp(&one.version))
        })
    }
}

/// Where dependencies are looked for: the base of an extension first.
fn lookup_order(suite: &Suite) -> Vec<Suite> {
    let base = suite.as_str().strip_suffix("-backports").and_then(|base| base.parse().ok());
    base.into_iter().chain([suite.clone()]).collect()
}

fn met(wanted: &Relation, chosen: &BTreeMap<&str, &Candidate>) -> bool {
    chosen.get(wanted.name.as_str()).is_some_and(|candidate| admits(wanted, &candidate.version))
        || chosen.values().any(|candidate| provides(candidate, wanted))
}

fn admits(wanted: &Relation, version: &debversion::Version) -> bool {
    wanted.bound.as_ref().is_none_or(|bound| bound.admits(version))
}

/// Whether a package provides what is wanted. An unversioned `Provides` meets no versioned relation.
fn provides(candidate: &Candidate, wanted: &Relation) -> bool {
    candidate.provides.iter().filter(|provided| provided.name == wanted.name).any(|provided| {
        match (&wanted.bound, &provided.bound) {
            (None, _) => true,
            (Some(bound), Some(provided)) => bound.admits(&provided.version),
            (Some(_), None) => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deb::index;

    /// One package per line: `name version; Field: value; …`.
    fn universe(suites: &[(&str, &str)]) -> Universe {
        let mut universe = Universe::default();
        for (suite, lines) in suites {
            let mut text = String::new();
            for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
                let mut parts = line.split(';').map(str::trim);
                let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
                let digest = image_format::Digest::of(line.as_bytes());
                text += &format!("Package: {name}\nVersion: {version}\nArchitecture: all\nSize: 1\n");
                text += &format!("Filename: pool/{name}_{version}.deb\nSHA256: {digest}\n");
                parts.for_each(|field| text += &format!("{field}\n"));
                text += "\n";
            }
            let suite: Suite = suite.parse().unwrap();
            universe.add(suite.clone(), index::read(&suite, &text).unwrap());
        }
        universe
    }

    fn closure(universe: &Universe, suite: &str, roots: &[&str]) -> Result<Vec<String>, ResolveError> {
        let roots: Vec<String> = roots.iter().map(ToString::to_string).collect();
        let packages = universe.closure(&suite.parse().unwrap(), &roots)?;
        Ok(packages.into_iter().map(|package| format!("{} {}", package.name, package.version)).collect())
    }

    #[test]
    fn a_closure_holds_what_its_packages_need_and_nothing_recommended() {
        let universe = universe(&[(
            "trixie",
            "haproxy 3; Depends: libc6 (>= 2), libssl3; Recommends: rsyslog
             libssl3 1; Depends: libc6
             libc6 2; Depends: libgcc-s1
             libgcc-s1 1; Depends: libc6
             rsyslog 1",
        )]);
        assert_eq!(
            closure(&universe, "trixie", &["haproxy"]).unwrap(),
            ["haproxy 3", "libc6 2", "libgcc-s1 1", "libssl3 1"]
        );
    }

    #[test]
    fn the_first_alternative_that_exists_is_taken_unless_another_is_there_already() {
        let lines = "a 1; Depends: gone | b | c
                     b 1
                     c 1";
        let universe = universe(&[("trixie", lines)]);
        assert_eq!(closure(&universe, "trixie", &["a"]).unwrap(), ["a 1", "b 1"]);
        assert_eq!(closure(&universe, "trixie", &["a", "c"]).unwrap(), ["a 1", "c 1"]);
    }

    #[test]
    fn a_virtual_package_is_met_by_the_provider_that_debian_wants_most() {
        let lines = "base-files 1; Pre-Depends: awk
                     gawk 1; Provides: awk; Priority: optional
                     mawk 1; Provides: awk; Priority: required";
        let universe = universe(&[("trixie", lines)]);
        assert_eq!(closure(&universe, "trixie", &["base-files"]).unwrap(), ["base-files 1", "mawk 1"]);
        assert_eq!(
            closure(&universe, "trixie", &["base-files", "gawk"]).unwrap(),
            ["base-files 1", "gawk 1"]
        );
    }

    #[test]
    fn an_unversioned_provider_does_not_meet_a_versioned_need() {
        let lines = "a 1; Depends: v (>= 2)
                     p 9; Provides: v
                     q 1; Provides: v (= 2)";
        assert_eq!(closure(&universe(&[("trixie", lines)]), "trixie", &["a"]).unwrap(), ["a 1", "q 1"]);
    }

    #[test]
    fn a_need_that_nothing_meets_names_who_has_it() {
        let universe = universe(&[("trixie", "a 1; Depends: b (>= 2)\nb 1")]);
        let error = closure(&universe, "trixie", &["a"]).unwrap_err().to_string();
        assert!(error.contains("a 1") && error.contains("b (>= 2)"), "{error}");
    }

    #[test]
    fn an_extension_takes_from_its_base_what_the_base_has() {
        let universe = universe(&[
            ("trixie", "libc6 2\ntool 1; Depends: libc6"),
            ("trixie-backports", "tool 5; Depends: libc6, libnew\nlibnew 5\nlibc6 3"),
        ]);
        assert_eq!(
            closure(&universe, "trixie-backports", &["tool"]).unwrap(),
            ["libc6 2", "libnew 5", "tool 5"]
        );
    }

    #[test]
    fn one_closure_holds_one_version_of_a_name() {
        let universe = universe(&[
            ("trixie", "lib 1\na 1; Depends: lib"),
            ("trixie-backports", "a 5; Depends: lib (>= 1)\nb 5; Depends: lib (>= 5)\nlib 5"),
        ]);
        let error = closure(&universe, "trixie-backports", &["a", "b"]).unwrap_err();
        assert!(matches!(error, ResolveError::Conflict { .. }), "{error}");
    }
}
