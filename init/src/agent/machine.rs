//! The accepted machine config, as the config agent left it for the others.
//!
//! It was verified before it was written; it is parsed here without another look at its signature.
//! The whole of it is for the few agents that need its secrets; the others read what is left
//! without them, which everybody may.

use std::path::Path;

use machine_config::machine::ParseError;
use machine_config::{MachineConfig, PlainConfig};

use super::files::{self, FileError};
use super::paths;

/// More than the envelope may have.
const SIZE_MAX: u64 = 256 * 1024;

/// Why there is no config to read.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Not there.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not a config.
    #[error("reading {path}: {why}")]
    Parse {
        /// Which of the two.
        path: &'static str,
        /// Why.
        why: String,
    },
}

/// Reads it whole.
///
/// # Errors
/// [`MachineError`].
pub fn load() -> Result<MachineConfig, MachineError> {
    read(paths::MACHINE, MachineConfig::parse)
}

/// Reads what is nobody's secret.
///
/// # Errors
/// [`MachineError`].
pub fn load_plain() -> Result<PlainConfig, MachineError> {
    read(paths::MACHINE_REDACTED, PlainConfig::parse)
}

fn read<T>(path: &'static str, parse: fn(&str) -> Result<T, ParseError>) -> Result<T, MachineError> {
    let text = files::read_text(Path::new(path), SIZE_MAX)?;
    parse(&text).map_err(|error| MachineError::Parse { path, why: brief(&error, &text) })
}

/// Why `text` is no config, in one line that quotes nothing of it: the parser's own message
/// shows the line at fault, and that line may hold a key.
#[must_use]
pub fn brief(error: &ParseError, text: &str) -> String {
    let ParseError::Toml(error) = error else { return error.to_string() };
    // Values are in double quotes, the schema's own names in backticks.
    let mut message = String::new();
    for (n, part) in error.message().split('"').enumerate() {
        message.push_str(if n % 2 == 0 { part } else { "\"…\"" });
    }
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let before = error.span().and_then(|span| text.get(..span.start));
    match before {
        Some(before) => format!("line {}: {message}", before.matches('\n').count().saturating_add(1)),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use machine_config::Role;

    use super::*;
    use crate::agent::fixture::config;

    fn brief_of(text: &str) -> String {
        brief(&MachineConfig::parse(text).unwrap_err(), text)
    }

    #[test]
    fn a_refused_config_is_explained_without_quoting_it() {
        let text = toml::to_string(&config(Role::ControlPlane)).unwrap();
        let unknown = text.replace("encryption-key", "encryption-kay");
        let line = text.lines().position(|line| line.starts_with("encryption-key")).unwrap() + 1;
        let brief = brief_of(&unknown);
        assert!(brief.starts_with(&format!("line {line}: unknown field `encryption-kay`")), "{brief}");
        assert!(!brief.contains("AAECAwQF"));

        let mistyped = text.replace("serial = 1", "serial = \"s3cret\"");
        let brief = brief_of(&mistyped);
        assert!(brief.contains("invalid type") && !brief.contains("s3cret"), "{brief}");
    }

    #[test]
    fn what_is_no_secret_can_be_read_without_the_rest() {
        for role in Role::ALL {
            let config = config(role);
            let text = machine_config::redact::redacted(&toml::to_string(&config).unwrap()).unwrap();
            assert!(MachineConfig::parse(&text).is_err(), "{role}: it has secrets, which are left out");
            assert_eq!(PlainConfig::parse(&format!("# from a disk\n{text}")).unwrap(), config.plain());
        }
    }

    #[test]
    fn a_newer_schema_says_what_to_do() {
        assert!(brief_of("schema = 99").contains("boot a newer image"));
    }
}
