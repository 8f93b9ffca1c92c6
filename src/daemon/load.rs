//! What the daemon is started on: the files, or, when these have errors, the last good configuration.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Options, StartError};
use crate::config::load::{NamedStateDir, named_state_dir};
use crate::config::snapshot::Server;
use crate::config::source::DiskFiles;
use crate::render::load::{self, InForce};
use crate::serve::last_good::LastGood;
use crate::serve::reload::{NotedFiles, ShownProblem, Start, texts};
use crate::serve::standing::first_errors;

/// Where systemd tells the state folder of a service (`StateDirectory=`; systemd.exec(5)), several of them divided by
/// colons.
const STATE_DIRECTORY: &str = "STATE_DIRECTORY";

/// A configuration to start on.
pub(super) struct Loaded {
    pub(super) in_force: Arc<InForce>,
    /// The files as they were read, whether they are in force or not.
    pub(super) texts: Vec<(PathBuf, u64)>,
    pub(super) warnings: Vec<ShownProblem>,
    pub(super) start: Start,
}

/// The folders in which the state of a daemon may lie, the likeliest first. One when `bootwright.toml` says which or is
/// good enough to say that it is the usual one; a file that can say neither must not hide what is kept.
pub fn state_dirs(main: &Path) -> Vec<PathBuf> {
    let usual = Server::default().state_dir;
    match named_state_dir(&DiskFiles, main) {
        NamedStateDir::Named(folder) => vec![folder],
        NamedStateDir::Usual => vec![usual],
        NamedStateDir::Unsure => {
            let told = std::env::var_os(STATE_DIRECTORY).unwrap_or_default();
            let mut folders: Vec<PathBuf> = std::env::split_paths(&told)
                .filter(|folder| folder.is_absolute())
                .collect();
            folders.push(usual);
            folders.dedup();
            folders
        }
    }
}

pub(super) fn load_config(options: &Options) -> Result<Loaded, StartError> {
    if let Some(in_force) = &options.in_force {
        return Ok(Loaded {
            in_force: options.overrides.apply(Arc::clone(in_force)),
            texts: Vec::new(),
            warnings: Vec::new(),
            start: Start::default(),
        });
    }
    let files = NotedFiles::default();
    let loaded = load::load(&files, &options.config, 1);
    let problems: Vec<ShownProblem> = loaded
        .problems
        .iter()
        .map(|problem| ShownProblem::of(problem, &loaded.sources))
        .collect();
    let texts = texts(&loaded.sources);
    if let Some(in_force) = loaded.config {
        let start = Start {
            looked_for: files.looked_for(),
            sources: Arc::new(Mutex::new(Some(loaded.sources))),
            ..Start::default()
        };
        return Ok(Loaded {
            in_force: options.overrides.apply(in_force),
            texts,
            warnings: problems,
            start,
        });
    }
    let refused = |problems, instead| StartError::Config {
        file: options.config.clone(),
        problems,
        instead,
    };
    if options.strict {
        let instead = "--strict: it is started on nothing else".to_owned();
        return Err(refused(problems, instead));
    }
    match last_good(options) {
        Ok(in_force) => Ok(Loaded {
            in_force: options.overrides.apply(in_force),
            texts,
            warnings: Vec::new(),
            start: Start {
                rejected: Some(problems),
                looked_for: files.looked_for(),
                ..Start::default()
            },
        }),
        Err(instead) => Err(refused(problems, instead)),
    }
}

/// The last good configuration; else why there is none.
fn last_good(options: &Options) -> Result<Arc<InForce>, String> {
    let folders = match &options.overrides.state_dir {
        Some(folder) => vec![folder.clone()],
        None => state_dirs(&options.config),
    };
    let mut instead = Vec::new();
    for folder in folders {
        let kept = match LastGood::open(&folder, &options.config) {
            Ok(kept) => kept,
            Err(error) => {
                instead.push(error.to_string());
                continue;
            }
        };
        let files = kept.files(&options.config);
        let mut loaded = load::load(&files, &options.config, 1);
        // Secrets are not kept. Those that are no good now are as good as none: nothing is armed meanwhile.
        if loaded.config.is_none() {
            loaded = load::load(&files.without_secrets(), &options.config, 1);
        }
        let Some(in_force) = loaded.config else {
            let problems: Vec<ShownProblem> = loaded
                .problems
                .iter()
                .map(|problem| ShownProblem::of(problem, &loaded.sources))
                .collect();
            instead.push(format!(
                "the last good configuration in {} is no longer good: {}",
                folder.display(),
                first_errors(&problems)
            ));
            continue;
        };
        let mut in_force = Arc::unwrap_or_clone(in_force);
        in_force.snapshot.last_good = Some(kept.manifest.kept_at);
        // What is kept may say another folder, which takes effect with the first start on good files; until then
        // what is remembered lies here.
        in_force.snapshot.server.state_dir = folder;
        return Ok(Arc::new(in_force));
    }
    Err(instead.join("; "))
}
