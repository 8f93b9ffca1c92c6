//! The texts as they were read and found good: of every profile those of a plain host, of one profile of each
//! family also those of a bond and of two mirrored disks.
//!
//! A change of a template shows here, line by line, in a review. `BOOTWRIGHT_GOLDEN=update cargo test --test
//! validators golden` takes the texts over as they are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::rendered;
use crate::tools::assert_none;

/// Profiles that stand for their family.
const FAMILIES: &[&str] = &[
    "alma-9",
    "alpine-3.22",
    "debian-13",
    "fedora-coreos",
    "flatcar",
    "leap-15",
    "leap-16",
    "ubuntu-20.04-legacy",
    "ubuntu-24.04",
];

/// What only they have here: it is all but the same in every profile of a family.
const SHARED: &[&str] = &["install.sh", "postinstall.sh"];

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/validators/golden")
}

fn is_kept(told: &str) -> bool {
    let mut parts = told.splitn(3, '/');
    let (Some(profile), Some(host), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let of_family = FAMILIES.contains(&profile);
    match host {
        "plain" => of_family || !SHARED.contains(&name),
        "bond" | "raid" => of_family && name != "postinstall.sh",
        _ => false,
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// The first line in which two texts differ.
fn difference(old: &str, new: &str) -> String {
    let (mut old, mut new) = (old.lines(), new.lines());
    let mut number = 0;
    loop {
        number += 1;
        match (old.next(), new.next()) {
            (None, None) => return "they end differently".to_owned(),
            (old, new) if old == new => {}
            (old, new) => {
                return format!(
                    "line {number} was\n    {}\nand is\n    {}",
                    old.unwrap_or("(the end)"),
                    new.unwrap_or("(the end)")
                );
            }
        }
    }
}

#[test]
fn golden() {
    let rendered = rendered::all();
    let answers = rendered.answers.iter();
    let texts: BTreeMap<&str, &str> = answers
        .map(|answer| (answer.told.as_str(), answer.text.as_str()))
        .chain(
            rendered
                .scripts
                .iter()
                .map(|(told, text)| (told.as_str(), text.as_str())),
        )
        .filter(|(told, _)| is_kept(told))
        .collect();
    assert!(texts.len() > 150, "{}", texts.len());
    let place = place();
    if std::env::var_os("BOOTWRIGHT_GOLDEN").is_some_and(|how| how == "update") {
        let _ = fs::remove_dir_all(&place);
        for (told, text) in &texts {
            let file = place.join(told);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
    }
    let mut complaints = Vec::new();
    for (told, text) in &texts {
        match fs::read_to_string(place.join(told)) {
            Ok(old) if old == *text => {}
            Ok(old) => complaints.push(format!("{told}: {}", difference(&old, text))),
            Err(error) => complaints.push(format!("tests/validators/golden/{told}: {error}")),
        }
    }
    for file in files_below(&place) {
        let told = file.strip_prefix(&place).unwrap().to_str().unwrap();
        if !texts.contains_key(told) {
            complaints.push(format!(
                "tests/validators/golden/{told}: no profile has it any more"
            ));
        }
    }
    assert_none(&complaints);
}
