//! Declared variables and snippets: what is told of bad declarations, of values that do not fit, of what is
//! missing; what templates see; which layer gives what.
//!
//! The snapshots are read as a stranger would: see `mistakes.rs`.

use std::path::Path;

use bootwright::config::source::MemoryFiles;
use bootwright::config::{load, variables};

use crate::files::{GOOD_HOSTS, GOOD_PROFILE, HOSTS, MAIN, PROFILE, load_all, shown, with};

const COMMON: &str = "config/templates/variables.toml";
const FAMILY: &str = "config/templates/debian/variables.toml";
const SNIPPET: &str = "config/templates/snippets/salt-minion.sh.j2";
const ABOUT: &str = "config/templates/snippets/salt-minion.toml";

const GOOD_COMMON: &str = r#"[disk]
type = "text"
help = "the disk to install on"

[layout]
type    = "text"
default = "plain"
one_of  = ["plain", "lvm", "raid1"]

[root_size]
type = "size"

[packages]
type    = "list"
default = ["vim"]

[reboot]
type    = "bool"
default = true

[retries]
type = "integer"
"#;

const GOOD_FAMILY: &str = r#"[suite]
type     = "text"
required = true
help     = "the name of the release"
"#;

const GOOD_ABOUT: &str = r#"title    = "Salt minion"
families = ["debian", "redhat"]

[variables.salt_master]
type     = "text"
required = true
help     = "the name of the master"

[variables.salt_port]
type    = "integer"
default = 4506
"#;

/// A profile that declares its variables and has a value.
fn profile(vars: &str) -> String {
    GOOD_PROFILE.replace(
        "\n[boot]",
        &format!(
            "variables = [\"variables.toml\", \"debian/variables.toml\"]\n\n[vars]\n{vars}\n\n[boot]"
        ),
    )
}

fn files(hosts: &str) -> MemoryFiles {
    files_with(hosts, &[])
}

fn files_with(hosts: &str, more: &[(&str, &str)]) -> MemoryFiles {
    let profile = profile("suite = \"bookworm\"\npackages = [\"...\", \"htop\"]");
    let mut all = vec![
        (HOSTS, hosts),
        (PROFILE, &profile),
        (COMMON, GOOD_COMMON),
        (FAMILY, GOOD_FAMILY),
        (SNIPPET, "echo {{ vars.salt_master | shq }}\n"),
        (ABOUT, GOOD_ABOUT),
        ("config/templates/snippets/ssh-keys.sh.j2", ":\n"),
    ];
    all.extend_from_slice(more);
    with(&all)
}

fn host_with(more: &str) -> String {
    format!("{GOOD_HOSTS}{more}\n")
}

macro_rules! told {
    ($name:ident, $files:expr) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!(stringify!($name), shown(&$files));
        }
    };
}

told!(
    what_is_given_rightly_is_no_mistake,
    files(&host_with(
        "snippets = [\"ssh-keys\", \"salt-minion\"]\n[hosts.web01.vars]\ndisk = \"/dev/vda\"\nlayout = \"raid1\"\nroot_size = \"20GiB\"\npackages = \"nginx\"\nreboot = false\nretries = 3\nsalt_master = \"salt\""
    ))
);
told!(
    values_of_another_type,
    files(&host_with(
        "[hosts.web01.vars]\ndisk = 1\nroot_size = \"20\"\npackages = 3\nreboot = \"yes\"\nretries = \"3\"\nlayout = [\"lvm\"]"
    ))
);
told!(
    a_value_that_is_none_of_those,
    files(&host_with("[hosts.web01.vars]\nlayout = \"raid\""))
);
told!(
    a_bad_value_of_a_group_is_told_once,
    files(
        "[groups.web]\nprofile = \"debian-12\"\n[groups.web.vars]\nlayout = \"zfs\"\n\n[hosts.a]\nip = \"10.99.0.11\"\ngroup = \"web\"\n[hosts.b]\nip = \"10.99.0.12\"\ngroup = \"web\"\n[hosts.b.vars]\nretries = 1\n"
    )
);
told!(
    what_a_snippet_needs_is_missing,
    files(
        "[defaults]\nprofile = \"debian-12\"\n[groups.web]\nsnippets = [\"salt-minion\"]\n\n[hosts.a]\nip = \"10.99.0.11\"\ngroup = \"web\"\n[hosts.b]\nip = \"10.99.0.12\"\ngroup = \"web\"\n[hosts.b.vars]\nretries = 1\n[hosts.c]\nip = \"10.99.0.13\"\ngroup = \"web\"\n[hosts.c.vars]\nsalt_master = \"salt\"\n[hosts.d]\nip = \"10.99.0.14\"\n"
    )
);
told!(
    what_a_profile_needs_is_missing,
    files_with(GOOD_HOSTS, &[(PROFILE, &profile(""))])
);
told!(
    a_bad_value_of_the_profile_itself,
    files_with(GOOD_HOSTS, &[(PROFILE, &profile("suite = 12"))])
);
told!(
    a_variable_that_nothing_declares_and_nothing_reads,
    files(&host_with("[hosts.web01.vars]\nlayuot = \"lvm\"\nrack = 7"))
);
told!(
    unknown_and_misspelt_snippets,
    files(&host_with(
        "snippets = [\"salt-minoin\", \"graylog\", \"snippets/ssh-keys.sh.j2\"]\n[hosts.web01.vars]\nsalt_master = \"s\""
    ))
);
told!(
    a_snippet_of_another_family,
    files_with(
        &host_with("snippets = [\"salt-minion\"]\n[hosts.web01.vars]\nsalt_master = \"s\""),
        &[(
            PROFILE,
            &profile("suite = \"x\"").replace("family = \"debian\"", "family = \"alpine\"")
        )]
    )
);
told!(
    snippets_that_are_no_list,
    files(&host_with("snippets = \"ssh-keys\""))
);
told!(
    snippets_inherit_nothing,
    files(&format!(
        "[defaults]\nsnippets = [\"...\", \"ssh-keys\"]\n{GOOD_HOSTS}"
    ))
);
told!(
    bad_declarations,
    files_with(
        GOOD_HOSTS,
        &[(
            FAMILY,
            "suite = \"text\"\n[a]\nhelp = \"x\"\n[b]\ntype = \"string\"\n[c]\ntype = \"bool\"\ndefault = \"no\"\n[d]\ntype = \"text\"\nrequired = true\ndefault = \"x\"\n[e-f]\ntype = \"text\"\n[g]\ntype = \"text\"\nchoices = [\"a\"]\n[h]\ntype = \"text\"\none_of = [\"a\"]\ndefault = \"b\"\n"
        )]
    )
);
told!(
    a_file_of_variables_that_is_not_there,
    files_with(
        GOOD_HOSTS,
        &[(
            PROFILE,
            &profile("suite = \"x\"").replace("debian/variables", "debain/variables")
        )]
    )
);
told!(
    bad_descriptions_of_snippets,
    files_with(
        GOOD_HOSTS,
        &[
            (
                ABOUT,
                "titel = \"x\"\nfamilies = [\"debain\"]\n[variables.x]\ntype = \"list\"\ndefault = 1\n"
            ),
            ("config/templates/snippets/ssh-kyes.toml", "title = \"x\"\n"),
        ]
    )
);

#[test]
fn templates_see_defaults_the_profiles_values_and_the_hosts_over_one_another() {
    let files = files(
        "[defaults]\nprofile = \"debian-12\"\n[defaults.vars]\npackages = [\"...\", \"curl\"]\n[groups.web]\nsnippets = [\"ssh-keys\"]\n\
         [hosts.a]\nip = \"10.99.0.11\"\ngroup = \"web\"\nsnippets = [\"salt-minion\", \"...\", \"salt-minion\"]\n\
         [hosts.a.vars]\nsalt_master = \"salt\"\nroot_size = \"20GiB\"\npackages = [\"nginx\", \"...\"]\n\
         [hosts.b]\nip = \"10.99.0.12\"\n[hosts.b.vars]\npackages = \"nano\"\n",
    );
    let snapshot = load_all(&files).snapshot.unwrap();
    let seen = |name: &str| {
        let host = snapshot.host(&name.parse().unwrap()).unwrap();
        let profile = snapshot.profile(host.profile.as_ref().unwrap()).unwrap();
        (
            host.snippets.clone(),
            variables::effective(&snapshot, host, profile),
        )
    };
    let (snippets, vars) = seen("a");
    assert_eq!(snippets, ["salt-minion", "ssh-keys"]);
    let wanted: toml::Table = "layout = 'plain'\npackages = ['nginx', 'vim', 'htop', 'curl']\nreboot = true\nroot_size = 20480\nsalt_master = 'salt'\nsalt_port = 4506\nsuite = 'bookworm'\n"
        .parse()
        .unwrap();
    assert_eq!(vars, wanted);
    let (snippets, vars) = seen("b");
    assert!(snippets.is_empty());
    assert_eq!(vars["packages"], toml::Value::from(vec!["nano"]));
    assert!(
        !vars.contains_key("salt_port"),
        "it does not have the snippet"
    );
}

#[test]
fn files_of_declarations_are_no_templates() {
    let snapshot = load_all(&files(GOOD_HOSTS)).snapshot.unwrap();
    let mut names = snapshot.templates().keys();
    assert!(
        names.all(|name| !name.ends_with("toml")),
        "{:?}",
        snapshot.templates().keys()
    );
    assert_eq!(snapshot.snippets.len(), 2);
    assert_eq!(
        snapshot.snippets["salt-minion"].families,
        ["debian", "redhat"]
    );
}

#[test]
fn every_value_is_explained_by_the_layer_that_gives_it() {
    let files = files(
        r#"[defaults]
profile = "debian-12"
[defaults.vars]
packages = ["...", "curl"]
root_password_hash = "$6$secret"
proxy = { host = "p", port = 1 }

[groups.outer]
install = "never"
snippets = ["ssh-keys"]
[groups.outer.vars]
layout = "lvm"

[groups.web]
group = "outer"
[groups.web.vars]
proxy = { port = 2 }

[hosts.a]
ip = "10.99.0.11"
group = "web"
arch = "x86_64"
snippets = ["...", "salt-minion"]
options = [{ code = 26, u16 = 1500 }]
[hosts.a.vars]
packages = ["nginx", "..."]
layout = "raid1"
salt_master = "salt"
accounts = [{ name = "x", password_hash = "$6$deep" }]
"#,
    );
    let (explained, sources) =
        load::explain(&files, Path::new(MAIN), &"a".parse().unwrap(), None).unwrap();
    let mut text = String::new();
    for given in &explained.given {
        let origins: Vec<String> = std::iter::once(&given.from)
            .chain(&given.over)
            .map(|origin| {
                let span = origin.span.unwrap();
                let file = &sources.get(span.source).unwrap().path;
                let (line, _) = sources.line_column(span).unwrap();
                format!("{} {}:{line}", origin.layer, file.display())
            })
            .collect();
        text.push_str(&[&given.key, " = ", &given.value.to_string(), "\n    "].concat());
        text.push_str(&[&origins.join("\n    over "), "\n"].concat());
    }
    text.push_str(&["not given: ", &explained.not_given.join(", ")].concat());
    assert!(!text.contains("$6$"), "{text}");
    insta::assert_snapshot!("explained", text);

    // What is told is what templates see.
    let snapshot = load_all(&files).snapshot.unwrap();
    let host = snapshot.host(&"a".parse().unwrap()).unwrap();
    let profile = snapshot.profile(host.profile.as_ref().unwrap()).unwrap();
    let seen = variables::effective(&snapshot, host, profile);
    let told = |key: &str| {
        let found = explained.given.iter().find(|given| given.key == key);
        found.map(|given| given.value.clone())
    };
    for (name, value) in &seen {
        match value {
            toml::Value::Table(table) => {
                for (inner, value) in table {
                    assert_eq!(told(&format!("vars.{name}.{inner}")).as_ref(), Some(value));
                }
            }
            _ if name.contains("password") || name == "accounts" => {}
            value => assert_eq!(
                told(&format!("vars.{name}")).as_ref(),
                Some(value),
                "{name}"
            ),
        }
    }
    let nobody = "nobody".parse().unwrap();
    assert!(load::explain(&files, Path::new(MAIN), &nobody, None).is_none());
}
