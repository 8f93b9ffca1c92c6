//! Files → a proven configuration: parsed, checked, every host's every file rendered.

use std::path::Path;
use std::sync::Arc;

use super::kinds::kinds;
use super::{Renderer, check, files};
use crate::config::brought::{self, Brought};
use crate::config::{self, Files, Problem, Severity, Snapshot, SourceMap};

/// A configuration that may take effect: the snapshot and its parsed templates.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    /// What is meant.
    pub snapshot: Snapshot,
    /// Its templates.
    pub renderer: Renderer,
}

/// What became of the files.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` when there is an error.
    pub config: Option<Arc<InForce>>,
    /// All problems, errors and warnings, in the order of files and lines.
    pub problems: Vec<Problem>,
    /// The files as they were read, for showing the problems.
    pub sources: SourceMap,
}

impl Loaded {
    /// How many problems are errors, and how many warnings.
    pub fn counts(&self) -> (usize, usize) {
        let errors = self
            .problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count();
        (errors, self.problems.len() - errors)
    }
}

/// Reads, checks and renders a whole configuration. `main` is the path of `bootwright.toml`;
/// `generation` becomes the snapshot's. Boot files need not be there.
pub fn load(files: &dyn Files, main: &Path, generation: u64) -> Loaded {
    let config::LoadedConfig {
        snapshot,
        problems,
        sources,
    } = config::load(files, main);
    match snapshot {
        Some(snapshot) => prove(files, snapshot, problems, sources, generation),
        None => Loaded {
            config: None,
            problems,
            sources,
        },
    }
}

/// Renders everything of a configuration that was read, and looks for the boot files it needs.
pub fn prove(
    files: &dyn Files,
    mut snapshot: Snapshot,
    mut problems: Vec<Problem>,
    sources: SourceMap,
    generation: u64,
) -> Loaded {
    snapshot.generation = generation;
    let renderer = Renderer::new(&snapshot);
    let in_force = InForce { snapshot, renderer };
    let kinds = kinds(&in_force.snapshot);
    check::check_kinds(
        &in_force.snapshot,
        &kinds,
        &in_force.renderer,
        &sources,
        &mut problems,
    );
    let folder = &in_force.snapshot.server.boot_assets;
    let manifest = folder.join(brought::NAME);
    // Whether it is there is asked first: what could not be read is looked out for.
    let brought = if files.is_file(&manifest) {
        Brought::parse(&files.read(&manifest).unwrap_or_default())
    } else {
        Brought::default()
    };
    let snapshot = &in_force.snapshot;
    // To stand after "the boot file X is".
    let amiss = |path: &str| {
        let file = folder.join(path);
        if let Some(size) = files.size(&file) {
            brought.part(path, size)
        } else {
            let mut part = file.into_os_string();
            part.push(".part");
            let there = files.is_file(part.as_ref());
            there.then(|| format!("there only in part ({path}.part)"))
        }
    };
    let is_there = |path: &str| match path.strip_suffix('/') {
        Some(below) => files.is_dir(&folder.join(below)),
        None => files.is_file(&folder.join(path)),
    };
    // What is mirrored comes when it is asked for.
    let is_good =
        |path: &str| snapshot.is_mirrored(path) || is_there(path) && amiss(path).is_none();
    problems.extend(files::missing_for(&in_force, &kinds, &is_good, &amiss));
    problems.extend(files::behind_mirrors(snapshot, &|path| {
        files.is_dir(&folder.join(path))
    }));
    let head = |path: &str| files.head(&folder.join(path), files::HEAD).ok();
    problems.extend(files::unsigned(&in_force, &kinds, &is_there, &head));
    drop(kinds);
    let at_top = files.names(folder).unwrap_or_default();
    problems.extend(files::hidden(&in_force, &is_there, &at_top));
    problems.extend(config::hook_warnings(files, &in_force.snapshot));
    Problem::silence(&mut problems, &in_force.snapshot.server.allow);
    config::load::sort(&mut problems);
    let failed = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    Loaded {
        config: (!failed).then(|| Arc::new(in_force)),
        problems,
        sources,
    }
}
