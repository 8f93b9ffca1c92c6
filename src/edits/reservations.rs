//! All reservations files of a configuration as texts to be edited.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Value;

use super::{Changed, Error, load_before};
use crate::base::{GroupName, HardwareAddr, HostName, glob, suggest};
use crate::config::draft::{GroupDraft, HostDraft};
use crate::config::edit::{Document, EditError, Entry, Kept, Key, Merged};
use crate::config::load::{load, reservation_files};
use crate::config::source::{Files, Overlay};
use crate::render::load::Loaded;

/// What was done to a host or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is new.
    Added,
    /// Keys of it were set, added or taken away.
    Changed,
    /// It is gone.
    Removed,
}

/// A host or group that an edit was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// Which.
    pub entry: Entry,
    /// What was done.
    pub what: What,
    /// The file.
    pub path: PathBuf,
    /// The line that it begins in, from 1; where it was, when it is gone.
    pub line: usize,
}

struct File {
    path: PathBuf,
    /// As it was read; `None`: it is not there.
    before: Option<Arc<str>>,
    document: Document,
}

/// All reservations files of a configuration.
pub struct Reservations {
    config: PathBuf,
    disk: Arc<dyn Files>,
    files: Vec<File>,
    folders: Vec<PathBuf>,
    before: OnceCell<Loaded>,
    touched: Vec<Touched>,
    /// The place of each in that list.
    known: HashMap<Entry, usize>,
    /// Where new entries go, when somebody has said so.
    into: Option<usize>,
    /// `bootwright.toml` as it was read and as it shall be, when something is added to it.
    server: Option<(Arc<str>, Arc<str>)>,
}

impl Reservations {
    /// Reads the files that a configuration names.
    pub fn read(disk: Arc<dyn Files>, config: &Path) -> Result<Self, Error> {
        let unreadable = |path: &Path, source| Error::Unreadable {
            path: path.to_owned(),
            source,
        };
        let named = reservation_files(&*disk, config).ok_or_else(|| {
            let error = disk.read(config).err();
            unreadable(config, error.unwrap_or_else(|| io::ErrorKind::Other.into()))
        })?;
        let mut paths = named.files;
        if paths.is_empty() {
            // A folder without a file.
            let folder = named.folders.first().cloned().unwrap_or_default();
            paths.push(folder.join("reservations.toml"));
        }
        let mut files = Vec::new();
        for path in paths {
            let before: Option<Arc<str>> = match disk.read(&path) {
                Ok(text) => Some(text.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(unreadable(&path, error)),
            };
            let document = Document::parse(before.as_deref().unwrap_or_default())
                .map_err(|source| in_file(&path, source))?;
            files.push(File {
                path,
                before,
                document,
            });
        }
        Ok(Self {
            config: config.to_owned(),
            disk,
            files,
            folders: named.folders,
            before: OnceCell::new(),
            touched: Vec::new(),
            known: HashMap::new(),
            into: None,
            server: None,
        })
    }

    /// Writes this below what `bootwright.toml` has: whole sections, such as `[[subnet]]`.
    pub fn add_to_server(&mut self, sections: &str) -> Result<(), Error> {
        let before: Arc<str> = match &self.server {
            Some((_, after)) => Arc::clone(after),
            None => self
                .disk
                .read(&self.config)
                .map_err(|source| Error::Unreadable {
                    path: self.config.clone(),
                    source,
                })?
                .into(),
        };
        let end = if before.is_empty() || before.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        let after: Arc<str> = format!("{before}{end}\n{sections}").into();
        let first = self.server.take().map_or(before, |(first, _)| first);
        self.server = Some((first, after));
        Ok(())
    }

    /// `bootwright.toml`.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The configuration before the edit, with all that was wrong with it. It is loaded when it is first asked for.
    pub fn before(&self) -> &Loaded {
        self.before.get_or_init(|| {
            let texts: Vec<(PathBuf, Arc<str>)> = self
                .files
                .iter()
                .filter_map(|file| Some((file.path.clone(), Arc::clone(file.before.as_ref()?))))
                .collect();
            load_before(&*self.disk, &self.config, &texts)
        })
    }

    /// The files, in the order in which they are read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The only file of that name, for who does not stand in its folder; nothing where there is such a file from here.
    fn alone_called(&self, path: &Path) -> Option<usize> {
        let mut called = self
            .files
            .iter()
            .enumerate()
            .filter(|(_, file)| path.is_relative() && file.path.ends_with(path));
        let (at, _) = called.next()?;
        (called.next().is_none() && !path.exists()).then_some(at)
    }

    /// Has what is new go into this file: one of the reservations, or one that would be read with them.
    pub fn put_new_into(&mut self, path: &Path) -> Result<(), Error> {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let wanted = real(path);
        let known = self
            .files
            .iter()
            .position(|file| file.path == path || real(&file.path) == wanted);
        if let Some(at) = known.or_else(|| self.alone_called(path)) {
            self.into = Some(at);
            return Ok(());
        }
        let folder = real(
            path.parent()
                .filter(|folder| !folder.as_os_str().is_empty())
                .unwrap_or_else(|| Path::new(".")),
        );
        let is_toml = path
            .extension()
            .is_some_and(|extension| extension == "toml");
        let below = self.folders.iter().find_map(|named| {
            let rest = folder.strip_prefix(real(named)).ok()?;
            let rest = rest.join(path.file_name()?);
            // Names with a dot at their beginning are not read.
            let is_hidden = |part: &OsStr| part.as_encoded_bytes().starts_with(b".");
            (!rest.iter().any(is_hidden)).then(|| named.join(rest))
        });
        match below.filter(|_| is_toml && !path.exists()) {
            Some(path) => {
                let document = Document::parse("").map_err(|source| in_file(&path, source))?;
                self.files.push(File {
                    path,
                    before: None,
                    document,
                });
                self.into = Some(self.files.len() - 1);
                Ok(())
            }
            None => Err(Error::NotOurs {
                path: path.to_owned(),
                known: self.paths().map(Path::to_owned).collect(),
            }),
        }
    }

    /// Whether a file has this host or group.
    pub fn has(&self, entry: &Entry) -> bool {
        self.files.iter().any(|file| file.document.has(entry))
    }

    /// All hosts, by file and line.
    pub fn hosts(&mut self) -> Result<Vec<HostName>, Error> {
        let mut all = Vec::new();
        for file in &mut self.files {
            all.extend(
                file.document
                    .hosts()
                    .map_err(|source| in_file(&file.path, source))?,
            );
        }
        Ok(all)
    }

    /// The host that a name, a MAC address in any spelling, or an address means.
    pub fn host_of(&mut self, text: &str) -> Result<HostName, Error> {
        let text = text.trim();
        let name = text.parse::<HostName>().ok();
        if let Some(name) = name
            .clone()
            .filter(|name| self.has(&Entry::Host(name.clone())))
        {
            return Ok(name);
        }
        if let (None, None) = (
            text.parse::<Ipv4Addr>().ok(),
            text.parse::<HardwareAddr>().ok(),
        ) {
            return match name {
                Some(name) => self.find(&Entry::Host(name.clone())).map(|_| name),
                None => Err(Error::Refused(format!(
                    "no reservation has {text:?}: HOST is a name, a MAC address or an address"
                ))),
            };
        }
        // What the files mean, so far as they can be understood.
        let mut files = Overlay::new(&*self.disk);
        for file in &self.files {
            if let Some(before) = &file.before {
                files.put(file.path.clone(), Arc::clone(before));
            }
        }
        let snapshot = load(&files, &self.config).snapshot;
        let found = snapshot.as_ref().and_then(|snapshot| {
            if let Ok(ip) = text.parse() {
                snapshot.host_by_ip(ip)
            } else {
                snapshot.host_by_mac(text.parse().ok()?)
            }
        });
        found
            .map(|host| host.name.clone())
            .ok_or_else(|| Error::Refused(format!("no reservation has {text}")))
    }

    /// The hosts that names, MAC addresses, addresses and globs mean, each once.
    pub fn hosts_of(&mut self, texts: &[String]) -> Result<Vec<HostName>, Error> {
        let mut found = Vec::new();
        let mut known = HashSet::new();
        for text in texts {
            let hosts = if glob::is_glob(text) {
                let mut hosts = self.hosts()?;
                hosts.retain(|name| glob::fits(text, name.as_str()));
                if hosts.is_empty() {
                    return Err(Error::Refused(format!("no host's name fits {text:?}")));
                }
                hosts
            } else {
                vec![self.host_of(text)?]
            };
            found.extend(hosts.into_iter().filter(|host| known.insert(host.clone())));
        }
        Ok(found)
    }

    /// Adds a host: to the file of its group's other hosts, else to the last file that has hosts.
    pub fn add_host(&mut self, draft: &HostDraft) -> Result<(), Error> {
        let entry = Entry::Host(draft.name.clone());
        self.must_be_new(&entry)?;
        let at = self.file_for(draft.group.as_ref());
        self.edit(at, entry, What::Added, |document| document.add_host(draft))
    }

    /// Adds a group: to the file where new hosts go.
    pub fn add_group(&mut self, draft: &GroupDraft) -> Result<(), Error> {
        let entry = Entry::Group(draft.name.clone());
        self.must_be_new(&entry)?;
        let at = self.file_for(None);
        self.edit(at, entry, What::Added, |document| document.add_group(draft))
    }

    /// Gives a host the keys of a draft that it lacks, and in place of what it has otherwise those of which `replaces` says
    /// so.
    pub fn merge_host(
        &mut self,
        draft: &HostDraft,
        replaces: impl Fn(&Kept) -> bool,
    ) -> Result<Merged, Error> {
        let entry = Entry::Host(draft.name.clone());
        let at = self.find(&entry)?;
        let merged = self.on(at, |document| document.merge_host(draft, replaces))?;
        if !merged.added.is_empty() || !merged.replaced.is_empty() {
            self.touch(at, entry, What::Changed, 1);
        }
        Ok(merged)
    }

    /// Puts a hardware address in the place of another one, whichever network card of the host has it; whether one has.
    pub fn replace_mac(
        &mut self,
        entry: &Entry,
        old: HardwareAddr,
        new: HardwareAddr,
    ) -> Result<bool, Error> {
        self.change(entry, |document| document.replace_mac(entry, old, new))
    }

    /// The value of a key; `None`: it is not there, or no single value.
    pub fn value(&mut self, entry: &Entry, key: &Key) -> Result<Option<Value>, Error> {
        let at = self.find(entry)?;
        self.on(at, |document| document.value(entry, key))
    }

    /// The value of a key of `[defaults]`, where it is written as one value.
    pub fn default_value(&self, key: &str) -> Option<Value> {
        let mut files = self.files.iter();
        files.find_map(|file| file.document.default_value(key))
    }

    /// Sets a key.
    pub fn set(&mut self, entry: &Entry, key: &Key, value: &Value) -> Result<(), Error> {
        self.change(entry, |document| document.set(entry, key, value))
    }

    /// Takes a key away.
    pub fn unset(&mut self, entry: &Entry, key: &Key) -> Result<(), Error> {
        self.change(entry, |document| document.unset(entry, key))
    }

    /// Adds an element to a list.
    pub fn push(&mut self, entry: &Entry, key: &Key, element: &Value) -> Result<(), Error> {
        self.change(entry, |document| document.push(entry, key, element))
    }

    /// Takes an element out of a list.
    pub fn pull(&mut self, entry: &Entry, key: &Key, element: &Value) -> Result<(), Error> {
        self.change(entry, |document| document.pull(entry, key, element))
    }

    /// Takes hosts and groups away.
    pub fn remove(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let mut of_files: Vec<Vec<Entry>> = vec![Vec::new(); self.files.len()];
        for entry in entries {
            let at = self.find(entry)?;
            let line = self.line(at, entry)?;
            self.touch(at, entry.clone(), What::Removed, line);
            if let Some(of_file) = of_files.get_mut(at) {
                of_file.push(entry.clone());
            }
        }
        for (at, entries) in of_files.iter().enumerate() {
            self.on(at, |document| document.remove(entries))?;
        }
        Ok(())
    }

    fn must_be_new(&mut self, entry: &Entry) -> Result<(), Error> {
        let Some(at) = self.files.iter().position(|file| file.document.has(entry)) else {
            return Ok(());
        };
        let line = self.line(at, entry)?;
        Err(Error::There {
            entry: entry.clone(),
            path: self.path(at),
            line,
        })
    }

    fn line(&mut self, at: usize, entry: &Entry) -> Result<usize, Error> {
        Ok(self.on(at, |document| document.line(entry))?.unwrap_or(1))
    }

    fn path(&self, at: usize) -> PathBuf {
        self.files
            .get(at)
            .map(|file| file.path.clone())
            .unwrap_or_default()
    }

    /// Where a new host goes.
    fn file_for(&self, group: Option<&GroupName>) -> usize {
        if let Some(into) = self.into {
            return into;
        }
        if let Some(group) = group {
            for at in (0..self.files.len()).rev() {
                let file = self.files.get(at);
                if file.is_some_and(|file| file.document.has_host_of(group)) {
                    return at;
                }
            }
            let entry = Entry::Group(group.clone());
            let with_group = self.files.iter().position(|file| file.document.has(&entry));
            let of_group = with_group.filter(|at| {
                // A file of groups alone holds no hosts.
                self.files
                    .get(*at)
                    .is_some_and(|file| file.before.is_some())
            });
            if let Some(at) = of_group
                && self.has_hosts(at)
            {
                return at;
            }
        }
        let with_hosts = (0..self.files.len()).rev().find(|at| self.has_hosts(*at));
        with_hosts.unwrap_or_else(|| self.files.len().saturating_sub(1))
    }

    fn has_hosts(&self, at: usize) -> bool {
        self.files
            .get(at)
            .is_some_and(|file| file.document.has_hosts())
    }

    /// The file that an entry stands in.
    fn find(&mut self, entry: &Entry) -> Result<usize, Error> {
        if let Some(at) = self.files.iter().position(|file| file.document.has(entry)) {
            return Ok(at);
        }
        let mut names: Vec<String> = Vec::new();
        for at in 0..self.files.len() {
            match entry {
                Entry::Host(_) => names.extend(
                    self.on(at, Document::hosts)?
                        .iter()
                        .map(ToString::to_string),
                ),
                Entry::Group(_) => names.extend(
                    self.on(at, Document::groups)?
                        .iter()
                        .map(ToString::to_string),
                ),
            }
        }
        Err(Error::NoEntry {
            entry: entry.clone(),
            nearest: suggest::nearest(entry.name(), names.iter().map(String::as_str))
                .map(str::to_owned),
        })
    }

    fn on<T>(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Document) -> Result<T, EditError>,
    ) -> Result<T, Error> {
        match self.files.get_mut(at) {
            Some(file) => act(&mut file.document).map_err(|source| in_file(&file.path, source)),
            None => Err(Error::Refused(
                "the configuration names no reservations".to_owned(),
            )),
        }
    }

    fn change<T>(
        &mut self,
        entry: &Entry,
        act: impl FnOnce(&mut Document) -> Result<T, EditError>,
    ) -> Result<T, Error> {
        let at = self.find(entry)?;
        self.edit(at, entry.clone(), What::Changed, act)
    }

    fn edit<T>(
        &mut self,
        at: usize,
        entry: Entry,
        what: What,
        act: impl FnOnce(&mut Document) -> Result<T, EditError>,
    ) -> Result<T, Error> {
        let done = self.on(at, act)?;
        self.touch(at, entry, what, 1);
        Ok(done)
    }

    /// Notes what was done to an entry of this file; `line`: where it stands, unless the text tells it later.
    fn touch(&mut self, at: usize, entry: Entry, what: What, line: usize) {
        let path = self.path(at);
        let known = self.known.get(&entry).copied();
        if let Some(touched) = known.and_then(|at| self.touched.get_mut(at)) {
            touched.what = match (touched.what, what) {
                (What::Added, What::Changed) => What::Added,
                (What::Removed, What::Added) => What::Changed,
                (_, what) => what,
            };
            touched.path = path;
            touched.line = line;
        } else {
            self.known.insert(entry.clone(), self.touched.len());
            self.touched.push(Touched {
                entry,
                what,
                path,
                line,
            });
        }
    }

    pub(super) fn disk(&self) -> Arc<dyn Files> {
        Arc::clone(&self.disk)
    }

    /// Puts the texts over the files: all that are there, with `edited` as they are now.
    pub(super) fn put_into(&mut self, over: &mut Overlay<'_>, edited: bool) -> Result<(), Error> {
        if let Some((_, after)) = self.server.as_ref().filter(|_| edited) {
            over.put(self.config.clone(), Arc::clone(after));
        }
        for file in &mut self.files {
            let text = file
                .document
                .text()
                .map_err(|source| in_file(&file.path, source))?;
            match &file.before {
                Some(before) if !edited || **before == *text => {
                    over.put(file.path.clone(), Arc::clone(before));
                }
                None if text.is_empty() => {}
                _ => over.put(file.path.clone(), text),
            }
        }
        Ok(())
    }

    /// The files that differ from what was read.
    pub(super) fn changed(&mut self) -> Result<Vec<Changed>, Error> {
        let mut changed = Vec::new();
        if let Some((before, after)) = &self.server {
            changed.push(Changed {
                path: self.config.clone(),
                before: Some(Arc::clone(before)),
                after: Arc::clone(after),
            });
        }
        for file in &mut self.files {
            let text = file
                .document
                .text()
                .map_err(|source| in_file(&file.path, source))?;
            if file.before.as_deref().unwrap_or_default() != text {
                changed.push(Changed {
                    path: file.path.clone(),
                    before: file.before.clone(),
                    after: text.into(),
                });
            }
        }
        Ok(changed)
    }

    /// What the edit was about, with the lines as they are now.
    pub(super) fn touched(&mut self) -> Result<Vec<Touched>, Error> {
        let mut touched = self.touched.clone();
        for one in &mut touched {
            let file = self.files.iter_mut().find(|file| file.path == one.path);
            if let Some(file) = file {
                let line = file.document.line(&one.entry);
                if let Some(line) = line.map_err(|source| in_file(&file.path, source))? {
                    one.line = line;
                }
            }
        }
        Ok(touched)
    }
}

fn in_file(path: &Path, source: EditError) -> Error {
    match source {
        EditError::Refused(why) => Error::Refused(why),
        source => Error::InFile {
            path: path.to_owned(),
            source,
        },
    }
}
