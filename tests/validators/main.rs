//! The validators of the formats over every shipped profile, for a range of hosts.
//!
//! `make test` runs this; alone: `scripts/setup.sh validators && cargo test --test validators`. What was rendered
//! stays in target/validators/rendered. A further profile is an entry in `profiles.rs`.

mod exported;
mod golden;
mod hosts;
mod profiles;
mod rendered;
mod scripts;
mod tools;

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use profiles::{Check, PROFILES};
use rendered::Answer;
use tools::{assert_none, distinct, for_each, look_at, of_venv};

/// The answers that have this check, one of each text.
fn with(is: impl Fn(Check) -> bool) -> Vec<&'static Answer> {
    let answers = rendered::all().answers.iter();
    distinct(answers.filter(|answer| is(answer.check)), |answer| {
        &answer.text
    })
}

#[test]
fn every_profile_has_an_entry() {
    for entry in fs::read_dir(rendered::shipped()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            PROFILES.iter().any(|profile| profile.name == name),
            "no validator looks at the profile {name}: give it an entry in tests/validators/profiles.rs"
        );
    }
}

/// With `bootwright check`, the linter among it, as an operator sees it.
#[test]
fn profiles_render_without_a_complaint() {
    assert_none(&rendered::all().wrong);
}

#[test]
fn preseed() {
    let folder = TempDir::new().unwrap();
    // A database of its own: the system's is locked by whoever reads it.
    let rc = folder.path().join("debconf.conf");
    let place = folder.path().display();
    fs::write(
        &rc,
        format!(
            "Config: c\nTemplates: t\n\nName: c\nDriver: File\nFilename: {place}/c.dat\n\n\
             Name: t\nDriver: File\nFilename: {place}/t.dat\n"
        ),
    )
    .unwrap();
    let answers = with(|check| check == Check::Preseed);
    // They share the database: one after the other.
    let complaints: Vec<String> = answers
        .iter()
        .filter_map(|answer| {
            let mut command = Command::new("debconf-set-selections");
            command
                .arg("--checkonly")
                .arg(&answer.file)
                .env("DEBCONF_SYSTEMRC", &rc);
            match tools::run(&mut command, "") {
                Ok(said) if said.is_empty() => None,
                Ok(said) | Err(said) => Some(format!("{}: {said}", answer.told)),
            }
        })
        .collect();
    assert_none(&complaints);
}

#[test]
fn kickstart() {
    let ksvalidator = of_venv("ksvalidator");
    tools::run(Command::new(&ksvalidator).arg("--listversions"), "").unwrap();
    let answers = with(|check| matches!(check, Check::Kickstart(_)));
    // A version takes what it takes of each distribution.
    let answers = distinct(answers, |answer| {
        (format!("{:?}", answer.check), tools::alike(&answer.text))
    });
    let complaints = for_each(&answers, |answer| {
        let Check::Kickstart(version) = answer.check else {
            return Ok(());
        };
        look_at(&ksvalidator, &["--version", version], &answer.file)
            .map(drop)
            .map_err(|said| format!("{}: {said}", answer.told))
    });
    assert_none(&complaints);
}

#[test]
fn xml() {
    let answers = with(|check| matches!(check, Check::AutoYast | Check::Xml));
    tools::run(Command::new("xmllint").arg("--version"), "").unwrap();
    let complaints = for_each(&answers, |answer| {
        match look_at("xmllint", &["--noout", "--nonet"], &answer.file) {
            Ok(said) if said.is_empty() => Ok(()),
            Ok(said) | Err(said) => Err(format!("{}: {said}", answer.told)),
        }
    });
    assert_none(&complaints);
}

#[test]
fn grub_configurations() {
    let configurations = &rendered::all().grub;
    assert!(configurations.len() > 500, "{}", configurations.len());
    // It says nothing of what it can read, and reads standard input.
    let complaints = for_each(configurations, |(told, text)| {
        match tools::run(&mut Command::new("grub-script-check"), text) {
            Ok(said) if said.is_empty() => Ok(()),
            Ok(said) | Err(said) => Err(format!("{told}: {said}")),
        }
    });
    assert_none(&complaints);
    let broken = "if true; then\necho 'x'\n";
    assert!(tools::run(&mut Command::new("grub-script-check"), broken).is_err());
}

#[test]
fn ignition() {
    let answers = with(|check| check == Check::Ignition);
    let empty = r#"{"ignition": {"version": "3.3.0"}}"#;
    tools::run(Command::new("ignition-validate").arg("-"), empty).unwrap();
    let complaints = for_each(&answers, |answer| {
        match look_at("ignition-validate", &[], &answer.file) {
            Ok(said) if said.trim().is_empty() => Ok(()),
            Ok(said) | Err(said) => Err(format!("{}: {said}", answer.told)),
        }
    });
    assert_none(&complaints);
}

/// The parsers of Python, the schemas of cloud-init, and the structures that no other tool knows.
#[test]
fn structures() {
    assert_none(&scripts::all().complaints);
}

#[test]
fn scripts_parse_in_their_shells() {
    let complaints = for_each(&scripts::all().scripts, |script| {
        for shell in script.shells() {
            let (program, args) = shell.split_first().unwrap();
            look_at(program, args, &script.file)
                .map_err(|said| format!("{}: {said}", script.told))?;
        }
        Ok(())
    });
    assert_none(&complaints);
}

#[test]
fn shellcheck() {
    let complaints = for_each(&scripts::all().scripts, |script| {
        let dialect = if script.bash { "bash" } else { "sh" };
        // What a template leaves out of one host's script is used in another's.
        let args = [
            "--severity=warning",
            "--shell",
            dialect,
            "--exclude=SC2034",
            "--format=gcc",
        ];
        look_at("shellcheck", &args, &script.file)
            .map(drop)
            .map_err(|said| format!("{}: {said}", script.told))
    });
    assert_none(&complaints);
}

/// A check that finds nothing could be one that looks at nothing.
#[test]
fn the_tools_find_what_is_wrong() {
    let folder = TempDir::new().unwrap();
    let bad = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file
    };
    let preseed = bad("a", "d-i a/b nothing c\n");
    // It tells, and ends well all the same.
    let said = look_at("debconf-set-selections", &["--checkonly"], &preseed);
    assert!(said.unwrap().contains("Unknown type"));
    let ks = bad("ks", "rootpw x\n%post\necho\n");
    look_at(of_venv("ksvalidator"), &["--version", "RHEL9"], &ks).unwrap_err();
    look_at("xmllint", &["--noout"], &bad("x", "<a>&</a>")).unwrap_err();
    let old = bad("ign", r#"{"ignition": {"version": "9.9.9"}}"#);
    look_at("ignition-validate", &[], &old).unwrap_err();
    look_at("shellcheck", &["--shell", "sh"], &bad("sh", "x=$(ls *\n")).unwrap_err();

    for (check, text, needle) in [
        (Check::Json, "{", "Expecting"),
        (Check::Yaml, "a: [", "expected"),
        (
            Check::UserData,
            "autoinstall: {version: 1, identity: {}}\n",
            "#cloud-config",
        ),
        (
            Check::UserData,
            "#cloud-config\nautoinstall: {version: 1}\n",
            "identity",
        ),
        (
            Check::UserData,
            "#cloud-config\nautoinstall: {version: 1, user-data: {runcmd: 5}}\n",
            "runcmd",
        ),
        (
            Check::UserData,
            "#cloud-config\nautoinstall: {version: 1, user-data: {}, packages: 5}\n",
            "packages",
        ),
        (Check::AutoYast, "<profile/>", "yast2ns"),
        (Check::Agama, "{\"storages\": {}}", "storages"),
    ] {
        let file = bad("answer", text);
        let found = scripts::structures(&[(check, file.as_path(), "it")], folder.path());
        let told = found.complaints.join("\n");
        assert!(told.contains(needle), "{check:?}: {told}");
    }

    let nested = "#cloud-config\nautoinstall:\n  version: 1\n  user-data: {}\n  late-commands: ['if', [curtin, in-target]]\n";
    let found = scripts::structures(
        &[(Check::UserData, bad("y", nested).as_path(), "it")],
        folder.path(),
    );
    assert!(found.complaints.is_empty(), "{:?}", found.complaints);
    let texts: Vec<&str> = found
        .scripts
        .iter()
        .map(|script| script.text.as_str())
        .collect();
    assert_eq!(texts, ["if\n"]);
    let ks = "%pre\necho pre\n%end\n%post --interpreter=/usr/bin/python3\nprint()\n%end\n%post --interpreter=/bin/sh\necho post\n%end\n";
    let found = scripts::structures(
        &[(Check::Kickstart("RHEL9"), bad("k", ks).as_path(), "it")],
        folder.path(),
    );
    let texts: Vec<&str> = found
        .scripts
        .iter()
        .map(|script| script.text.as_str())
        .collect();
    assert_eq!(texts, ["echo pre\n", "echo post\n"]);
}
