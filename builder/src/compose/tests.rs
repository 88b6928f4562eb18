//! Composition of small made-up roles: what is in the result, and what is refused.
//!
//! The components here are a file or two and come from no build, so nothing needs a tool or
//! the network; real roles are composed by `slipway build` and its tests. A refusal is judged
//! by the names that its message must hold, since those are what a profile's author acts upon.

use std::path::Path;

use image_format::Digest;
use image_format::manifest::{ImagePath, Kind, Node};
use machine_config::service::{Table, layout};

use super::*;
use crate::build::output::{Output, keep};

/// A repository of profiles and the built components of them.
struct Fixture {
    directory: tempfile::TempDir,
    built: BTreeMap<ComponentName, Built>,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { directory: tempfile::tempdir().unwrap(), built: BTreeMap::new() };
        fixture.write("profiles/services/thing.toml", SERVICE);
        fixture
            .with_role("description = 'd'\ncomponents = ['thing']\nservices = ['thing']\nbudget-mib = 1\n")
            .with_component("thing", "[files]\n", &[("/usr/bin/thing", b"thing")])
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn with_role(self, text: &str) -> Self {
        self.write("profiles/roles/worker.toml", text);
        self
    }

    fn with_component(mut self, name: &str, source: &str, programs: &[(&str, &[u8])]) -> Self {
        let head = "description = 'd'\nlicense = 'MIT'\n";
        self.write(&format!("profiles/components/{name}/component.toml"), &format!("{head}{source}"));
        let directory = self.directory.path().join(format!("built-{name}"));
        std::fs::create_dir(&directory).unwrap();
        let outputs = programs
            .iter()
            .map(|(path, bytes)| {
                let made = directory.join("made");
                std::fs::write(&made, bytes).unwrap();
                let kept = directory.join(Digest::of(path.as_bytes()).to_string());
                std::fs::rename(&made, &kept).unwrap();
                Output::program(path.parse().unwrap(), kept)
            })
            .collect();
        keep(&directory, outputs).unwrap();
        let built = Built::load(Digest::of(name.as_bytes()), directory).unwrap();
        self.built.insert(name.parse().unwrap(), built);
        self
    }

    fn compose(&self) -> Result<Rootfs> {
        let profiles = Profiles::load(self.directory.path())?;
        compose(&profiles.roles["worker"], &profiles, &lock(), &self.built, &[])
    }
}

const SERVICE: &str = "name = 'thing'\ndescription = 'd'\nexec = ['/usr/bin/thing']\nuser = 99\n\
                       ready = { by = 'notify' }\n";

fn lock() -> Lock {
    let digest = Digest::of(b"");
    let text = format!(
        "schema = 1\npackage = []\n[suites.trixie]\ndate = 'Sat, 14 Nov 2026 09:12:13 UTC'\n\
         in-release = '{digest}'\nsigned-by = []\n[tools]\n[components]\n"
    );
    Lock::parse(Path::new("slipway.lock"), &text).unwrap()
}

fn path(text: &str) -> ImagePath {
    text.parse().unwrap()
}

fn text(rootfs: &Rootfs, at: &str) -> String {
    String::from_utf8(bytes(rootfs, at)).unwrap()
}

fn bytes(rootfs: &Rootfs, at: &str) -> Vec<u8> {
    rootfs.contents.read(rootfs.tree.manifest(), &path(at)).unwrap()
}

#[test]
fn an_image_says_what_it_is_and_when_its_inputs_were_locked() {
    let rootfs = Fixture::new().compose().unwrap();
    let image = text(&rootfs, "/usr/share/slipway/image.toml");
    assert_eq!(
        image,
        format!("role = \"worker\"\nversion = \"{}\"\nbuilt = \"2026-11-14T09:12:13Z\"\n", rootfs.version)
    );
    assert_eq!(
        text(&rootfs, "/usr/share/slipway/label"),
        format!("role worker, version {}", rootfs.version),
        "as PID 1 shows it"
    );
    assert!(text(&rootfs, "/etc/os-release").contains(&format!("VERSION_ID={}\n", rootfs.version)));
}

#[test]
fn a_service_s_user_is_in_passwd_and_its_unit_in_the_table() {
    let rootfs = Fixture::new().compose().unwrap();
    assert_eq!(
        text(&rootfs, "/etc/passwd"),
        "root:x:0:0::/:/usr/sbin/nologin\nthing:x:99:99::/:/usr/sbin/nologin\n\
         nobody:x:65534:65534::/:/usr/sbin/nologin\n"
    );
    let table = Table::decode(&bytes(&rootfs, "/usr/share/slipway/services.table")).unwrap();
    assert_eq!(table, layout(&[toml::from_str(SERVICE).unwrap()]).unwrap());
}

#[test]
fn other_contents_are_another_version() {
    let one = Fixture::new().compose().unwrap().version;
    assert_eq!(Fixture::new().compose().unwrap().version, one);
    let other = Fixture::new().with_component("other", "[files]\n", &[("/usr/bin/other", b"other")]);
    let other = other
        .with_role(
            "description = 'd'\ncomponents = ['thing', 'other']\nservices = ['thing']\nbudget-mib = 1\n",
        )
        .compose()
        .unwrap();
    assert_ne!(other.version, one);
}

#[test]
fn components_that_disagree_are_both_named() {
    let error = Fixture::new()
        .with_component("other", "[files]\n", &[("/usr/bin/thing", b"else")])
        .with_role(
            "description = 'd'\ncomponents = ['thing', 'other']\nservices = ['thing']\nbudget-mib = 1\n",
        )
        .compose()
        .unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "composing role worker: components thing and other both have /usr/bin/thing, with different contents"
    );
}

#[test]
fn a_service_whose_program_no_component_brings_is_refused() {
    let fixture = Fixture::new();
    fixture.write("profiles/services/thing.toml", &SERVICE.replace("/usr/bin/thing", "/usr/bin/ghost"));
    let error = format!("{:#}", fixture.compose().unwrap_err());
    assert!(error.contains("service thing runs /usr/bin/ghost"), "{error}");
}

#[test]
fn a_service_that_needs_one_outside_the_role_is_refused_by_its_edge() {
    let fixture = Fixture::new();
    fixture.write("profiles/services/thing.toml", &format!("requires = ['pki']\n{SERVICE}"));
    let error = format!("{:#}", fixture.compose().unwrap_err());
    assert!(error.contains("the services of role worker: service thing requires pki"), "{error}");
}

#[test]
fn a_pod_image_lies_unpacked_beside_its_layout() {
    let image = "[image]\nname = 'registry.k8s.io/pause:3'\ncomponent = 'pause'\nentrypoint = ['/pause']\n";
    let fixture = Fixture::new()
        .with_component("pause", "[files]\n", &[("/pause", b"pause")])
        .with_component("image-pause", image, &[])
        .with_role(
            "description = 'd'\ncomponents = ['thing']\nservices = ['thing']\nimages = ['image-pause']\n\
             budget-mib = 1\n",
        );
    let rootfs = fixture.compose().unwrap();
    let home = "/usr/share/slipway/images/image-pause";
    assert_eq!(text(&rootfs, &format!("{home}/rootfs/pause")), "pause");
    let layout: oci::Layout = rootfs
        .tree
        .manifest()
        .iter()
        .filter(|(at, node)| {
            at.is_within(&path(home))
                && !at.is_within(&path(&format!("{home}/rootfs")))
                && matches!(node.kind, Kind::File { .. })
        })
        .map(|(at, _)| (at.as_str()[home.len() + 1..].to_owned(), text(&rootfs, at.as_str()).into_bytes()))
        .collect();
    let image = oci::read(&layout).unwrap();
    assert_eq!(image.name, "registry.k8s.io/pause:3");
    assert_eq!(rootfs.images.values().next().unwrap(), &image);
}

#[test]
fn a_pod_image_without_its_program_is_refused() {
    let image = "[image]\nname = 'registry.k8s.io/pause:3'\ncomponent = 'thing'\nentrypoint = ['/pause']\n";
    let error = Fixture::new()
        .with_component("image-pause", image, &[])
        .with_role(
            "description = 'd'\ncomponents = ['thing']\nservices = []\nimages = ['image-pause']\nbudget-mib = 1\n",
        )
        .compose()
        .unwrap_err();
    assert!(format!("{error:#}").contains("no program \"/pause\""), "{error:#}");
}

#[test]
fn the_root_directory_is_root_s() {
    let rootfs = Fixture::new().compose().unwrap();
    assert_eq!(rootfs.tree.manifest().get(&ImagePath::root()), Some(&Node::directory(0o755)));
}

#[test]
fn a_service_that_is_root_without_a_reason_is_refused() {
    let root = SERVICE.replace("user = 99\n", "");
    let fixture = Fixture::new();
    fixture.write("profiles/services/thing.toml", &root);
    let error = format!("{:#}", fixture.compose().unwrap_err());
    assert!(error.contains("service thing must say either which user it runs as"), "{error}");
    fixture.write("profiles/services/thing.toml", &format!("root-because = 'it must'\n{root}"));
    fixture.compose().unwrap();
    fixture.write("profiles/services/thing.toml", &format!("root-because = 'it must'\n{SERVICE}"));
    assert!(fixture.compose().is_err(), "one or the other");
}
