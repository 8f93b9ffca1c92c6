//! Reads a whole configuration: `bootwright.toml`, then the reservations, profiles and templates that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::{self, Input, folder_of};
use super::explain::{self, Explained};
use super::parse::{Parsed, parse};
use super::parts;
use super::problem::Problem;
use super::snapshot::{Snapshot, Template};
use super::source::{Files, SourceId, SourceMap, Span};
use super::table::Context;
use super::values;
use super::written::Written;
use super::written::declared::{DeclarationsFile, SnippetFile};
use super::written::hosts::ReservationsFile;
use super::written::profile::ProfileFile;
use super::written::secrets::SecretsFile;
use super::written::server::ServerFile;
use crate::base::{HostName, ProfileName, suggest};

/// What was read, and what is wrong with it.
#[derive(Debug)]
pub struct LoadedConfig {
    /// What could be understood. With errors in `problems` it lacks the hosts, profiles and settings that they
    /// concern: good for checking the rest further, never to be put in force. `None`: there is no `bootwright.toml`.
    pub snapshot: Option<Snapshot>,
    /// All problems, in the order of files and lines.
    pub problems: Vec<Problem>,
    /// The files as they were read.
    pub sources: SourceMap,
}

/// Reads and checks a configuration, all but the rendering of its templates. `main` is `bootwright.toml`.
pub fn load(files: &dyn Files, main: &Path) -> LoadedConfig {
    let mut loader = Loader {
        files,
        sources: SourceMap::default(),
        problems: Vec::new(),
    };
    let snapshot = loader.load(main);
    let Loader {
        sources,
        mut problems,
        ..
    } = loader;
    sort(&mut problems);
    LoadedConfig {
        snapshot,
        problems,
        sources,
    }
}

/// Puts problems in the order of files and lines, and leaves out repetitions.
pub fn sort(problems: &mut Vec<Problem>) {
    problems.sort_by_key(|problem| problem.labels.first().map(|label| label.span));
    problems.dedup();
}

struct Loader<'f> {
    files: &'f dyn Files,
    sources: SourceMap,
    problems: Vec<Problem>,
}

/// Tells for each setting and variable of a host where it comes from; `None`: no file that could be read has
/// this host. Problems are [`load`]'s to tell.
pub fn explain(
    files: &dyn Files,
    main: &Path,
    host: &HostName,
    profile: Option<&ProfileName>,
) -> Option<(Explained, SourceMap)> {
    let mut loader = Loader {
        files,
        sources: SourceMap::default(),
        problems: Vec::new(),
    };
    let input = loader.input(main)?;
    let explained = explain::explain(&input, &loader.sources, host, profile)?;
    Some((explained, loader.sources))
}

/// The reservations that a configuration names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReservationFiles {
    /// The files, those of folders too, in the order in which they are read; a file that is named need not be there.
    pub files: Vec<PathBuf>,
    /// The folders among what is named: whatever ends in `.toml` in them is read.
    pub folders: Vec<PathBuf>,
}

/// Tells which files hold the reservations; `None`: there is no `bootwright.toml` that can be read.
pub fn reservation_files(files: &dyn Files, main: &Path) -> Option<ReservationFiles> {
    let mut loader = Loader {
        files,
        sources: SourceMap::default(),
        problems: Vec::new(),
    };
    let (source, text) = loader.read(main, None, "")?;
    let server = loader.parsed(source, &text, |cx, parsed| {
        ServerFile::read(cx, parsed.table.get_ref())
    });
    let mut found = ReservationFiles::default();
    for (path, span) in named(folder_of(main), server.reservations.as_deref()) {
        if files.is_dir(&path) {
            found.folders.push(path.clone());
        }
        for file in loader.reservation_files(&path, span) {
            if !found.files.contains(&file) {
                found.files.push(file);
            }
        }
    }
    Some(found)
}

/// What `[server] reservations` names, and where.
fn named(folder: &Path, written: Option<&[Written<String>]>) -> Vec<(PathBuf, Option<Span>)> {
    match written {
        Some(list) => list
            .iter()
            .map(|file| (folder.join(&file.value), Some(file.span)))
            .collect(),
        None => vec![(folder.join("reservations.toml"), None)],
    }
}

impl Loader<'_> {
    fn load(&mut self, main: &Path) -> Option<Snapshot> {
        let input = self.input(main)?;
        Some(check::check(input, &mut self.problems))
    }

    fn input(&mut self, main: &Path) -> Option<Input> {
        let help = "name the file with --config, or by $BOOTWRIGHT_CONFIG";
        let (source, text) = self.read(main, None, help)?;
        let (server, server_unsure) = self.parsed(source, &text, |cx, parsed| {
            let server = ServerFile::read(cx, parsed.table.get_ref());
            (server, !cx.is_sure_of("subnet"))
        });
        let folder = folder_of(main);
        let (reservations, reservations_unsure) =
            self.reservations(folder, server.reservations.as_deref());
        let profiles_folder = Folder::new(folder, server.profiles.as_ref(), "profiles");
        let (profiles, unreadable_profiles) = self.profiles(&profiles_folder);
        let templates_folder = Folder::new(folder, server.templates.as_ref(), "templates");
        let (mut templates, templates_unsure) = self.templates(&templates_folder);
        let declarations = self.declarations(&profiles, &mut templates);
        let snippets = self.snippets(&mut templates);
        let secrets = self.secrets(folder, server.secrets.as_ref());
        Some(Input {
            main: main.to_owned(),
            main_span: Span::new(source, 0..0),
            server,
            server_unsure,
            reservations,
            reservations_unsure,
            profiles,
            unreadable_profiles,
            templates,
            templates_unsure,
            declarations,
            snippets,
            secrets,
        })
    }

    /// Reads a file and reports why it cannot be read, at the place that names it.
    fn read(
        &mut self,
        path: &Path,
        named: Option<Span>,
        help: &str,
    ) -> Option<(SourceId, Arc<str>)> {
        match self.files.read(path) {
            Ok(text) => {
                let text: Arc<str> = text.into();
                Some((self.sources.add(path, Arc::clone(&text)), text))
            }
            Err(error) => {
                self.unreadable(path, &error, named, help);
                None
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error, named: Option<Span>, help: &str) {
        let path = path.display();
        let (message, help) = match error.kind() {
            io::ErrorKind::NotFound => (format!("{path} is not there"), help.to_owned()),
            io::ErrorKind::InvalidData => (
                format!("{path} is no text in UTF-8"),
                "save it as UTF-8, or move it elsewhere when it is no configuration".to_owned(),
            ),
            io::ErrorKind::PermissionDenied => (
                format!("{path} must not be read"),
                "give the account that runs this command the right to read it".to_owned(),
            ),
            _ => (format!("{path} cannot be read: {error}"), help.to_owned()),
        };
        let mut problem = Problem::error("unreadable-file", message).help(help);
        if let Some(span) = named {
            problem = problem.at(span, "named here");
        }
        self.problems.push(problem);
    }

    /// Parses a text and reads it.
    fn parsed<T>(
        &mut self,
        source: SourceId,
        text: &str,
        read: impl FnOnce(&mut Context<'_>, &Parsed<'_>) -> T,
    ) -> T {
        let mut parsed = parse(source, text, &mut self.problems);
        let mut cx = Context {
            source,
            text,
            base: 0,
            broken: std::mem::take(&mut parsed.broken),
            problems: &mut self.problems,
        };
        read(&mut cx, &parsed)
    }

    fn reservations(
        &mut self,
        folder: &Path,
        written: Option<&[Written<String>]>,
    ) -> (Vec<ReservationsFile>, bool) {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut unsure = false;
        for (path, span) in named(folder, written) {
            for file in self.reservation_files(&path, span) {
                if !seen.insert(file.clone()) {
                    let mut problem = Problem::warning(
                        "read-once",
                        format!("{} is named twice and read once", file.display()),
                    )
                    .help("leave out one of the two; a folder stands for all its *.toml files");
                    if let Some(span) = span {
                        problem = problem.at(span, "named here again");
                    }
                    self.problems.push(problem);
                    continue;
                }
                let help = "create it, or name the right files in `reservations` of [server]";
                let Some((source, text)) = self.read(&file, span, help) else {
                    unsure = true;
                    continue;
                };
                let file = parts::read(source, &text, &mut self.problems).unwrap_or_else(|| {
                    self.parsed(source, &text, |cx, parsed| {
                        ReservationsFile::read(cx, parsed.table.get_ref())
                    })
                });
                found.push(file);
            }
        }
        (found, unsure)
    }

    fn reservation_files(&mut self, path: &Path, span: Option<Span>) -> Vec<PathBuf> {
        if !self.files.is_dir(path) {
            return vec![path.to_owned()];
        }
        match self.files.list(path) {
            Ok(list) => {
                let list: Vec<PathBuf> = list.into_iter().filter(|file| is_toml(file)).collect();
                if list.is_empty() {
                    let problem = Problem::warning(
                        "empty-folder",
                        format!("the folder {} holds no reservations", path.display()),
                    )
                    .help("its files end in .toml");
                    self.problems.push(match span {
                        Some(span) => problem.at(span, "no *.toml file in it"),
                        None => problem,
                    });
                }
                list
            }
            Err(error) => {
                self.unreadable(path, &error, span, "name a file or folder that there is");
                Vec::new()
            }
        }
    }

    fn profiles(&mut self, folder: &Folder) -> (Vec<ProfileFile>, Vec<ProfileName>) {
        let mut profiles = Vec::new();
        let mut unreadable = Vec::new();
        for file in self.list(folder) {
            if !is_toml(&file) {
                continue;
            }
            if file.parent() != Some(folder.path.as_path()) {
                self.problems.push(
                    Problem::warning(
                        "not-read",
                        format!("{} is no profile and is not read", file.display()),
                    )
                    .help(format!(
                        "profiles lie directly in {}",
                        folder.path.display()
                    )),
                );
                continue;
            }
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let name = values::name::<ProfileName>("a profile", &stem);
            let Some((source, text)) = self.read(&file, None, "") else {
                unreadable.extend(name);
                continue;
            };
            match name {
                Ok(name) => profiles.push(self.parsed(source, &text, |cx, parsed| {
                    let mut profile = ProfileFile::read(cx, name, parsed.table.get_ref());
                    profile.ok &= cx.broken.is_empty();
                    profile
                })),
                Err(bad) => {
                    let start = Span::new(source, 0..0);
                    let problem = Problem::error(bad.code, bad.message)
                        .at(start, format!("the name of this file: {}", bad.label));
                    self.problems.push(problem.help(format!(
                        "rename the file: letters, digits, `-`, `_` and `.`, such as {}/debian-12.toml",
                        folder.path.display()
                    )));
                }
            }
        }
        (profiles, unreadable)
    }

    fn templates(&mut self, folder: &Folder) -> (BTreeMap<String, Template>, bool) {
        let mut templates = BTreeMap::new();
        let mut unsure = false;
        for file in self.list(folder) {
            let Ok(below) = file.strip_prefix(&folder.path) else {
                continue;
            };
            let name = below
                .components()
                .map(|part| part.as_os_str().to_string_lossy())
                .collect::<Vec<_>>()
                .join("/");
            // What editors leave behind.
            if name.ends_with('~') || name.ends_with('#') {
                continue;
            }
            match self.read(&file, None, "") {
                Some((source, text)) => {
                    let span = Span::new(source, 0..0);
                    let template = Template {
                        text,
                        span: Some(span),
                    };
                    templates.insert(name, template);
                }
                None => unsure = true,
            }
        }
        (templates, unsure)
    }

    /// The files of declared variables that profiles name; they are no templates.
    fn declarations(
        &mut self,
        profiles: &[ProfileFile],
        templates: &mut BTreeMap<String, Template>,
    ) -> BTreeMap<String, DeclarationsFile> {
        let mut found = BTreeMap::new();
        for name in profiles.iter().flat_map(|profile| &profile.variables) {
            if let Some(template) = templates.remove(&name.value)
                && let Some(span) = template.span
            {
                let file = self.parsed(span.source, &template.text, |cx, parsed| {
                    DeclarationsFile::read(cx, parsed.table.get_ref())
                });
                found.insert(name.value.clone(), file);
            }
        }
        found
    }

    /// Snippets are the files `snippets/NAME.sh.j2`; what `snippets/NAME.toml` says of one is no template.
    fn snippets(
        &mut self,
        templates: &mut BTreeMap<String, Template>,
    ) -> BTreeMap<String, Option<SnippetFile>> {
        let part = |path: &str, ending: &str| {
            let name = path.strip_prefix("snippets/")?.strip_suffix(ending)?;
            (!name.contains('/')).then(|| name.to_owned())
        };
        let mut found: BTreeMap<String, Option<SnippetFile>> = templates
            .keys()
            .filter_map(|path| Some((part(path, ".sh.j2")?, None)))
            .collect();
        let files: Vec<(String, String)> = templates
            .keys()
            .filter_map(|path| Some((path.clone(), part(path, ".toml")?)))
            .collect();
        for (path, name) in files {
            let Some(template) = templates.remove(&path) else {
                continue;
            };
            let Some(span) = template.span else { continue };
            let file = self.parsed(span.source, &template.text, |cx, parsed| {
                SnippetFile::read(cx, &name, parsed.table.get_ref())
            });
            if let Some(snippet) = found.get_mut(&name) {
                *snippet = Some(file);
                continue;
            }
            let known = found.keys().map(String::as_str);
            let help = match suggest::nearest(&name, known) {
                Some(nearest) => {
                    format!("the file beside it is {nearest}.sh.j2: did you mean {nearest}.toml?")
                }
                None => format!("put the script into snippets/{name}.sh.j2"),
            };
            self.problems.push(
                Problem::warning(
                    "no-such-snippet",
                    format!("`{path}` describes a snippet that is not there"),
                )
                .at(span, format!("there is no snippets/{name}.sh.j2"))
                .help(help),
            );
        }
        found
    }

    /// The file of secrets. One that others can read is not read at all; nothing of its text goes anywhere
    /// but into the secrets.
    fn secrets(&mut self, folder: &Path, written: Option<&Written<String>>) -> SecretsFile {
        let Some(written) = written else {
            return SecretsFile::default();
        };
        let path = folder.join(&written.value);
        let shown = path.display();
        match self.files.read_private(&path) {
            Ok((_, mode)) if mode & 0o007 != 0 => {
                let problem = Problem::error(
                    "secrets-exposed",
                    format!(
                        "everybody on this machine may get at {shown} (its mode is {:04o})",
                        mode & 0o7777
                    ),
                )
                .at(written.span, "named here")
                .help(format!(
                    "`chmod 600 {shown}`, or 640 with the daemon's group; if others had the time to read it, change the secrets too"
                ));
                self.problems.push(problem);
            }
            Ok((text, _)) => {
                return SecretsFile::read(&path, &text, &mut self.sources, &mut self.problems);
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let problem = Problem::error(
                    "unreadable-file",
                    format!("{shown} must not be read by the account that this runs as"),
                )
                .at(written.span, "named here")
                .help(format!(
                    "the daemon reads it at each reload under its own account: `chgrp bootwright {shown}` and `chmod 640 {shown}`; `check` and `render` need the right to read it too"
                ));
                self.problems.push(problem);
            }
            Err(error) => {
                let help = format!(
                    "create it for the daemon alone (`install -m 600 /dev/null {shown}`), or leave `secrets` out of [server]"
                );
                self.unreadable(&path, &error, Some(written.span), &help);
            }
        }
        SecretsFile::unreadable()
    }

    /// The files of a folder. One that nobody named need not be there.
    fn list(&mut self, folder: &Folder) -> Vec<PathBuf> {
        match self.files.list(&folder.path) {
            Ok(list) => list,
            Err(error) => {
                if folder.named.is_some() || error.kind() != io::ErrorKind::NotFound {
                    self.unreadable(
                        &folder.path,
                        &error,
                        folder.named,
                        "create the folder, or name the right one",
                    );
                }
                Vec::new()
            }
        }
    }
}

/// A folder of configuration, and where it is named.
struct Folder {
    path: PathBuf,
    named: Option<Span>,
}

impl Folder {
    fn new(base: &Path, written: Option<&Written<String>>, usual: &str) -> Self {
        Self {
            path: base.join(written.map_or(usual, |written| written.value.as_str())),
            named: written.map(|written| written.span),
        }
    }
}

fn is_toml(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "toml")
}
