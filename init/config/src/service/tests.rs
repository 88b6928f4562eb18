//! What specs mean and which sets of them are refused.
//!
//! Texts in, tables or errors out; the real profiles are checked by the builder's own tests,
//! which lay out every role.

use super::*;
use crate::span::Span;

fn spec(name: &str, rest: &str) -> ServiceSpec {
    let ready = if rest.contains("ready") { "" } else { "ready = { by = \"notify\" }\n" };
    toml::from_str(&format!("name = {name:?}\ndescription = \"x\"\nexec = [\"/bin/x\"]\n{ready}{rest}"))
        .unwrap()
}

fn refusal(specs: &[ServiceSpec]) -> String {
    layout(specs).unwrap_err().to_string()
}

#[test]
fn everything_comes_after_what_it_needs() {
    let specs =
        [spec("c", "requires = [\"b\"]\nafter = [\"a\"]"), spec("b", "wants = [\"a\"]"), spec("a", "")];
    let table = layout(&specs).unwrap();
    let names: Vec<&str> = table.units.iter().map(|unit| unit.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let edges: Vec<(u16, EdgeKind)> =
        table.units[2].edges.iter().map(|edge| (edge.to.0, edge.kind)).collect();
    assert_eq!(edges, [(1, EdgeKind::Requires), (0, EdgeKind::After)]);
    assert_eq!(table.units[1].edges[0].kind, EdgeKind::Wants { within: Span::from_secs(30) });
}

#[test]
fn a_cycle_is_named_edge_by_edge_whatever_its_edges_are() {
    let specs = [spec("a", "requires = [\"b\"]"), spec("b", "wants = [\"c\"]"), spec("c", "after = [\"b\"]")];
    assert_eq!(refusal(&specs), "services wait for each other: b wants c comes after b");
    assert!(refusal(&[spec("a", "after = [\"a\"]")]).ends_with("a comes after a"));
    let ring: Vec<ServiceSpec> =
        (0..20).map(|n| spec(&format!("s{n}"), &format!("milestones = [\"s{}\"]", (n + 1) % 20))).collect();
    assert_eq!(refusal(&ring).matches("has as milestone").count(), 20);
}

#[test]
fn an_edge_to_nowhere_is_refused_with_its_kind() {
    assert_eq!(
        refusal(&[spec("a", "wants = [\"ghost\"]")]),
        "service a wants ghost, which is not among the role's services"
    );
}

#[test]
fn a_chain_is_at_most_as_deep_as_can_be_walked() {
    let chain = |len: usize| -> Vec<ServiceSpec> {
        let need = |n: usize| if n == 0 { String::new() } else { format!("requires = [\"s{}\"]", n - 1) };
        (0..len).map(|n| spec(&format!("s{n}"), &need(n))).collect()
    };
    assert!(layout(&chain(DEPTH_MAX + 1)).is_ok());
    assert!(refusal(&chain(DEPTH_MAX + 2)).contains("ends a chain of 33 needs"));
}

#[test]
fn nothing_that_boots_may_wait_for_what_starts_when_the_machine_is_up() {
    let late = |rest: &str| spec("late", &format!("start = \"when-up\"\nmilestone = false\n{rest}"));
    assert!(layout(&[spec("a", ""), late("requires = [\"a\"]")]).is_ok());
    assert!(
        refusal(&[spec("a", "wants = [\"late\"]"), late("")]).contains("starts only when the machine is up")
    );
    assert!(layout(&[spec("a", "after = [\"late\"]"), late("")]).is_ok(), "order alone waits for nobody");
    let milestone = spec("late", "start = \"when-up\"");
    assert!(refusal(&[milestone]).contains("must not be a milestone"));
}

#[test]
fn fields_that_make_no_sense_are_refused_by_name() {
    for (rest, field) in [
        ("ready = { by = \"descriptor\", number = 1 }", "ready"),
        ("ready = { by = \"probe\", ask = [] }", "ready"),
        ("ready = { by = \"exit\" }\n[liveness]\nask = [\"tcp\", \"1\"]", "liveness"),
        ("[restart]\nattempts = 3", "restart"),
        ("[sandbox]\nprivileged = true\nprivate-tmp = false", "sandbox"),
        ("[sandbox]\nsystem-calls = [\"clock\"]\ncapabilities = [\"sys-admin\"]", "sandbox"),
        ("limits = { io-max = {} }", "limits"),
        ("before-start = [[\"relative\"]]", "before-start"),
        ("environment = { \"A=B\" = \"c\" }", "environment"),
        ("requires = [{ service = \"b\", within = \"3s\" }]", "within"),
    ] {
        let error = refusal(&[spec("a", rest), spec("b", "")]);
        assert!(error.starts_with("service a: ") && error.contains(field), "{rest}: {error}");
    }
    assert!(
        refusal(&[spec("a", "requires = [\"b\"]\nwants = [\"b\"]"), spec("b", "")]).contains("more than one")
    );
}

#[test]
fn a_spec_says_little_and_means_the_defaults() {
    let table =
        layout(&[spec("a", ""), spec("b", "class = \"critical\"\nstart-timeout = \"none\"")]).unwrap();
    let (a, b) = (&table.units[0], &table.units[1]);
    assert_eq!((a.pause, a.longest_pause), (Span::from_millis(250), Span::from_secs(300)));
    assert_eq!((a.start_timeout, b.start_timeout), (Some(Span::from_secs(90)), None));
    assert_eq!(b.longest_pause, Span::from_secs(60));
    assert_eq!(a.permanent_exits, [125]);
    assert!(!a.sandbox.new_privileges && a.sandbox.capabilities.is_empty() && a.sandbox.private_tmp);
}

#[test]
fn nobody_makes_processes_without_end_but_who_makes_them_for_others() {
    let of = |rest: &str| layout(&[spec("a", rest)]).unwrap().units[0].limits.pids_max;
    assert_eq!(of(""), Some(4096));
    assert_eq!(of("limits = { pids-max = 8 }"), Some(8));
    assert_eq!(of("sandbox = { privileged = true }"), None);
}

#[test]
fn what_is_written_is_read_again_and_another_version_is_refused() {
    let rest = "requires = [{ service = \"b\", on-loss = \"restart\" }]\n[limits]\nio-max = { write-mib = 50 }\n[sandbox]\ncapabilities = [\"net-admin\"]";
    let table =
        layout(&[spec("a", rest), spec("b", "ready = { by = \"probe\", ask = [\"tcp\", \"1\"] }")]).unwrap();
    let bytes = table.encode().unwrap();
    assert_eq!(Table::decode(&bytes).unwrap(), table);
    assert_eq!(Table::decode(&[9, 0]), Err(TableError::Version(9)));
    assert!(matches!(Table::decode(&bytes[..bytes.len() - 1]), Err(TableError::Encoding(_))));
    assert!(matches!(Table::decode(&[]), Err(TableError::Encoding(_))));
}

#[test]
fn a_spec_survives_its_own_text() {
    let original = spec("a", "wants = [\"b\", { service = \"c\", on-loss = \"stop\", within = \"3s\" }]");
    let text = toml::to_string(&original).unwrap();
    assert_eq!(toml::from_str::<ServiceSpec>(&text).unwrap(), original, "{text}");
}

#[test]
fn an_unknown_field_is_refused_wherever_it_is() {
    for rest in [
        "often = true",
        "ready = { by = \"exit\", often = true }",
        "[sandbox]\nroot = true",
        "[limits]\nram = 3",
        "[limits]\nio-max = { reads = 0 }",
        "[sandbox]\nsystem-calls = [\"all\"]",
    ] {
        let text = format!("name = \"a\"\ndescription = \"x\"\nexec = [\"/bin/x\"]\n{rest}");
        assert!(toml::from_str::<ServiceSpec>(&text).is_err(), "{rest}");
    }
}

#[test]
fn a_table_or_an_overlay_with_bytes_behind_it_is_not_read() {
    let mut table = layout(&[spec("a", "")]).unwrap().encode().unwrap();
    table.push(0);
    assert_eq!(Table::decode(&table), Err(TableError::Rest(1)));
    let mut overlay = Overlay { arguments: vec!["--x".to_owned()], environment: vec![] }.encode().unwrap();
    overlay.extend([1, 2]);
    assert_eq!(Overlay::decode(&overlay), Err(TableError::Rest(2)));
}

#[test]
fn a_table_in_which_needs_do_not_come_first_is_not_read() {
    let table = layout(&[spec("a", ""), spec("b", "requires = [\"a\"]")]).unwrap();
    let with = |change: fn(&mut Table)| {
        let mut table = table.clone();
        change(&mut table);
        Table::decode(&table.encode().unwrap())
    };
    assert_eq!(with(|_| {}).as_ref(), Ok(&table));
    let order = Err(TableError::Order("b".parse().unwrap()));
    assert_eq!(with(|table| table.units[1].edges[0].to = Place(1)), order);
    assert_eq!(with(|table| table.units[1].edges[0].to = Place(7)), order);
    let twice = Err(TableError::Duplicate("a".parse().unwrap()));
    assert_eq!(with(|table| table.units[1].name = table.units[0].name.clone()), twice);
}

#[test]
fn nobodys_directory_is_anothers_or_lies_in_one() {
    let with = |name, path: &str| spec(name, &format!("directories = {{ {path:?} = \"private\" }}"));
    assert!(layout(&[with("a", "/var/lib/a"), with("b", "/var/lib/ab")]).is_ok());
    assert_eq!(
        refusal(&[with("a", "/var/lib/a"), with("b", "/var/lib/a/b")]),
        "service b has the directory /var/lib/a/b, which is a's or lies in one of a's"
    );
    assert!(refusal(&[with("a", "/run/x"), with("b", "/run/x")]).contains("/run/x"));
    for wrong in ["/etc/a", "/run", "/run/", "/run//a", "/run/../etc", "run/a", "/var/./a"] {
        assert!(refusal(&[with("a", wrong)]).starts_with("service a: directories: "), "{wrong}");
    }
}

#[test]
fn a_group_is_no_users_number_and_has_one_name() {
    let numbers: std::collections::BTreeSet<u32> = Group::ALL.iter().map(|group| group.number()).collect();
    assert_eq!(numbers.len(), Group::ALL.len());
    for group in Group::ALL {
        let named = spec("a", &format!("user = 901\ngroups = [{:?}]", group.name()));
        assert_eq!(layout(&[named]).unwrap().units[0].groups, [*group]);
        assert!(refusal(&[spec("a", &format!("user = {}", group.number()))]).contains("user"));
    }
    assert!(refusal(&[spec("a", "user = 0")]).contains("root's number"));
}
