#![expect(clippy::format_push_string, reason = "texts of a generator")]

use proptest::prelude::*;

use super::exercise::edit_keeps_meaning;
use super::*;
use crate::config::draft::NicDraft;

const SHIPPED: &str = include_str!("../../../config/reservations.toml");

fn host(name: &str) -> Entry {
    Entry::Host(name.parse().unwrap())
}

fn draft(name: &str, group: &str) -> HostDraft {
    let mut draft = HostDraft::new(name.parse().unwrap());
    draft.macs = vec!["52:54:00:00:00:09".parse().unwrap()];
    draft.ip = Some("10.99.0.19".parse().unwrap());
    draft.group = (!group.is_empty()).then(|| group.parse().unwrap());
    draft
}

/// Makes an edit and gives the lines that went (`-`) and came (`+`), with their neighbours left out.
fn changes(text: &str, edit: impl FnOnce(&mut Document) -> Result<(), EditError>) -> String {
    let mut document = Document::parse(text).unwrap();
    edit(&mut document).unwrap();
    let after = document.text().unwrap();
    let diff = similar::TextDiff::from_lines(text, after);
    let mut shown = String::new();
    for change in diff.iter_all_changes() {
        let sign = match change.tag() {
            similar::ChangeTag::Equal => continue,
            similar::ChangeTag::Delete => '-',
            similar::ChangeTag::Insert => '+',
        };
        shown.push(sign);
        shown.push_str(change.value());
    }
    shown
}

fn after(text: &str, edit: impl FnOnce(&mut Document) -> Result<(), EditError>) -> String {
    let mut document = Document::parse(text).unwrap();
    edit(&mut document).unwrap();
    document.text().unwrap().to_owned()
}

fn set<'a>(
    name: &'a str,
    key: &'a str,
    text: &'a str,
) -> impl FnOnce(&mut Document) -> Result<(), EditError> + 'a {
    move |document| {
        let key = Key::parse(key)?;
        let parts: Vec<&str> = key.parts().collect();
        document.set(&host(name), &key, &typed(&parts, text))
    }
}

#[test]
fn a_value_is_replaced_in_its_place() {
    assert_eq!(
        changes(SHIPPED, set("web01", "ip", "10.99.0.31")),
        "-ip    = \"10.99.0.11\"\n+ip    = \"10.99.0.31\"\n"
    );
    assert_eq!(
        changes(SHIPPED, set("web01", "vars.disk", "/dev/sda")),
        "-disk = \"/dev/vda\"\n+disk = \"/dev/sda\"\n"
    );
    // What it is already is not written anew, whatever its spelling.
    assert_eq!(
        changes(
            "[hosts.a]\nip = '10.0.0.1' # x\n",
            set("a", "ip", "10.0.0.1")
        ),
        ""
    );
    assert_eq!(
        changes("[hosts.a]\nnotes = 'b' # x\n", set("a", "notes", "c")),
        "-notes = 'b' # x\n+notes = 'c' # x\n"
    );
}

#[test]
fn a_new_key_stands_where_such_keys_stand_and_in_their_column() {
    assert_eq!(
        changes(SHIPPED, set("web01", "arch", "x86_64")),
        "+arch  = \"x86_64\"\n"
    );
    let text = after(SHIPPED, set("web01", "arch", "x86_64"));
    assert!(
        text.contains("group = \"web\"\narch  = \"x86_64\"\n[hosts.web01.vars]"),
        "{text}"
    );
    // One that is longer than the column moves the others along.
    assert_eq!(
        changes(SHIPPED, set("web02", "profile", "live")),
        "-mac   = \"52:54:00:47:86:8f\"\n-ip    = \"10.99.0.12\"\n-arch  = \"x86_64\"\n-group = \"web\"\n\
         +mac     = \"52:54:00:47:86:8f\"\n+ip      = \"10.99.0.12\"\n+arch    = \"x86_64\"\n+group   = \"web\"\n\
         +profile = \"live\"\n"
    );
    assert_eq!(
        changes(
            "[hosts.a]\nmac = \"x\"\nip = \"y\"\n",
            set("a", "group", "web")
        ),
        "+group = \"web\"\n"
    );
    assert_eq!(
        changes("[hosts.a]\nmac=\"x\"", set("a", "ip", "y")),
        "-mac=\"x\"+mac=\"x\"\n+ip=\"y\""
    );
}

#[test]
fn the_first_variable_makes_the_table_that_others_have() {
    assert_eq!(
        changes(SHIPPED, set("web02", "vars.disk", "/dev/sda")),
        "+[hosts.web02.vars]\n+disk = \"/dev/sda\"\n"
    );
    let dotted = "[hosts.a]\nip = \"x\"\nvars.disk = \"a\"\n\n[hosts.b]\nip = \"y\"\n";
    assert_eq!(changes(dotted, set("b", "vars.n", "1")), "+vars.n = 1\n");
    let inline = "[hosts.a]\nip = \"x\"\nvars = { disk = \"a\" }\n\n[hosts.b]\nip = \"y\"\n";
    assert_eq!(
        changes(inline, set("b", "vars.n", "1")),
        "+vars = { n = 1 }\n"
    );
    assert_eq!(
        changes(inline, set("a", "vars.n", "1")),
        "-vars = { disk = \"a\" }\n+vars = { disk = \"a\", n = 1 }\n"
    );
}

#[test]
fn a_new_host_stands_behind_the_last_of_its_group() {
    let text = after(SHIPPED, |document| {
        document.add_host(&draft("web09", "web"))
    });
    assert!(text.starts_with(SHIPPED), "{text}");
    assert_eq!(
        &text[SHIPPED.len()..],
        "\n[hosts.web09]\nmac   = \"52:54:00:00:00:09\"\nip    = \"10.99.0.19\"\ngroup = \"web\"\n"
    );
    let grouped = "[hosts.a]\ngroup = \"x\"\n# of a\n\n# Of b.\n[hosts.b]\ngroup = \"y\"\n";
    assert_eq!(
        after(grouped, |document| document.add_host(&draft("c", "x"))),
        "[hosts.a]\ngroup = \"x\"\n# of a\n\n[hosts.c]\nmac = \"52:54:00:00:00:09\"\nip = \"10.99.0.19\"\ngroup = \"x\"\n\n\
         # Of b.\n[hosts.b]\ngroup = \"y\"\n"
    );
}

#[test]
fn a_new_host_takes_the_form_of_its_neighbour() {
    let mut new = draft("c", "");
    new.vars.insert("disk".to_owned(), "x".into());
    new.nics.push(NicDraft {
        ip: Some("10.98.0.1".parse().unwrap()),
        name: Some("storage".to_owned()),
        ..NicDraft::default()
    });
    let nic = "{ ip = \"10.98.0.1\", name = \"storage\" }";
    for (text, expected) in [
        (
            "",
            "[hosts.c]\nmac = \"52:54:00:00:00:09\"\nip = \"10.99.0.19\"\n[hosts.c.vars]\ndisk = \"x\"\n\n[[hosts.c.nic]]\nip = \"10.98.0.1\"\nname = \"storage\"\n".to_owned(),
        ),
        (
            "[hosts]\na = { ip = \"1\" } # the first\nb.ip = \"2\" # the second\n\n[other]\n",
            "[hosts]\na = { ip = \"1\" } # the first\nb.ip = \"2\" # the second\n\
             c.mac = \"52:54:00:00:00:09\"\nc.ip = \"10.99.0.19\"\nc.vars.disk = \"x\"\nc.nic = ["
                .to_owned()
                + nic
                + "]\n\n[other]\n",
        ),
        (
            "[hosts]\nb.ip   = \"2\"\nlong = { ip = \"1\" }\n",
            "[hosts]\nb.ip   = \"2\"\nlong = { ip = \"1\" }\n\
             c = { mac = \"52:54:00:00:00:09\", ip = \"10.99.0.19\", vars = { disk = \"x\" }, nic = ["
                .to_owned()
                + nic
                + "] }\n",
        ),
        (
            "hosts = { a = { ip = \"1\" } }",
            "hosts = { a = { ip = \"1\" }, c = { mac = \"52:54:00:00:00:09\", ip = \"10.99.0.19\", vars = { disk = \"x\" }, nic = ["
                .to_owned()
                + nic
                + "] } }",
        ),
        (
            "\u{feff}hosts.a = { ip = \"1\" }\r\n[groups.x]\r\n",
            "\u{feff}hosts.a = { ip = \"1\" }\r\nhosts.c = { mac = \"52:54:00:00:00:09\", ip = \"10.99.0.19\", vars = { disk = \"x\" }, nic = ["
                .to_owned()
                + nic
                + "] }\r\n[groups.x]\r\n",
        ),
    ] {
        assert_eq!(after(text, |document| document.add_host(&new)), expected, "{text}");
    }
}

#[test]
fn line_ends_and_indents_are_the_files_own() {
    let text =
        "  [hosts.a]\r\n  ip   = \"1\"\r\n  mac  = \"2\"\r\n\r\n\r\n  [hosts.b]\r\n  ip   = \"3\"";
    assert_eq!(
        after(text, |document| document.add_host(&draft("c", ""))),
        format!(
            "{text}\r\n\r\n\r\n  [hosts.c]\r\n  mac = \"52:54:00:00:00:09\"\r\n  ip  = \"10.99.0.19\""
        )
    );
}

#[test]
fn a_new_group_stands_with_the_groups_or_before_the_hosts() {
    let db = GroupDraft::new("db".parse().unwrap());
    assert_eq!(
        after(SHIPPED, |document| document.add_group(&db)),
        SHIPPED.replace(
            "# A virtual machine with BIOS",
            "[groups.db]\n\n# A virtual machine with BIOS"
        )
    );
    let hosts = "# All of ours.\n\n# The first.\n[hosts.a]\nip = \"1\"\n";
    assert_eq!(
        after(hosts, |document| document.add_group(&db)),
        "# All of ours.\n\n[groups.db]\n\n# The first.\n[hosts.a]\nip = \"1\"\n"
    );
    let defaults = "[defaults]\nprofile = \"x\"\n\n[hosts.a]\nip = \"1\"\n";
    assert_eq!(
        after(defaults, |document| document.add_group(&db)),
        "[defaults]\nprofile = \"x\"\n\n[groups.db]\n\n[hosts.a]\nip = \"1\"\n"
    );
}

#[test]
fn thousands_are_added_in_one_pass_and_in_order() {
    let text = after(
        "# Ours.\n[hosts.z]\nip = \"1\"\ngroup = \"g\"\n\n[hosts.y]\n",
        |document| {
            for count in 0..2_000 {
                let group = if count % 2 == 0 { "g" } else { "" };
                document.add_host(&draft(&format!("h{count}"), group))?;
            }
            Ok(())
        },
    );
    let order: Vec<HostName> = Document::parse(text.as_str()).unwrap().hosts().unwrap();
    let wanted: Vec<String> = ["z".to_owned()]
        .into_iter()
        .chain((0..2_000).step_by(2).map(|count| format!("h{count}")))
        .chain(["y".to_owned()])
        .chain((1..2_000).step_by(2).map(|count| format!("h{count}")))
        .collect();
    assert_eq!(
        order.iter().map(ToString::to_string).collect::<Vec<_>>(),
        wanted
    );
    assert!(toml::from_str::<toml::Table>(&text).is_ok());
}

#[test]
fn a_host_goes_with_its_comments_and_no_others() {
    let text = "# Ours.\n\n# Rack 1.\n\n# The first.\n# It is old.\n[hosts.a]\n# its address\nip = \"1\" # one\n# mac = \"2\"\n\n\
        [hosts.a.vars]\nx = 1\n# The second.\n[hosts.b]\nip = \"3\"\n\n# The end.\n";
    assert_eq!(
        after(text, |document| document.remove(&[host("a")])),
        "# Ours.\n\n# Rack 1.\n\n# The second.\n[hosts.b]\nip = \"3\"\n\n# The end.\n"
    );
    assert_eq!(
        after(text, |document| document.remove(&[host("b")])),
        text.replace("# The second.\n[hosts.b]\nip = \"3\"\n", "")
    );
    // Spread over the file, and in other forms.
    let text = "[hosts.a.vars]\nx = 1\n\n[hosts.b]\nip = \"3\"\n\n[hosts.a]\nip = \"1\"\n";
    assert_eq!(
        after(text, |document| document.remove(&[host("a")])),
        "[hosts.b]\nip = \"3\"\n"
    );
    let text =
        "[hosts]\n# one\na = { ip = \"1\" }\nb.ip = \"2\"\nb.mac = \"3\" # b\n# c\nc = { }\n";
    assert_eq!(
        after(text, |document| document.remove(&[host("a")])),
        "[hosts]\nb.ip = \"2\"\nb.mac = \"3\" # b\n# c\nc = { }\n"
    );
    assert_eq!(
        after(text, |document| document.remove(&[host("b")])),
        "[hosts]\n# one\na = { ip = \"1\" }\n# c\nc = { }\n"
    );
    let text = "hosts = { a = { ip = \"1\" }, b = { ip = \"2\" } }\n";
    assert_eq!(
        after(text, |document| document.remove(&[host("a")])),
        "hosts = { b = { ip = \"2\" } }\n"
    );
    assert_eq!(
        after(text, |document| document.remove(&[host("b")])),
        "hosts = { a = { ip = \"1\" } }\n"
    );
    let dotted = "hosts = { a = { ip = \"1\" }, b.mac = \"2\", b.ip = \"3\" }\n";
    assert_eq!(
        after(dotted, |document| document.remove(&[host("b")])),
        "hosts = { a = { ip = \"1\" } }\n"
    );
}

#[test]
fn a_table_is_merged_key_by_key_and_a_list_of_tables_stays() {
    let mut new = draft("a", "");
    new.vars = "vm = { domain = \"x\", vcpus = 4 }".parse().unwrap();
    new.options = "26 = { u16 = 1500 }".parse().unwrap();
    for (text, wanted) in [
        (
            "[hosts.a]\nvars = { vm = { domain = \"x\", mine = 1, vcpus = 2 } }\n[[hosts.a.options]]\ncode = 26\nu16 = 9000\n",
            "vm = { domain = \"x\", mine = 1, vcpus = 2 }",
        ),
        (
            "[hosts.a.vars.vm]\nmine = 1\nvcpus = 2\n[[hosts.a.options]]\ncode = 26\nu16 = 9000\n",
            "mine = 1\nvcpus = 2\ndomain = \"x\"\n",
        ),
    ] {
        let mut document = Document::parse(text).unwrap();
        let merged = document.merge_host(&new, |_| false).unwrap();
        let kept: Vec<(&str, bool)> = merged
            .kept
            .iter()
            .map(|kept| (kept.key.as_str(), kept.is_value))
            .collect();
        assert_eq!(kept, [("options", false), ("vars.vm.vcpus", true)]);
        let after = document.text().unwrap();
        assert!(after.contains(wanted), "{after}");
    }
}

#[test]
fn a_hardware_address_is_replaced_in_any_form() {
    let (old, new) = ("52:54:00:00:00:01", "52:54:00:00:00:09");
    for text in [
        "[hosts.a]\nmac = \"5254.0000.0001\" # one\nserial = \"52:54:00:00:00:01\"\n",
        "[hosts.a]\nmac = [\"52:54:00:00:00:02\", \"5254.0000.0001\"]\n",
        "[hosts.a]\n[[hosts.a.nic]]\nip = \"1\"\n[[hosts.a.nic]]\nmac = '5254.0000.0001'\n[hosts.b]\nmac = \"52:54:00:00:00:01\"\n",
        "[hosts]\na.nic = [{ mac = \"52:54:00:00:00:03\" }, { mac = [\"5254.0000.0001\"] }]\n",
        "hosts = { b = { mac = \"52:54:00:00:00:01\" }, a = { mac = \"5254.0000.0001\" } }\n",
    ] {
        let replaced = after(text, |document| {
            let found =
                document.replace_mac(&host("a"), old.parse().unwrap(), new.parse().unwrap());
            assert!(found?, "{text}");
            Ok(())
        });
        assert_eq!(replaced, text.replace("5254.0000.0001", new));
    }
    // Whatever else has such a value is no network card's.
    for text in [
        "[hosts.a]\nserial = \"52:54:00:00:00:01\"\n",
        "[hosts.a.vars]\nmac = \"52:54:00:00:00:01\"\n",
        "[hosts.a]\nvars.nic.mac = \"52:54:00:00:00:01\"\nnic = [{ vars.mac = \"52:54:00:00:00:01\" }]\n",
        "[[hosts.a.vars.ports]]\nmac = [\"52:54:00:00:00:01\"]\n",
        "hosts = { a = { vars = { mac = \"52:54:00:00:00:01\" } }, b.mac = \"52:54:00:00:00:01\" }\n",
    ] {
        let mut document = Document::parse(text).unwrap();
        let found = document.replace_mac(&host("a"), old.parse().unwrap(), new.parse().unwrap());
        assert_eq!((found, document.text().unwrap()), (Ok(false), text));
    }
    let text = "[hosts.a]\nmac = \"5254.0000.0001\"\n[hosts.a.vars]\nmac = \"52:54:00:00:00:01\"\n";
    let replaced = after(text, |document| {
        document
            .replace_mac(&host("a"), old.parse().unwrap(), new.parse().unwrap())
            .map(|_| ())
    });
    assert_eq!(replaced, text.replace("5254.0000.0001", new));
}

#[test]
fn several_hosts_go_as_one_after_the_other() {
    for text in [
        "# Ours.\n\n[hosts.a]\nip = \"1\"\n\n[hosts.a.vars]\nx = 1\n\n# b\n[hosts.b]\nip = \"2\"\n\n\n[hosts.c]\nip = \"3\"\n# end\n",
        "[hosts.b]\n[hosts.a]\n\n[hosts.c]\n",
        "[hosts]\n# one\na = { ip = \"1\" }\nb.ip = \"2\"\n# between\n\nb.mac = \"3\" # b\n# c\nc = { }\n",
        "[hosts.a]\n[hosts.x]\n# of b\n[hosts.b]\n\n[hosts.a.vars]\nx = 1\n[[hosts.c.nic]]\n[[hosts.b.nic]]",
        "hosts = { a = { ip = \"1\" }, b.ip = \"2\", b.mac = \"3\", x = {}, c = { } }\n",
        "hosts = { b = { }, c.x = 1, a = { } }\n",
        "hosts = { a = { ip = \"1\" }, c = { }, b.mac = \"2\", b.ip = \"3\" }\n",
        "hosts = { c = { }, a.x = 1, a.y = 2, b.mac = \"2\", b.ip = \"3\", b.x = 1 }\n",
        "hosts = {\n  c = { },\n  a.x = 1, a.y = 2, # of a\n  b.mac = \"2\",\n  # of b\n  b.ip = \"3\"\n}\n",
    ] {
        for gone in [vec!["a", "b"], vec!["c", "a"], vec!["b", "c", "a"]] {
            let gone: Vec<Entry> = gone.into_iter().map(host).collect();
            let together = after(text, |document| document.remove(&gone));
            let alone = after(text, |document| {
                gone.iter()
                    .try_for_each(|entry| document.remove(std::slice::from_ref(entry)))
            });
            // Of blank lines at most fewer are left.
            let lines = |text: &str| -> Vec<String> {
                let lines = text.lines().filter(|line| !line.is_empty());
                lines.map(str::to_owned).collect()
            };
            assert_eq!(lines(&together), lines(&alone), "{text} {gone:?}");
            assert!(together.len() <= alone.len(), "{text} {gone:?}");
        }
        // All or none.
        let mut document = Document::parse(text).unwrap();
        assert!(document.remove(&[host("a"), host("nobody")]).is_err());
        assert_eq!(document.text().unwrap(), text);
    }
}

#[test]
fn what_was_added_is_removed_without_a_trace() {
    for text in [
        SHIPPED,
        "[hosts.a]\nip = \"1\"\n",
        "[hosts]\na = { }\n",
        "hosts = { a = { } }\n",
    ] {
        for group in ["", "web"] {
            assert_eq!(
                after(text, |document| {
                    document.add_host(&draft("web09", group))?;
                    document.remove(&[host("web09")])
                }),
                text
            );
        }
    }
}

#[test]
fn lists_are_changed_element_by_element() {
    let text = "[hosts.a]\nmac = \"52:54:00:00:00:01\"\n[hosts.a.vars]\nkeys = [\n    \"one\", # 1\n    # between\n    \"two\"  # 2\n]\nshort = [1, 2,]\nnone = []\n";
    let key = |key: &str| Key::parse(key).unwrap();
    let push = |name: &'static str, element: &'static str| {
        move |document: &mut Document| document.push(&host("a"), &key(name), &element.into())
    };
    let pull = |name: &'static str, element: Value| {
        move |document: &mut Document| document.pull(&host("a"), &key(name), &element)
    };
    assert_eq!(
        changes(text, push("vars.keys", "three")),
        "-    \"two\"  # 2\n+    \"two\",  # 2\n+    \"three\"\n"
    );
    assert_eq!(changes(text, push("vars.keys", "one")), "");
    assert_eq!(
        changes(text, pull("vars.keys", "one".into())),
        "-    \"one\", # 1\n"
    );
    assert_eq!(
        changes(text, pull("vars.keys", "two".into())),
        "-    \"two\"  # 2\n"
    );
    assert_eq!(
        changes(text, push("vars.short", "3")),
        "-short = [1, 2,]\n+short = [1, 2, \"3\",]\n"
    );
    assert_eq!(
        changes(text, pull("vars.short", 1.into())),
        "-short = [1, 2,]\n+short = [2,]\n"
    );
    assert_eq!(
        changes(text, push("vars.none", "3")),
        "-none = []\n+none = [\"3\"]\n"
    );
    assert_eq!(
        changes(text, push("vars.more", "3")),
        "+more = [\"...\", \"3\"]\n"
    );
    assert_eq!(
        changes(text, push("mac", "52:54:00:00:00:02")),
        "-mac = \"52:54:00:00:00:01\"\n+mac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]\n"
    );
    assert_eq!(
        changes(text, pull("mac", "52-54-00-00-00-01".into())),
        "-mac = \"52:54:00:00:00:01\"\n"
    );
}

#[test]
fn keys_are_taken_away() {
    let text = "[hosts.a]\n# kept\nip = \"1\" # gone\nvars.x = 1\nvars.y = 2\nafter = { host = \"b\", event = \"up\" }\n\n[hosts.b]\n[hosts.b.vars]\nx = 1\n\n[hosts.c]\n";
    let unset = |name: &'static str, key: &'static str| {
        move |document: &mut Document| document.unset(&host(name), &Key::parse(key)?)
    };
    assert_eq!(changes(text, unset("a", "ip")), "-ip = \"1\" # gone\n");
    assert_eq!(
        changes(text, unset("a", "vars")),
        "-vars.x = 1\n-vars.y = 2\n"
    );
    assert_eq!(
        changes(text, unset("a", "after.host")),
        "-after = { host = \"b\", event = \"up\" }\n+after = { event = \"up\" }\n"
    );
    assert_eq!(
        changes(text, unset("b", "vars")),
        "-[hosts.b.vars]\n-x = 1\n"
    );
}

#[test]
fn a_host_is_given_what_it_lacks() {
    let mut new = draft("web01", "db");
    new.profile = Some("debian-12".parse().unwrap());
    new.vars.insert("disk".to_owned(), "/dev/sda".into());
    new.vars.insert("tier".to_owned(), 2.into());
    let mut document = Document::parse(SHIPPED).unwrap();
    let merged = document.merge_host(&new, |_| false).unwrap();
    assert_eq!(merged.added, ["profile", "vars.tier"]);
    let kept: Vec<&str> = merged.kept.iter().map(|kept| kept.key.as_str()).collect();
    assert_eq!(kept, ["mac", "ip", "group", "vars.disk"]);
    assert_eq!(merged.kept[3].written, "\"/dev/vda\"");
    let text = document.text().unwrap().to_owned();
    assert!(text.contains("mac     = \"52:54:00:47:86:8e\"\nip      = \"10.99.0.11\"\ngroup   = \"web\"\nprofile = \"debian-12\"\n[hosts.web01.vars]\ndisk = \"/dev/vda\"\ntier = 2\n"), "{text}");
    // Once more changes nothing.
    let merged = document.merge_host(&new, |_| false).unwrap();
    assert!(merged.added.is_empty());
    assert_eq!(document.text().unwrap(), text);
}

#[test]
fn what_differs_is_replaced_where_that_is_asked_for() {
    let mut new = draft("a", "");
    new.serial = Some("S1".to_owned());
    new.notes = Some("theirs".to_owned());
    new.vars.insert("disk".to_owned(), "/dev/sda".into());
    for (text, wanted) in [
        (
            "[hosts.a]\nmac = '52:54:00:00:00:01' # one\nip = \"1\"\nnotes = \"ours\"\n[hosts.a.vars]\ndisk = \"d\"\nx = 1\n",
            "[hosts.a]\nmac = '52:54:00:00:00:09' # one\nip = \"10.99.0.19\"\nserial = \"S1\"\nnotes = \"ours\"\n[hosts.a.vars]\ndisk = \"/dev/sda\"\nx = 1\n",
        ),
        (
            "[hosts]\na = { mac = \"5254.0000.0009\", ip = \"1\", notes = \"ours\", vars.disk = \"d\" } # a\n",
            "[hosts]\na = { mac = \"5254.0000.0009\", ip = \"10.99.0.19\", notes = \"ours\", vars.disk = \"/dev/sda\", serial = \"S1\" } # a\n",
        ),
        (
            "[hosts]\na.mac = [\"52:54:00:00:00:01\"]\na.notes = \"ours\"\na.vars = { disk = \"d\" }\n",
            "[hosts]\na.mac = \"52:54:00:00:00:09\"\na.notes = \"ours\"\na.vars = { disk = \"/dev/sda\" }\na.ip = \"10.99.0.19\"\na.serial = \"S1\"\n",
        ),
    ] {
        let mut document = Document::parse(text).unwrap();
        let merged = document
            .merge_host(&new, |kept| kept.key != "notes")
            .unwrap();
        assert!(merged.added.contains(&"serial".to_owned()), "{merged:?}");
        assert!(
            merged.replaced.contains(&"vars.disk".to_owned()),
            "{merged:?}"
        );
        let kept: Vec<&str> = merged.kept.iter().map(|kept| kept.key.as_str()).collect();
        assert_eq!(kept, ["notes"]);
        assert_eq!(document.text().unwrap(), wanted);
    }
}

#[test]
fn thousands_are_merged_in_one_pass() {
    let mut text = String::new();
    for count in 0..2_000 {
        text.push_str(&format!(
            "[hosts.h{count}]\nmac = \"52:54:00:00:00:01\"\nip = \"1\"\nserial = \"a\"\n"
        ));
    }
    let mut document = Document::parse(text.as_str()).unwrap();
    for count in 0..2_000 {
        let mut new = draft(&format!("h{count}"), "");
        new.serial = Some("b".to_owned());
        let merged = document.merge_host(&new, |_| true).unwrap();
        assert_eq!(merged.replaced, ["mac", "ip", "serial"]);
        // Each look at another text costs a reading of all of it.
        assert!(document.text == text, "{count}");
    }
    let wanted = text
        .replace("00:01", "00:09")
        .replace("\"1\"", "\"10.99.0.19\"")
        .replace("\"a\"", "\"b\"");
    assert!(document.text().unwrap() == wanted);
}

#[test]
fn a_default_is_read_in_any_form() {
    for text in [
        "[defaults]\ninstall = \"once\"\nprofile = \"p\" # usual\n[hosts.a]\nprofile = \"q\"\n",
        "[hosts.a]\nprofile = \"q\"\n[defaults]\nprofile = 'p'\n",
        "defaults.profile = \"p\"\n",
        "defaults = { vars = { profile = \"q\" }, profile = \"p\" }\n",
    ] {
        let document = Document::parse(text).unwrap();
        assert_eq!(
            document.default_value("profile"),
            Some("p".into()),
            "{text}"
        );
        assert_eq!(document.default_value("loader"), None, "{text}");
    }
}

#[test]
fn what_stands_against_an_edit_is_told_with_its_line() {
    let text = "[hosts.a]\nip = \"1\"\nip = \"2\"\nmac = \"3\"\n[hosts.a.vars]\nx = 1\n[[hosts.a.nic]]\nmac = \"4\"\n";
    let why = |edit: &dyn Fn(&mut Document) -> Result<(), EditError>| {
        let mut document = Document::parse(text).unwrap();
        let error = edit(&mut document).unwrap_err().to_string();
        assert_eq!(document.text().unwrap(), text);
        error
    };
    assert_eq!(
        why(&|document| set("a", "ip", "5")(document)),
        "`ip` of [hosts.a] is written twice, the second time in line 3: keep one of the two"
    );
    assert!(why(&|document| set("a", "vars", "5")(document)).contains("is a table, in line 5"));
    assert!(why(&|document| set("a", "mac.x", "5")(document)).contains("is no table, in line 4"));
    assert!(why(&|document| set("a", "nic.mac", "5")(document)).contains("edit line 7 by hand"));
    assert!(why(&|document| set("b", "ip", "5")(document)).contains("there is no [hosts.b]"));
    assert!(
        why(&|document| document.add_host(&HostDraft::new("a".parse().unwrap())))
            .contains("already, in line 1")
    );
    assert!(
        why(&|document| document.unset(&host("a"), &Key::of(["uuid"]))).contains("has no `uuid`")
    );
    assert!(matches!(
        Document::parse("[hosts.a]\nip = \"1\"\nmac = \n"),
        Err(EditError::Syntax { line: 3, .. })
    ));
    for bad in ["", "a b", "größe", "a=", "a\nb", "[a]", "a..b"] {
        assert!(Key::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        Key::parse("vars.\"größe\"").unwrap(),
        Key::of(["vars", "größe"])
    );
}

#[test]
fn the_seeds_hold() {
    let seeds =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/edit_keeps_meaning");
    let mut count = 0;
    for entry in std::fs::read_dir(seeds).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let made = edit_keeps_meaning(&bytes).unwrap_or_else(|broken| panic!("{broken}"));
        assert!(made > 0);
        count += 1;
    }
    assert!(count >= 8);
}

/// A file in one of many styles, and edits of it, from numbers.
fn written(numbers: &[u8]) -> String {
    let mut at = 0;
    let mut next = |below: u8| {
        at += 1;
        numbers.get(at - 1).copied().unwrap_or(0) % below
    };
    let mut edits = String::new();
    let names = ["a", "b", "web01", "d", "E-5", "6"];
    for _ in 0..=next(6) {
        let name = names[usize::from(next(6))];
        let key = [
            "ip",
            "mac",
            "vars.disk",
            "vars.net.deep",
            "profile",
            "vars.list",
            "snippets",
            "local_boot",
            "after.host",
        ][usize::from(next(9))];
        let value = [
            "10.0.0.1",
            "[1, 2]",
            "\"q\\\"uote\"",
            "true",
            "{ x = 1 }",
            "long text # with a mark",
        ][usize::from(next(6))];
        edits.push_str(&match next(9) {
            0 | 1 => format!("set {name} {key} {value}"),
            2 => format!("unset {name} {key}"),
            3 => format!("push {name} {key} {value}"),
            4 => format!("pull {name} {key} {value}"),
            5 => format!("remove {name}"),
            6 => format!(
                "add {name} mac=52:54:00:00:00:09 ip=10.0.0.9 group=g{} disk=x nic=10.1.0.1",
                next(3)
            ),
            7 => format!(
                "{} {name} mac=52:54:00:00:00:09 ip=10.0.0.8 serial=5 disk=y new nic=10.1.0.2",
                ["merge", "update"][usize::from(next(2))]
            ),
            _ => format!("group g{} x", next(3)),
        });
        edits.push('\n');
    }
    let mut text = String::new();
    let comments = [
        "",
        "",
        "# about it\n",
        "  # two\n# lines\n",
        "# alone\n\n",
        "#\n",
    ];
    let blanks = ["\n", "\n", "", "\n\n"];
    let form = next(8);
    let aligned = next(2) == 0;
    let key = |key: &str| {
        if aligned {
            format!("{key:<7} =")
        } else {
            format!("{key} =")
        }
    };
    text.push_str(["", "# The file.\n\n", "\u{feff}", "# The file.\n"][usize::from(next(4))]);
    if form == 3 || form == 7 {
        text.push_str("[hosts]\n");
    } else if next(2) == 0 {
        text.push_str("[defaults]\nprofile = \"p\" # the usual\n\n");
        if next(2) == 0 {
            text.push_str("[groups.g0]\n\n[groups.g1.vars]\nx = 1\n\n");
        }
    }
    if form == 4 {
        text.clear();
        text.push_str("hosts = {");
    }
    let mut first = true;
    for name in names.iter().take(usize::from(next(6))) {
        let group = next(3);
        let form = if form == 5 { next(3) } else { form };
        match form {
            0..=2 => {
                text.push_str(comments[usize::from(next(6))]);
                text.push_str(&format!("[hosts.{name}]\n"));
                text.push_str(&format!(
                    "{} \"1\"{}\n",
                    key("ip"),
                    [" # ip", ""][usize::from(next(2))]
                ));
                text.push_str(comments[usize::from(next(6))]);
                text.push_str(&format!("{} \"g{group}\"\n", key("group")));
                match next(6) {
                    0 => text.push_str("vars.disk = \"d\"\nvars.list = [ 1, # one\n  2 ]\n"),
                    1 => text.push_str("vars = { disk = 'd', net = { deep = 1 }, list = [] }\n"),
                    2 => text.push_str(&format!("\n[hosts.{name}.vars]\ndisk = \"d\" # disk\n# more\nlist = [\n  1,\n  2, # two\n]\n")),
                    3 => text.push_str(&format!("[hosts.{name}.vars.net]\ndeep = 1\n\n[[hosts.{name}.nic]]\nip = \"10.1.0.1\"\n")),
                    _ => {}
                }
                text.push_str(comments[usize::from(next(6))]);
                text.push_str(blanks[usize::from(next(4))]);
            }
            6 => {
                text.push_str(comments[usize::from(next(6))]);
                text.push_str(&format!(
                    "[hosts.{name}.vars.net] # of {name}\ndeep = 1\n\n[[hosts.{name}.nic]]\nip = \"10.1.0.1\"\n\n"
                ));
            }
            7 => {
                text.push_str(comments[usize::from(next(6))]);
                let comma = [",", ""][usize::from(next(2))];
                text.push_str(&format!(
                    "{name} = {{\n  ip = \"1\", # ip\n  # its group\n  group = \"g{group}\"{comma} # of {name}\n}}\n"
                ));
            }
            3 => {
                text.push_str(comments[usize::from(next(6))]);
                if next(2) == 0 {
                    text.push_str(&format!(
                        "{name}.ip = \"1\"\n{name}.group = \"g{group}\" # of {name}\n"
                    ));
                } else {
                    text.push_str(&format!(
                        "{name} = {{ ip = \"1\", group = \"g{group}\" }} # of {name}\n"
                    ));
                }
            }
            _ => {
                text.push_str(if first { " " } else { ", " });
                text.push_str(&match next(2) {
                    0 => format!("{name} = {{ ip = \"1\", vars.disk = \"d\" }}"),
                    _ => format!("{name}.ip = \"1\", {name}.vars.disk = \"d\""),
                });
                first = false;
            }
        }
    }
    if form == 4 {
        text.push_str(" }\n");
    }
    if next(3) == 0 {
        text.push_str("# The end.\n");
    }
    if next(3) == 0 {
        text = text.trim_end().to_owned();
    }
    if next(4) == 0 {
        text = text.replace('\n', "\r\n");
    }
    format!("{edits}----\n{text}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn edits_of_files_in_any_style_keep_their_meaning(numbers in proptest::collection::vec(any::<u8>(), 20..120)) {
        let all = written(&numbers);
        if let Err(broken) = edit_keeps_meaning(all.as_bytes()) {
            prop_assert!(false, "{all}\n~~~~\n{broken}");
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(\\[|\\]|hosts|a|\\.|=|\"|'|\\{|\\}|#|\n|\r\n| |,|1|ip){0,40}") {
        let all = format!("set a ip 1\nadd b x\nremove a\nunset a ip\n----\n{text}");
        if let Err(broken) = edit_keeps_meaning(all.as_bytes()) {
            prop_assert!(false, "{all}\n~~~~\n{broken}");
        }
    }
}

/// How many of the generated edits are made: a generator of edits that are all refused would prove nothing.
#[test]
fn most_generated_edits_are_made() {
    let mut random = 1_u64;
    let (mut made, mut asked) = (0, 0);
    for _ in 0..300 {
        let numbers: Vec<u8> = (0..100)
            .map(|_| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                u8::try_from(random >> 56).unwrap()
            })
            .collect();
        let all = written(&numbers);
        asked += all.split_once("----\n").unwrap().0.lines().count();
        made +=
            edit_keeps_meaning(all.as_bytes()).unwrap_or_else(|broken| panic!("{all}\n{broken}"));
    }
    assert!(made * 3 > asked, "{made} of {asked}");
}
