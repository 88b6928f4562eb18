//! The grammar of `Depends:` and `Provides:` (Debian policy, chapter 7).
//!
//! A field is groups joined by commas, a group alternatives joined by `|`, an alternative a name
//! with an optional version in brackets. Architecture qualifiers (`:any`) are dropped: the lock
//! knows one architecture.

use debversion::Version;

/// One alternative of a dependency, or one provided name.
#[derive(Debug, Clone, PartialEq)]
pub struct Relation {
    /// A package, real or virtual.
    pub name: String,
    /// The versions that will do; all of them without it.
    pub bound: Option<Bound>,
}

/// A bound on versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    operator: Operator,
    /// What is compared with.
    pub version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Less,
    AtMost,
    Exactly,
    AtLeast,
    More,
}

/// A text that is no dependency.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no dependency")]
pub struct BadRelation(String);

impl Bound {
    /// Whether a version is within the bound.
    #[must_use]
    pub fn admits(&self, version: &Version) -> bool {
        match self.operator {
            Operator::Less => version < &self.version,
            Operator::AtMost => version <= &self.version,
            Operator::Exactly => version == &self.version,
            Operator::AtLeast => version >= &self.version,
            Operator::More => version > &self.version,
        }
    }
}

impl std::fmt::Display for Relation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        let Some(bound) = &self.bound else { return Ok(()) };
        let operator = match bound.operator {
            Operator::Less => "<<",
            Operator::AtMost => "<=",
            Operator::Exactly => "=",
            Operator::AtLeast => ">=",
            Operator::More => ">>",
        };
        write!(f, " ({operator} {})", bound.version)
    }
}

/// Parses a field: all groups, each with its alternatives.
///
/// # Errors
/// The text is no dependency field.
pub fn parse(field: &str) -> Result<Vec<Vec<Relation>>, BadRelation> {
    field
        .split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .map(|group| group.split('|').map(alternative).collect())
        .collect()
}

fn alternative(text: &str) -> Result<Relation, BadRelation> {
    let text = text.trim();
    let bad = || BadRelation(text.to_owned());
    let (name, rest) = match text.split_once('(') {
        Some((name, rest)) => (name.trim(), Some(rest.strip_suffix(')').ok_or_else(bad)?)),
        None => (text, None),
    };
    let name = name.split(':').next().unwrap_or_default();
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
    if name.is_empty() || !name.chars().all(legal) {
        return Err(bad());
    }
    let bound = match rest {
        None => None,
        Some(rest) => {
            let digits = rest.trim_start_matches(['<', '>', '=']);
            let operator = match rest.strip_suffix(digits).unwrap_or_default() {
                "<<" => Operator::Less,
                "<=" | "<" => Operator::AtMost,
                "=" => Operator::Exactly,
                ">=" | ">" => Operator::AtLeast,
                ">>" => Operator::More,
                _ => return Err(bad()),
            };
            Some(Bound { operator, version: digits.trim().parse().map_err(|_| bad())? })
        }
    };
    Ok(Relation { name: name.to_owned(), bound })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_alternatives_and_versions_are_told_apart() {
        let groups = parse("libc6 (>= 2.38), debconf (>= 0.5) | debconf-2.0, perl:any").unwrap();
        let texts: Vec<Vec<String>> =
            groups.iter().map(|group| group.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(texts, [vec!["libc6 (>= 2.38)"], vec!["debconf (>= 0.5)", "debconf-2.0"], vec!["perl"]]);
    }

    #[test]
    fn a_bound_admits_by_debian_s_order() {
        let admits = |relation: &str, version: &str| {
            parse(relation).unwrap()[0][0].bound.as_ref().unwrap().admits(&version.parse().unwrap())
        };
        assert!(admits("a (>= 1.0)", "1.0-1"));
        assert!(!admits("a (>= 1.0)", "1.0~rc1"));
        assert!(admits("a (<< 1:0)", "9.9"));
        assert!(admits("a (= 2:4.16-1+b1)", "2:4.16-1+b1"));
        assert!(!admits("a (>> 1)", "1"));
    }

    #[test]
    fn what_is_no_dependency_is_refused() {
        for text in ["a (1.0)", "a (>= 1.0", "A", "a (~ 1)"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
