//! Completion of names: hosts, groups, profiles and subnets of the configuration.
//!
//! **Invariant:** it is quick and silent, whatever the files hold. Nothing is checked: names are picked out of the text,
//! and what cannot be read has none.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap_complete::CompletionCandidate;
use clap_complete::env::Shells;

use super::command::command;
use super::find_config;
use crate::base::{AfterEvent, has_extension};

/// The variable by which a shell asks for completions.
pub const VARIABLE: &str = "BOOTWRIGHT_COMPLETE";

/// `completions`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// Of which shell
    #[arg(value_name = "SHELL", value_parser = ["bash", "zsh", "fish", "elvish"])]
    pub shell: String,
}

/// Writes what a shell has to read once.
pub fn run(asked: &Completions, out: &mut dyn Write) -> anyhow::Result<u8> {
    let shells = Shells::builtins();
    let Some(shell) = shells.completer(&asked.shell) else {
        anyhow::bail!("there are no completions for `{}`", asked.shell);
    };
    let program = std::env::current_exe().ok().filter(|_| {
        // Called by its path, it need not be found by its name.
        std::env::args_os()
            .next()
            .is_some_and(|name| Path::new(&name).components().count() > 1)
    });
    let program = program.map_or_else(
        || "bootwright".to_owned(),
        |path| path.display().to_string(),
    );
    shell.write_registration(VARIABLE, "bootwright", "bootwright", &program, out)?;
    Ok(0)
}

/// Answers a shell that asks; whether one did.
pub fn answer() -> Result<bool, clap::Error> {
    clap_complete::CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .bin("bootwright")
        .try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref())
}

/// The names of hosts.
pub fn hosts(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, names(&written(), "hosts"))
}

/// Hosts with what they may have come to, such as `hv-042:up`.
pub fn hosts_and_events(current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.to_str().unwrap_or_default();
    let hosts = names(&written(), "hosts");
    let events = AfterEvent::ALL.map(AfterEvent::as_str);
    let pairs = hosts
        .iter()
        .filter(|host| typed.starts_with(host.as_str()) || host.starts_with(typed))
        .flat_map(|host| events.map(|event| format!("{host}:{event}")));
    candidates(current, pairs.chain(["none".to_owned()]).collect())
}

/// The names of groups.
pub fn groups(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, names(&written(), "groups"))
}

/// The names of profiles, and of what can be fetched beside them.
pub fn profiles(current: &OsStr) -> Vec<CompletionCandidate> {
    let Some(site) = Site::find() else {
        return Vec::new();
    };
    let folder = site.path("profiles", "profiles");
    let found = files(&folder).into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?;
        Some(name.strip_suffix(".toml")?.to_owned())
    });
    candidates(current, found.collect())
}

/// The names of subnets.
pub fn subnets(current: &OsStr) -> Vec<CompletionCandidate> {
    let site = Site::find();
    let list = site
        .as_ref()
        .and_then(|site| site.table.get("subnet")?.as_array());
    let found = list.into_iter().flatten().filter_map(|subnet| {
        let name = subnet.get("name").or_else(|| subnet.get("network"))?;
        Some(name.as_str()?.to_owned())
    });
    candidates(current, found.collect())
}

fn candidates(current: &OsStr, names: BTreeSet<String>) -> Vec<CompletionCandidate> {
    let typed = current.to_str().unwrap_or_default();
    names
        .into_iter()
        .filter(|name| name.starts_with(typed))
        .map(CompletionCandidate::new)
        .collect()
}

/// `bootwright.toml`, as far as completion needs it.
struct Site {
    folder: PathBuf,
    table: toml::Table,
}

impl Site {
    /// That of the command line that is being typed, else where commands look for it.
    fn find() -> Option<Self> {
        let words: Vec<_> = std::env::args_os().collect();
        let named = words.iter().enumerate().find_map(|(index, word)| {
            let word = word.to_str()?;
            match word.strip_prefix("--config") {
                Some("") => words.get(index + 1).map(PathBuf::from),
                Some(rest) => rest.strip_prefix('=').map(PathBuf::from),
                None => None,
            }
        });
        Self::read(&find_config(named.as_deref()).ok()?)
    }

    fn read(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        Some(Self {
            folder: file.parent()?.to_owned(),
            table: toml::from_str(&text).ok()?,
        })
    }

    fn server(&self, key: &str) -> Option<&toml::Value> {
        self.table.get("server")?.get(key)
    }

    fn path(&self, key: &str, usual: &str) -> PathBuf {
        let written = self.server(key).and_then(toml::Value::as_str);
        self.folder.join(written.unwrap_or(usual))
    }

    /// The files of reservations.
    fn reservations(&self) -> Vec<PathBuf> {
        let named: Vec<&str> = match self.server("reservations") {
            None => vec!["reservations.toml"],
            Some(toml::Value::Array(list)) => list.iter().filter_map(toml::Value::as_str).collect(),
            Some(one) => one.as_str().into_iter().collect(),
        };
        named
            .into_iter()
            .flat_map(|name| {
                let path = self.folder.join(name);
                if path.is_dir() {
                    files(&path)
                } else {
                    vec![path]
                }
            })
            .collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.to_str()
                .is_some_and(|path| has_extension(path, "toml"))
        })
        .collect()
}

/// The texts of all files of reservations.
fn written() -> Vec<String> {
    let files = Site::find().map(|site| site.reservations());
    files
        .into_iter()
        .flatten()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect()
}

/// The names in headers such as `[hosts.NAME]`. A hundred thousand are found in some ten milliseconds, which reading
/// the TOML would take seconds for.
fn names(texts: &[String], kind: &str) -> BTreeSet<String> {
    let lines = texts.iter().flat_map(|text| text.lines());
    lines
        .filter_map(|line| {
            let rest = line.trim_start().strip_prefix('[')?.trim_start();
            let rest = rest.strip_prefix(kind)?.trim_start().strip_prefix('.')?;
            let (header, _) = rest.trim_start().split_once(']')?;
            let name = match header.chars().next()? {
                quote @ ('"' | '\'') => header.get(1..)?.split_once(quote)?.0,
                _ => header.split('.').next()?.trim(),
            };
            (!name.is_empty()).then(|| name.to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_picked_out_of_the_text() {
        let text = "[defaults]\n[groups.web]\n[groups.web.vars]\n[hosts.a]\nx = \"[hosts.no\"\n  [ hosts . b-2 ] # c\n[hosts.\"c\"]\n[hosts.a.vars]\n[[hosts.d.nic]]\n[hosts.]\n[hosts";
        let texts = [text.to_owned()];
        let found: Vec<String> = names(&texts, "hosts").into_iter().collect();
        assert_eq!(found, ["a", "b-2", "c"]);
        let found: Vec<String> = names(&texts, "groups").into_iter().collect();
        assert_eq!(found, ["web"]);
    }

    #[test]
    fn files_of_reservations_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("bootwright.toml");
        std::fs::create_dir(folder.path().join("hosts")).unwrap();
        std::fs::write(folder.path().join("hosts/a.toml"), "[hosts.a]\n").unwrap();
        std::fs::write(folder.path().join("hosts/b.txt"), "[hosts.b]\n").unwrap();
        for (written, count) in [
            ("", 1),
            ("reservations = \"x.toml\"", 1),
            ("reservations = [\"hosts\", \"y.toml\"]", 2),
        ] {
            std::fs::write(&main, format!("[server]\n{written}\n")).unwrap();
            assert_eq!(Site::read(&main).unwrap().reservations().len(), count);
        }
        std::fs::write(&main, "[server").unwrap();
        assert!(Site::read(&main).is_none());
    }
}
