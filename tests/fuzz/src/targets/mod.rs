//! All targets: a file each, by the same name.
//!
//! A target takes any bytes and panics if what reads them does, or if something that must hold of the outcome
//! does not. What it reads, and what it asserts, is said at the top of its file.

mod control;
mod dhcp;
mod disk;
mod http;
mod machine;
mod notify;
mod overlay;
mod pipe;
mod reply;
mod request;
mod saved;
mod spec;
mod table;

/// A target.
#[derive(Debug)]
pub struct Target {
    /// Its name, and its file's.
    pub name: &'static str,
    /// Takes an input.
    pub run: fn(&[u8]),
    /// Real examples.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident)*) => {
        /// All of them.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds },)*];
    };
}

targets! { control dhcp disk http machine notify overlay pipe reply request saved spec table }

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_target_takes_its_own_seeds() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            assert!(!seeds.is_empty(), "{} has no seeds", target.name);
            for seed in seeds {
                (target.run)(&seed);
            }
        }
    }

    #[test]
    fn every_kept_input_is_of_a_target_and_taken_by_it() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        for directory in fs::read_dir(corpus).unwrap() {
            let directory = directory.unwrap();
            let name = directory.file_name().into_string().unwrap();
            let target = TARGETS.iter().find(|target| target.name == name);
            let target = target.unwrap_or_else(|| panic!("no target is called {name}"));
            for input in fs::read_dir(directory.path()).unwrap() {
                (target.run)(&fs::read(input.unwrap().path()).unwrap());
            }
        }
    }
}
