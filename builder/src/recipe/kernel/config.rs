//! Kernel options: what fragments ask for against what the kernel's own rules made of it.
//!
//! Kconfig drops an option silently when something it depends on is missing. [`unmet`] compares
//! and names fragment, option, wanted and found value. Pure: texts in, data out.

use std::collections::BTreeMap;
use std::fmt;

/// One option that is not as its fragment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// The fragment that asks for it.
    pub fragment: String,
    /// The option.
    pub option: String,
    /// What the fragment says.
    pub wanted: String,
    /// What the final configuration says.
    pub found: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fragment, option, wanted, found } = self;
        write!(f, "{fragment}.config: {option}: wanted {wanted}, found {found}")
    }
}

/// The options of a fragment or of a `.config`, in order; an option that "is not set" is `n`.
fn options(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix("# CONFIG_") {
            let name = rest.strip_suffix(" is not set")?;
            return line.get(2..2 + "CONFIG_".len() + name.len()).map(|option| (option, "n"));
        }
        line.strip_prefix("CONFIG_")?;
        line.split_once('=')
    })
}

/// Every option of the fragments (name and text) that is not so in `config`, in the fragments' order.
#[must_use]
pub fn unmet(fragments: &[(String, String)], config: &str) -> Vec<Unmet> {
    let found: BTreeMap<&str, &str> = options(config).collect();
    let mut unmet = Vec::new();
    for (fragment, text) in fragments {
        for (option, wanted) in options(text) {
            // An option that the configuration does not mention is not there: as good as `n`.
            let found = found.get(option).copied().unwrap_or("n");
            if found != wanted {
                unmet.push(Unmet {
                    fragment: fragment.clone(),
                    option: option.to_owned(),
                    wanted: wanted.to_owned(),
                    found: found.to_owned(),
                });
            }
        }
    }
    unmet
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragments(text: &str) -> Vec<(String, String)> {
        vec![("net".to_owned(), text.to_owned())]
    }

    #[test]
    fn an_option_that_did_not_take_is_named_with_its_fragment_and_both_values() {
        let unmet = unmet(&fragments("CONFIG_VXLAN=y\n"), "# CONFIG_VXLAN is not set\n");
        assert_eq!(unmet.len(), 1);
        assert_eq!(unmet[0].to_string(), "net.config: CONFIG_VXLAN: wanted y, found n");
    }

    #[test]
    fn an_option_the_kernel_has_never_heard_of_is_unmet_too() {
        assert_eq!(unmet(&fragments("CONFIG_NO_SUCH=y\n"), "CONFIG_NET=y\n")[0].option, "CONFIG_NO_SUCH");
    }

    #[test]
    fn values_and_absences_count() {
        let wanted = "CONFIG_NR_CPUS=2\n# CONFIG_SSL is not set\n# a comment\nCONFIG_CON_CHAN=\"null\"\n";
        assert_eq!(unmet(&fragments(wanted), "CONFIG_NR_CPUS=2\nCONFIG_CON_CHAN=\"null\"\n"), []);
        let wrong = "CONFIG_NR_CPUS=4\nCONFIG_SSL=y\nCONFIG_CON_CHAN=\"null\"\n";
        let found: Vec<String> = unmet(&fragments(wanted), wrong).iter().map(ToString::to_string).collect();
        let all =
            ["net.config: CONFIG_NR_CPUS: wanted 2, found 4", "net.config: CONFIG_SSL: wanted n, found y"];
        assert_eq!(found, all);
    }

    #[test]
    fn a_module_is_not_built_in() {
        assert_eq!(unmet(&fragments("CONFIG_EROFS_FS=y\n"), "CONFIG_EROFS_FS=m\n")[0].found, "m");
    }
}
