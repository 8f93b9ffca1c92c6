//! Secrets in templates: written out for the machine itself, and shown nowhere else.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use bootwright::base::{Architecture, Token};
use bootwright::config::source::MemoryFiles;
use bootwright::config::{Severity, show};
use bootwright::render::load::{InForce, Loaded, load};
use bootwright::render::secrets::{MASK, missing_for};
use bootwright::render::{RenderError, View};
use proptest::prelude::*;

/// What every value of the secrets holds.
const VALUE: &str = "hunter2";

const SECRETS: &str = "root = \"hunter2-shared\"\nlong = '''hunter2\nhunter2'''\n\
     [luks]\nvalue = \"hunter2-once\"\nonce = true\n\
     [hosts.web02]\nroot = \"hunter2-own\"\n";

fn load_with(template: &str, secrets: Option<&str>, cmdline: &str) -> Loaded {
    let main = format!(
        "[server]\ninterfaces = [\"br0\"]\n{}[[subnet]]\nnetwork = \"10.99.0.0/24\"\n",
        secrets.map_or("", |_| "secrets = \"secrets.toml\"\n")
    );
    let profile = format!(
        "title = \"Tiny\"\nfamily = \"other\"\n[boot]\nkind = \"linux\"\nkernel = \"tiny/linux\"\n\
         cmdline = '{cmdline}'\n[[answers]]\nname = \"answers.txt\"\ntemplate = \"answers.txt.j2\"\n"
    );
    let hosts = "[defaults]\nprofile = \"tiny\"\n[hosts.web01]\nip = \"10.99.0.11\"\n[hosts.web02]\nip = \"10.99.0.12\"\n";
    let mut files: MemoryFiles = [
        ("c/bootwright.toml", main.as_str()),
        ("c/reservations.toml", hosts),
        ("c/profiles/tiny.toml", &profile),
        ("c/templates/answers.txt.j2", template),
    ]
    .into_iter()
    .collect();
    if let Some(secrets) = secrets {
        files.insert("c/secrets.toml", secrets);
    }
    load(&files, Path::new("c/bootwright.toml"), 1)
}

fn loaded(template: &str) -> Loaded {
    load_with(template, Some(SECRETS), "quiet")
}

fn in_force(template: &str) -> std::sync::Arc<InForce> {
    let loaded = loaded(template);
    loaded
        .config
        .unwrap_or_else(|| panic!("{template}: {:?}", loaded.problems))
}

fn with_view<T>(
    config: &InForce,
    host: &str,
    token: &Token,
    with: impl FnOnce(&View<'_>) -> T,
) -> T {
    let snapshot = &config.snapshot;
    let host = snapshot.host(&host.parse().unwrap()).unwrap();
    with(&View {
        snapshot,
        host,
        profile: snapshot.profile(host.profile.as_ref().unwrap()).unwrap(),
        arch: Architecture::X86_64,
        server: [10, 99, 0, 2].into(),
        token: Some(token),
    })
}

fn token(byte: u8) -> Token {
    Token::from_bytes([byte; 16])
}

/// What the machine gets.
fn answer(config: &InForce, host: &str, token: &Token) -> Result<String, RenderError> {
    with_view(config, host, token, |view| {
        let answer = config.renderer.answer_for_machine(view, "answers.txt");
        answer.unwrap().map(|answer| answer.text)
    })
}

/// What people get.
fn preview(config: &InForce, host: &str) -> Result<String, RenderError> {
    with_view(config, host, &token(1), |view| {
        let answer = config.renderer.answer(view, "answers.txt");
        answer.unwrap().map(|answer| answer.text)
    })
}

/// Everything that is told of a configuration.
fn told(loaded: &Loaded) -> String {
    format!(
        "{}{}{loaded:?}",
        show::text(&loaded.problems, &loaded.sources, false, false),
        serde_json::to_string(&show::report(&loaded.problems, &loaded.sources, false)).unwrap(),
    )
}

#[test]
fn the_machine_gets_its_secrets_and_people_a_mask() {
    let config = in_force(
        "{{ secret('root') }} {{ secret(\"root\") | b64encode }}\n{{ secret_url('luks') }}\n",
    );
    let token = token(7);
    let url = format!(
        "http://10.99.0.2:8080/answers/{}/secrets/luks",
        token.reveal()
    );
    assert_eq!(
        answer(&config, "web01", &token).unwrap(),
        format!("hunter2-shared aHVudGVyMi1zaGFyZWQ=\n{url}\n")
    );
    assert!(
        answer(&config, "web02", &token)
            .unwrap()
            .starts_with("hunter2-own ")
    );
    let shown = preview(&config, "web01").unwrap();
    assert!(shown.starts_with(&format!("{MASK} ")), "{shown}");
    assert!(!shown.contains("aHVudGVy"), "{shown}");
}

#[test]
fn hashes_are_the_same_for_one_arming_and_say_nothing_of_the_password() {
    let config = in_force("{{ sha512_crypt(secret('root')) }}");
    let hash = |host, byte| answer(&config, host, &token(byte)).unwrap();
    let first = hash("web01", 1);
    let fields: Vec<&str> = first.split('$').collect();
    assert_eq!((fields[1], fields[2].len(), fields[3].len()), ("6", 16, 86));
    assert_eq!(hash("web01", 1), first);
    assert_ne!(hash("web01", 2), first);
    // The salt is no hash of the password, which would be guessed faster than the hash itself.
    let other = in_force("{{ sha512_crypt('another') }}");
    let other = answer(&other, "web01", &token(1)).unwrap();
    assert_eq!(other.split('$').nth(2), Some(fields[2]));
    assert_ne!(other, first);
    assert_eq!(preview(&config, "web01").unwrap(), MASK);
}

#[test]
fn secrets_of_the_wrong_kind_are_errors() {
    for (template, says) in [
        (
            "{{ secret('luks') }}",
            "`secret_url(\"luks\")` gives the URL",
        ),
        ("{{ secret_url('root') }}", "`secret(\"root\")`"),
        ("{{ secret('a b') }}", "`a b` is no name of a secret"),
        ("{{ secret() }}", "missing argument"),
        ("{{ secret('root', 'luks') }}", "too many arguments"),
        ("{{ secret(vars.which) }}", "`vars.which` is undefined"),
        ("{{ secret(['root']) }}", "takes a text"),
        ("{{ sha512_crypt('') }}", "empty text"),
        ("{{ sha512_crypt(vars.none) }}", "`vars.none` is undefined"),
    ] {
        let loaded = loaded(template);
        let told = told(&loaded);
        assert!(loaded.config.is_none(), "{template}");
        assert!(told.contains(says), "{template}: {told}");
        assert!(told.contains("answers.txt.j2:1"), "{template}: {told}");
    }
}

#[test]
fn boot_texts_and_scripts_have_no_secrets() {
    for function in [
        "secret(\"root\")",
        "secret_url(\"luks\")",
        "sha512_crypt(\"x\")",
    ] {
        let cmdline = format!("key={{{{ {function} }}}}");
        let loaded = load_with("x", Some(SECRETS), &cmdline);
        assert!(loaded.config.is_none());
        let told = told(&loaded);
        assert!(told.contains("belongs into an answer file"), "{told}");
        assert!(told.contains("[boot] cmdline"), "{told}");
    }
}

/// Templates that fail, here or there, on what they make of a secret.
const HOSTILE: [&str; 14] = [
    "{{ secret('root') | nosuchfilter }}",
    "{{ secret('root').foo }}",
    "{{ secret('root').foo.bar }}",
    "{{ secret('root') + 1 }}",
    "{{ secret('root') * [] }}",
    "{{ secret('root') | tojson | int }}",
    "{{ secret('root') | int }}",
    "{{ secret('root')() }}",
    "{{ secret(secret('root')) }}",
    "{{ secret_url(secret('long')) }}",
    "{{ asset(secret('long')) }}",
    "{{ secret('long') | line }}",
    "{% include secret('root') %}",
    "{% set x = secret('root') %}{{ x | dictsort }}{{ debug() }}",
];

#[test]
fn no_error_holds_a_secret() {
    for template in HOSTILE {
        let loaded = loaded(template);
        let told = told(&loaded);
        assert!(!told.contains(VALUE), "{template}: {told}");
        // What fails only with the value is found when it is served.
        let Some(config) = &loaded.config else {
            continue;
        };
        if let Err(error) = answer(config, "web01", &token(1)) {
            let told = format!("{error} {error:?}");
            assert!(!told.contains(VALUE), "{template}: {told}");
            assert!(told.contains("answers.txt.j2:1"), "{template}: {told}");
        }
        assert!(!preview(config, "web01").unwrap().contains(VALUE));
    }
}

#[test]
fn what_fails_on_a_value_says_where_and_not_why() {
    for template in [
        "a\n{{ secret('long') | line }}",
        "a\n{{ sha512_crypt(secret('long')) }}",
        "a\n{% if 'hunter2' in secret('root') %}{{ secret('root') | int }}{% endif %}",
        "a\n{% if secret('root') is startingwith('h') %}{{ vars[secret('root')] }}{% endif %}",
    ] {
        let error = answer(&in_force(template), "web01", &token(1)).unwrap_err();
        assert_eq!((error.code, error.line), ("secret-value", 2), "{template}");
        assert_eq!(
            error.to_string(),
            "answers.txt.j2:2: it fails on the value of a secret, which is not shown"
        );
    }
}

#[test]
fn a_secret_that_is_not_there_is_a_warning_with_its_hosts() {
    let template = "{{ secret('ipmi') }}{% if host.name == 'web01' %}{{ secret_url('disk.key') }}{{ secret('root') }}{% endif %}";
    let loaded = loaded(template);
    let config = loaded.config.as_ref().unwrap();
    let warnings: Vec<_> = loaded
        .problems
        .iter()
        .filter(|problem| problem.code == "secret-missing")
        .map(|problem| {
            assert_eq!(problem.severity, Severity::Warning);
            assert!(problem.labels.len() == 1, "the place of the first host");
            (problem.message.as_str(), problem.help.as_deref().unwrap())
        })
        .collect();
    assert_eq!(
        warnings,
        [
            (
                "the secret `disk.key` is not there, and host web01 cannot be installed without it",
                "add `\"disk.key\" = \"…\"` to c/secrets.toml, for this host alone below [hosts.web01]"
            ),
            (
                "the secret `ipmi` is not there, and hosts web01 and web02 cannot be installed without it",
                "add `ipmi = \"…\"` to c/secrets.toml, for this host alone below [hosts.web01]"
            ),
        ]
    );
    let missing = |name: &str| {
        let snapshot = &config.snapshot;
        let host = snapshot.host(&name.parse().unwrap()).unwrap();
        let profile = snapshot.profile(host.profile.as_ref().unwrap()).unwrap();
        missing_for(config, host, profile, Architecture::X86_64)
    };
    let names = |names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    };
    assert_eq!(missing("web01"), names(&["disk.key", "ipmi"]));
    assert_eq!(missing("web02"), names(&["ipmi"]));
    // It is shown as any other, and not served.
    assert_eq!(preview(config, "web02").unwrap(), MASK);
    let error = answer(config, "web02", &token(1)).unwrap_err();
    assert_eq!(error.code, "secret-missing");
    assert!(error.to_string().contains("`ipmi`"), "{error}");

    let without = load_with(template, None, "quiet");
    let told = told(&without);
    assert!(without.config.is_some());
    assert!(told.contains("secrets = \"secrets.toml\""), "{told}");
}

#[test]
fn the_shipped_profile_takes_a_secret_by_its_name() {
    let site = crate::fixture::shipped("root_password_secret = 'root-password'");
    let shown = site.answer("preseed.cfg");
    assert!(
        shown.contains(&format!(
            "d-i passwd/root-password-crypted password {MASK}\n"
        )),
        "{shown}"
    );
    let site = crate::fixture::shipped("");
    let shown = site.answer("preseed.cfg");
    assert!(shown.contains("d-i passwd/root-password-crypted password !\n"));
}

#[test]
fn a_file_that_cannot_be_read_lacks_nothing() {
    let loaded = load_with("{{ secret('ipmi') }}", Some("root = hunter2\n"), "quiet");
    let codes: Vec<&str> = loaded.problems.iter().map(|problem| problem.code).collect();
    assert!(!codes.contains(&"secret-missing"), "{codes:?}");
    assert!(codes.contains(&"syntax"), "{codes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_preview_and_no_error_holds_a_value(
        values in prop::collection::vec("[!-&(-\\[\\]-~äß ]{0,12}", 2),
        expressions in prop::collection::vec((
            prop::sample::select(vec!["secret('a')", "sha512_crypt(secret('a'))", "secret('a') ~ secret('b')", "[secret('b')] | join('-')", "secret_url('c')", "secret('missing')"]),
            prop::sample::select(vec!["", "| tojson", "| shq", "| e", "| b64encode", "| upper", "| reverse", "| list", "| line", "| int", "| nosuch", "[0]", ".x", "+ 1", "| replace('•', 'o')"]),
        ), 1..4),
    ) {
        // A mark that the texts around it cannot hold.
        let values: Vec<String> = values.iter().map(|value| format!("§{value}§")).collect();
        let secrets = format!("a = '{}'\nb = '{}'\nc = {{ value = '§c§', once = true }}\n", values[0], values[1]);
        let mut template = String::new();
        for (expression, filter) in expressions {
            let _ = writeln!(template, "{{{{ ({expression}) {filter} }}}}");
        }
        let loaded = load_with(&template, Some(&secrets), "quiet");
        let told = told(&loaded);
        prop_assert!(!told.contains('§'), "{template}: {told}");
        if let Some(config) = &loaded.config {
            for host in ["web01", "web02"] {
                let shown = format!("{:?}", preview(config, host));
                prop_assert!(!shown.contains('§') && !shown.contains("wqc"), "{template}: {shown}");
                if let Err(error) = answer(config, host, &token(3)) {
                    prop_assert!(!format!("{error:?}").contains('§'), "{template}: {error}");
                }
            }
        }
    }
}
