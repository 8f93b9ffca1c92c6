//! The scripts that answers are, or have in them; and the structures that `structures.py` knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::profiles::Check;
use crate::rendered;
use crate::tools::{alike, distinct, of_venv, run};

/// A script in a file of its own.
#[derive(Debug)]
pub(crate) struct Script {
    /// The answer it is in, and where.
    pub(crate) told: String,
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    /// For bash, not for every POSIX shell.
    pub(crate) bash: bool,
}

impl Script {
    /// The shells that have to take it.
    pub(crate) fn shells(&self) -> &'static [&'static [&'static str]] {
        if self.bash {
            &[&["bash", "-n"]]
        } else {
            &[&["dash", "-n"], &["busybox", "ash", "-n"]]
        }
    }
}

/// What was found in answers.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// One of those that are alike.
    pub(crate) scripts: Vec<Script>,
    pub(crate) complaints: Vec<String>,
}

/// In everything that is rendered.
pub(crate) fn all() -> &'static Found {
    static ALL: OnceLock<Found> = OnceLock::new();
    ALL.get_or_init(|| {
        let answers = distinct(&rendered::all().answers, |answer| &answer.text);
        let looked_at: Vec<(Check, &Path, &str)> = answers
            .iter()
            .map(|answer| (answer.check, answer.file.as_path(), answer.told.as_str()))
            .collect();
        let folder = rendered::folder().join("scripts");
        fs::create_dir_all(&folder).unwrap();
        structures(&looked_at, &folder)
    })
}

/// Looks at answers, and puts the scripts in them into `folder`.
pub(crate) fn structures(answers: &[(Check, &Path, &str)], folder: &Path) -> Found {
    let jobs: Vec<Value> = answers
        .iter()
        .filter_map(|(check, file, told)| {
            let kind = match check {
                Check::Preseed => "preseed",
                Check::Kickstart(_) => "kickstart",
                Check::AutoYast => "autoyast",
                Check::Agama => "agama",
                Check::UserData => "user-data",
                Check::Ignition => "ignition",
                Check::Json => "json",
                Check::Yaml => "yaml",
                Check::Toml => "toml",
                Check::EsxiKickstart => "esxi",
                Check::Sh => "sh",
                Check::Xml | Check::Text => return None,
            };
            Some(json!({ "kind": kind, "file": file, "told": told }))
        })
        .collect();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/validators/structures.py");
    let schemas = crate::tools::place().join("cloud-init");
    let said = run(
        Command::new(of_venv("python3")).arg(program).arg(schemas),
        &json!(jobs).to_string(),
    )
    .unwrap_or_else(|said| panic!("{said}\nscripts/setup.sh validators brings what it needs"));
    let said: Value = serde_json::from_str(&said).unwrap();
    let mut found = Found::default();
    for complaint in said["complaints"].as_array().unwrap() {
        found
            .complaints
            .push(complaint.as_str().unwrap().to_owned());
    }
    let mut seen = std::collections::BTreeSet::new();
    for script in said["scripts"].as_array().unwrap() {
        let of = |key: &str| script[key].as_str().unwrap().to_owned();
        let bash = script["bash"].as_bool().unwrap();
        if !seen.insert((alike(&of("text")), bash)) {
            continue;
        }
        let file = folder.join(format!("{:03}.sh", found.scripts.len()));
        fs::write(&file, of("text")).unwrap();
        found.scripts.push(Script {
            told: format!("{} ({})", of("told"), file.display()),
            file,
            text: of("text"),
            bash,
        });
    }
    found
}
