//! What a scenario's machine boots: an initramfs with `init`, this program and their libraries.
//!
//! The large part is made once; each machine gets a small archive with its services behind it,
//! which the kernel unpacks as one. The image's description makes PID 1 supervise at once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use cpio::newc::{Builder, ModeFileType, trailer};
use machine_config::service::{ServiceSpec, layout};
use toml::{Table, Value};

const IMAGE: &str = "role = \"lb\"\nversion = \"0.0.0\"\nbuilt = \"2026-11-01T00:00:00Z\"\n";
const DIRECTORIES: [&str; 12] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "state",
    "var",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/share",
    "usr/share/slipway",
];
const LINKS: [(&str, &str); 3] =
    [("usr/bin/init", "/init"), ("usr/sbin/init", "/init"), ("usr/bin/actor", "scenario")];

/// A cpio archive being written.
struct Archive<W>(W, u32);

impl<W: Write> Archive<W> {
    fn add(&mut self, path: &str, kind: ModeFileType, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.1 += 1;
        let entry = Builder::new(path).ino(self.1).mode(mode).nlink(1).set_mode_file_type(kind);
        let mut entry = entry.write(&mut self.0, u32::try_from(bytes.len()).map_err(io::Error::other)?);
        entry.write_all(bytes)?;
        entry.finish().map(drop)
    }

    fn file(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.add(path, ModeFileType::Regular, mode, bytes)
    }

    fn end(mut self) -> io::Result<()> {
        trailer(&mut self.0)?.flush()
    }
}

/// Writes the part that all machines have in common to `path`.
pub(crate) fn write_common(path: &Path) {
    let directory = path.parent().unwrap();
    let programs = [
        ("init", stripped(Path::new(env!("CARGO_BIN_EXE_init")), directory)),
        ("usr/bin/scenario", stripped(&std::env::current_exe().unwrap(), directory)),
    ];
    let mut libraries: Vec<PathBuf> = programs.iter().flat_map(|(_, program)| libraries(program)).collect();
    libraries.sort();
    libraries.dedup();
    let mut archive = Archive(io::BufWriter::new(File::create(path).unwrap()), 0);
    let mut directories: Vec<String> = DIRECTORIES.iter().map(|name| (*name).to_owned()).collect();
    for library in &libraries {
        let below = library.ancestors().skip(1).filter_map(|path| path.strip_prefix("/").ok());
        directories
            .extend(below.map(|path| path.to_str().unwrap().to_owned()).filter(|path| !path.is_empty()));
    }
    directories.sort();
    directories.dedup();
    for directory in directories {
        archive.add(&directory, ModeFileType::Directory, 0o755, &[]).unwrap();
    }
    for (link, target) in LINKS {
        archive.add(link, ModeFileType::Symlink, 0o777, target.as_bytes()).unwrap();
    }
    for (path, program) in programs {
        archive.file(path, 0o755, &fs::read(program).unwrap()).unwrap();
    }
    for library in libraries {
        let path = library.strip_prefix("/").unwrap().to_str().unwrap();
        archive.file(path, 0o755, &fs::read(&library).unwrap()).unwrap();
    }
    archive.file("usr/share/slipway/image.toml", 0o644, IMAGE.as_bytes()).unwrap();
    archive.end().unwrap();
}

/// Writes a machine's whole initramfs to `path`.
pub(crate) fn write(path: &Path, common: &Path, table: &[u8]) {
    let mut file = File::create(path).unwrap();
    io::copy(&mut File::open(common).unwrap(), &mut file).unwrap();
    let mut archive = Archive(file, 0);
    archive.file("usr/share/slipway/services.table", 0o644, table).unwrap();
    archive.end().unwrap();
}

/// A copy of `program` without what only debuggers read.
fn stripped(program: &Path, directory: &Path) -> PathBuf {
    let copy = directory.join(program.file_name().unwrap());
    fs::copy(program, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    // A larger program is a program, too.
    let _ = Command::new("strip").arg(&copy).status();
    copy
}

/// The shared libraries of `program` and the loader, as the host's loader finds them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let told = Command::new("ldd").arg(program).output().expect("ldd, from Debian's libc-bin");
    let text = String::from_utf8(told.stdout).unwrap();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// The table of `services`, of `ours` and of the service that plays the scenario `name`.
pub(crate) fn table(name: &str, services: &str, ours: &[&str]) -> Vec<u8> {
    // A scenario that means to see the end blocks the signal, and has time.
    let scenario = format!(
        "[[service]]\nname = \"scenario\"\nexec = [\"/usr/bin/scenario\", \"inside\", \"{name}\"]\nmilestone = false\n\
         sandbox = {{ privileged = true }}\noom-score-adjust = -1000\nstop = {{ timeout = \"1h\" }}\n"
    );
    let mut specs: Vec<ServiceSpec> = Vec::new();
    for text in [services, &scenario] {
        let mut list: Table = text.parse().unwrap();
        let list = list.remove("service").unwrap_or(Value::Array(Vec::new()));
        for service in list.as_array().unwrap() {
            let mut service = service.as_table().unwrap().clone();
            service.entry("description").or_insert("an actor".into());
            let exec = Table::from_iter([("by".to_owned(), "exec".into())]);
            service.entry("ready").or_insert(exec.into());
            specs.push(Value::Table(service).try_into().unwrap());
        }
    }
    for name in ours {
        let path = format!("{}/../profiles/services/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        specs.push(toml::from_str(&fs::read_to_string(path).unwrap()).unwrap());
    }
    layout(&specs).unwrap().encode().unwrap()
}
