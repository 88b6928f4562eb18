//! What a program needs of an unpacked tree in order to run: loader, libraries, and the links that
//! lead to them.
//!
//! Reads a tree of the store as if it were the root; a link never leads out of it. Libraries are
//! found as the loader would find them: the program's own search path first, then Debian's
//! directories. What a program opens by name at run time (plugins, locales) is not seen: the
//! profile includes it.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::elf;

/// Where Debian's loader looks.
const LIBRARY_DIRS: [&str; 3] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];

/// As the kernel counts.
const LINKS_MAX: usize = 40;

/// Why a closure cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// The profile asks for what the packages do not hold.
    #[error("the packages hold no {}", .0.display())]
    Missing(PathBuf),
    /// A library that none of the locked packages holds.
    #[error("{} needs {library}, which none of its packages holds", program.display())]
    Library {
        /// Who needs it.
        program: PathBuf,
        /// Its soname.
        library: String,
    },
    /// Links that go in circles.
    #[error("{} leads through more than {LINKS_MAX} links", .0.display())]
    Links(PathBuf),
    /// A damaged program.
    #[error("reading {}", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: elf::ElfError,
    },
    /// The file system said no.
    #[error("reading {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// The paths of `include` (files, links, whole directories) and of all that they need, sorted. A
/// path that leads through links of directories is given by its real name.
///
/// # Errors
/// Something asked for or needed is not in the tree.
pub fn of(tree: &Path, include: &[PathBuf]) -> Result<BTreeSet<PathBuf>, ClosureError> {
    let tree = Tree { root: tree };
    let mut chosen = BTreeSet::new();
    let mut open: VecDeque<(PathBuf, Vec<String>)> =
        include.iter().map(|path| (path.clone(), Vec::new())).collect();
    while let Some((wanted, dirs)) = open.pop_front() {
        let (links, end) = tree.follow(&wanted)?.ok_or(ClosureError::Missing(wanted))?;
        chosen.extend(links);
        if !chosen.insert(end.clone()) {
            continue;
        }
        if tree.at(&end).is_dir() {
            open.extend(tree.entries(&end)?.into_iter().map(|entry| (entry, Vec::new())));
        } else {
            let (needed, dirs) = tree.needed_by(&end, &dirs)?;
            open.extend(needed.into_iter().map(|library| (library, dirs.clone())));
        }
    }
    Ok(chosen)
}

struct Tree<'a> {
    root: &'a Path,
}

impl Tree<'_> {
    /// Where a path of the tree is on the host, if none of its directories is a link.
    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The links on the way from `path` to what it means, and that; none if there is nothing.
    fn follow(&self, path: &Path) -> Result<Option<(Vec<PathBuf>, PathBuf)>, ClosureError> {
        let mut links = Vec::new();
        let mut at = path.to_owned();
        for _ in 0..LINKS_MAX {
            let Some(real) = self.with_real_directory(&at)? else { return Ok(None) };
            match fs::read_link(self.at(&real)) {
                Ok(target) => {
                    at = real.parent().unwrap_or(Path::new("/")).join(target);
                    links.push(real);
                }
                Err(_) if self.at(&real).exists() => return Ok(Some((links, real))),
                Err(_) => return Ok(None),
            }
        }
        Err(ClosureError::Links(path.to_owned()))
    }

    /// The same path with every directory on its way resolved; its last name stays as it is.
    fn with_real_directory(&self, path: &Path) -> Result<Option<PathBuf>, ClosureError> {
        let mut real = PathBuf::from("/");
        let mut rest: VecDeque<_> = path.components().map(|part| part.as_os_str().to_owned()).collect();
        let mut hops = 0;
        while let Some(part) = rest.pop_front() {
            match Path::new(&part).components().next() {
                Some(Component::Normal(name)) => real.push(name),
                Some(Component::ParentDir) => {
                    real.pop();
                    continue;
                }
                Some(Component::RootDir) => {
                    real = PathBuf::from("/");
                    continue;
                }
                _ => continue,
            }
            if rest.is_empty() {
                break;
            }
            if let Ok(target) = fs::read_link(self.at(&real)) {
                hops += 1;
                if hops > LINKS_MAX {
                    return Err(ClosureError::Links(path.to_owned()));
                }
                real.pop();
                for part in target.components().rev() {
                    rest.push_front(part.as_os_str().to_owned());
                }
            } else if !self.at(&real).is_dir() {
                return Ok(None);
            }
        }
        Ok(Some(real))
    }

    fn entries(&self, directory: &Path) -> Result<Vec<PathBuf>, ClosureError> {
        let failed = |source| ClosureError::Io { path: directory.to_owned(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(self.at(directory)).map_err(failed)? {
            names.push(directory.join(entry.map_err(failed)?.file_name()));
        }
        names.sort();
        Ok(names)
    }

    /// Loader and libraries of one file, and where its own search path and that of `wanted_by` lead: what a
    /// program has loaded from its private directory, its libraries get by name, without a path of their own.
    fn needed_by(
        &self,
        program: &Path,
        wanted_by: &[String],
    ) -> Result<(Vec<PathBuf>, Vec<String>), ClosureError> {
        let bytes = fs::read(self.at(program))
            .map_err(|source| ClosureError::Io { path: program.to_owned(), source })?;
        let needs =
            elf::needs(&bytes).map_err(|source| ClosureError::Elf { path: program.to_owned(), source })?;
        let mut needed: Vec<PathBuf> = needs.interpreter.iter().map(PathBuf::from).collect();
        let origin = program.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned();
        let own =
            needs.search.iter().map(|dir| dir.replace("${ORIGIN}", &origin).replace("$ORIGIN", &origin));
        let private: Vec<String> = own.chain(wanted_by.iter().cloned()).collect();
        for library in needs.libraries {
            let mut found = None;
            for dir in private.iter().map(String::as_str).chain(LIBRARY_DIRS) {
                let candidate = Path::new(dir).join(&library);
                if self.follow(&candidate)?.is_some() {
                    found = Some(candidate);
                    break;
                }
            }
            let program = program.to_owned();
            needed.push(found.ok_or(ClosureError::Library { program, library })?);
        }
        Ok((needed, private))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(chosen: &BTreeSet<PathBuf>) -> Vec<&str> {
        chosen.iter().map(|path| path.to_str().unwrap()).collect()
    }

    #[test]
    fn a_program_brings_its_loader_and_its_libraries_with_the_links_to_them() {
        // This test's own host is a tree like any other; every Debian has these two.
        if !Path::new("/usr/lib/x86_64-linux-gnu/libc.so.6").exists() {
            let _ = writeln!(std::io::stdout(), "\nSKIPPED: this host is no Debian");
            return;
        }
        let chosen = of(Path::new("/"), &["/usr/bin/ls".into()]).unwrap();
        let paths = paths(&chosen);
        assert!(paths.contains(&"/usr/bin/ls") && paths.contains(&"/usr/lib/x86_64-linux-gnu/libc.so.6"));
        assert!(paths.iter().any(|path| path.contains("ld-linux-x86-64.so.2")), "{paths:?}");
        assert!(paths.iter().all(|path| !path.starts_with("/lib")), "real names only: {paths:?}");
        assert!(paths.len() < 20, "{paths:?}");
    }

    #[test]
    fn a_library_is_found_where_the_program_that_wants_it_looks() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bin", "private", "lib64"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        // This test itself, which names the libraries of any program in Rust.
        fs::copy("/proc/self/exe", dir.path().join("bin/program")).unwrap();
        for library in elf::needs(&fs::read("/proc/self/exe").unwrap()).unwrap().libraries {
            fs::write(dir.path().join("private").join(library), "").unwrap();
        }
        let tree = Tree { root: dir.path() };
        let program = Path::new("/bin/program");
        assert!(matches!(tree.needed_by(program, &[]), Err(ClosureError::Library { .. })));
        let (needed, _) = tree.needed_by(program, &["/private".to_owned()]).unwrap();
        assert!(needed.contains(&"/private/libc.so.6".into()), "{needed:?}");
    }

    #[test]
    fn links_are_kept_and_never_lead_out_of_the_tree() {
        let dir = tempfile::tempdir().unwrap();
        let lib = dir.path().join("usr/lib");
        fs::create_dir_all(&lib).unwrap();
        symlink("usr/lib", dir.path().join("lib")).unwrap();
        symlink("/lib/liba.so.1.2", lib.join("liba.so.1")).unwrap();
        fs::write(lib.join("liba.so.1.2"), "no ELF file").unwrap();
        symlink("../../../../../../etc/passwd", lib.join("out")).unwrap();
        let chosen = of(dir.path(), &["/lib/liba.so.1".into()]).unwrap();
        assert_eq!(paths(&chosen), ["/usr/lib/liba.so.1", "/usr/lib/liba.so.1.2"]);
        assert!(matches!(of(dir.path(), &["/usr/lib/out".into()]), Err(ClosureError::Missing(_))));
    }

    #[test]
    fn a_directory_is_taken_whole() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("etc/x/y")).unwrap();
        fs::write(dir.path().join("etc/x/y/z"), "").unwrap();
        assert_eq!(paths(&of(dir.path(), &["/etc/x".into()]).unwrap()), ["/etc/x", "/etc/x/y", "/etc/x/y/z"]);
    }

    #[test]
    fn what_is_missing_and_what_goes_in_circles_is_said() {
        let dir = tempfile::tempdir().unwrap();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert!(matches!(of(dir.path(), &["/a".into()]), Err(ClosureError::Links(_))));
        assert!(matches!(of(dir.path(), &["/none".into()]), Err(ClosureError::Missing(_))));
    }
}
