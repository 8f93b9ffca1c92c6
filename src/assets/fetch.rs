//! `assets fetch`: all files of one profile for one architecture, collected, checked, and put in their places.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::http::{Client, Patience};
use super::manifest::{Checked, Entry, Lock, Manifest};
use super::origin::Package;
use super::place::{Measured, Staged, check_looks, copy, measure, place};
use super::signature::{self, Keys, Verdict};
use super::source::{Source, member_of};
use super::sums::{Sum, Sums};
use super::{AssetError, Step, Tell};
use crate::config::fetch::{Fetch, FetchFile, Signature};
use crate::config::values::boot_file;
use crate::config::written::fetch::package_name;

/// What is to be fetched.
#[derive(Debug)]
pub struct Order<'a> {
    /// The profile's name, or the one of what is built in.
    pub name: &'a str,
    /// Where its files come from, for one architecture.
    pub fetch: &'a Fetch,
    /// Where they belong.
    pub boot_assets: &'a Path,
    /// From where.
    pub from: From<'a>,
    /// Whether signatures are checked, where there are keys.
    pub signatures: bool,
    /// How long servers are waited for.
    pub patience: Patience,
    /// When this is (RFC 3339), for the manifest.
    pub now: String,
}

/// From where files are taken.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// The Debian package where one is named, else the mirror of the declaration.
    Usual,
    /// This mirror.
    Mirror(&'a str),
    /// This folder, image or file.
    Local(&'a Path),
}

/// A file that is in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Brought {
    /// Where it is, under `boot_assets`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
    /// Where it came from.
    pub origin: String,
    /// How it was checked.
    pub checked: Checked,
    /// The same as a sentence.
    pub note: String,
    /// Whether the same bytes were there before.
    pub unchanged: bool,
}

/// How much a file's bytes are worth.
#[derive(Debug, Clone)]
struct Trust {
    checked: Checked,
    note: String,
}

/// A list of sums that was read.
struct List {
    path: String,
    sums: Sums,
    /// Who signed it; or why that is not known.
    signer: Result<String, String>,
}

/// A file that is checked: collected, or in its place already.
struct Ready {
    file: PathBuf,
    measured: Measured,
    origin: String,
    trust: Trust,
    in_place: bool,
}

/// Fetches everything of an order: all of it comes to its place, or nothing.
pub async fn fetch(order: &Order<'_>, tell: Tell<'_>) -> Result<Vec<Brought>, AssetError> {
    if let (Some(by_hand), true) = (&order.fetch.by_hand, order.fetch.files.is_empty()) {
        return Err(AssetError::OnlyByHand {
            name: order.name.to_owned(),
            by_hand: by_hand.clone(),
        });
    }
    usable(order)?;
    let lock = Lock::take(order.boot_assets)?;
    let staging = lock.staging().join(order.name);
    fs::create_dir_all(&staging).map_err(|source| AssetError::Io {
        action: "cannot write",
        path: staging.clone(),
        source,
    })?;
    let ready = match order.from {
        From::Local(path) => {
            let source = Source::local(path)?;
            Run::new(order, &staging, source).all(tell).await?
        }
        From::Mirror(base) => from_mirror(order, &staging, base, tell).await?,
        From::Usual => match (&order.fetch.package, &order.fetch.mirror) {
            (Some(package), mirror) => match of_package(order, &staging, package, tell) {
                Ok(ready) => ready,
                Err(error) => match mirror {
                    None => return Err(error),
                    Some(base) => {
                        tell(Step::Said(format!("{error}\nfrom {base} instead")));
                        from_mirror(order, &staging, base, tell).await?
                    }
                },
            },
            (None, Some(base)) => from_mirror(order, &staging, base, tell).await?,
            (None, None) => {
                let name = order.name.to_owned();
                return Err(match order.fetch.by_hand.clone() {
                    Some(by_hand) => AssetError::ByHand { name, by_hand },
                    None => AssetError::NoMirror { name },
                });
            }
        },
    };
    let brought = finish(order, &lock, &staging, ready)?;
    let _ = fs::remove_dir_all(&staging);
    Ok(brought)
}

/// Holds places and packages once more to what their reader asks, now that the values of variables are in them.
fn usable(order: &Order<'_>) -> Result<(), AssetError> {
    let files = &order.fetch.files;
    let places = files.iter().map(|file| boot_file(&file.path));
    let packages = files.iter().filter_map(|file| file.package.as_deref());
    let packages = packages.chain(order.fetch.package.as_deref());
    places
        .chain(packages.map(package_name))
        .find_map(Result::err)
        .map_or(Ok(()), |bad| {
            Err(AssetError::Unusable {
                name: order.name.to_owned(),
                message: format!("{} ({})", bad.message, bad.label),
            })
        })
}

async fn from_mirror(
    order: &Order<'_>,
    staging: &Path,
    base: &str,
    tell: Tell<'_>,
) -> Result<Vec<(String, Ready)>, AssetError> {
    let client = Client::new(order.patience)?;
    let source = Source::Mirror(Box::new(client), base.trim_end_matches('/').to_owned());
    Run::new(order, staging, source).all(tell).await
}

/// Puts everything in its place and notes it.
fn finish(
    order: &Order<'_>,
    lock: &Lock,
    staging: &Path,
    ready: Vec<(String, Ready)>,
) -> Result<Vec<Brought>, AssetError> {
    let mut manifest = Manifest::read(order.boot_assets)?;
    let mut staged = Vec::new();
    let mut brought = Vec::new();
    for (path, ready) in ready {
        let target = order.boot_assets.join(&path);
        let unchanged = ready.in_place
            || measure(&target, None).is_ok_and(|there| {
                there.size == ready.measured.size && there.sha256 == ready.measured.sha256
            });
        let Measured { size, sha256, .. } = ready.measured;
        // A file that was the operator's before stays the operator's: it was not brought by this.
        if !unchanged || manifest.files.contains_key(&path) {
            let entry = Entry {
                size,
                sha256: sha256.clone(),
                origin: ready.origin.clone(),
                name: order.name.to_owned(),
                checked: ready.trust.checked,
                at: order.now.clone(),
            };
            manifest.files.insert(path.clone(), entry);
        }
        if !unchanged {
            staged.push(Staged {
                file: ready.file,
                path: path.clone(),
            });
        }
        brought.push(Brought {
            path,
            size,
            sha256,
            origin: ready.origin,
            checked: ready.trust.checked,
            note: ready.trust.note,
            unchanged,
        });
    }
    place(&staged, order.boot_assets, staging)?;
    manifest.write(lock, order.boot_assets)?;
    Ok(brought)
}

/// The files as a Debian package has them.
fn of_package(
    order: &Order<'_>,
    staging: &Path,
    package: &str,
    tell: Tell<'_>,
) -> Result<Vec<(String, Ready)>, AssetError> {
    let mut packages: BTreeMap<&str, Option<Package>> = BTreeMap::new();
    let mut all = Vec::new();
    for file in &order.fetch.files {
        let package = file.package.as_deref().unwrap_or(package);
        let found = if let Some(found) = packages.get(package) {
            found
        } else {
            let found = find(order, package, tell)?;
            packages.entry(package).or_insert(found)
        };
        let place = file.in_package.as_deref();
        let from = place.and_then(|place| found.as_ref()?.file(place));
        let Some(from) = from else {
            if file.optional {
                tell(Step::Said(format!(
                    "{} is not in the package {package}; it is not needed",
                    file.path
                )));
                continue;
            }
            return Err(AssetError::NotInPackage {
                package: package.to_owned(),
                file: place.unwrap_or(&file.path).to_owned(),
            });
        };
        let part = staging.join(part_name(&file.path));
        copy(&from, &part)?;
        check_looks(&part, file.looks, &file.path)?;
        let trust = Trust {
            checked: Checked::Package,
            note: format!("of the package {package}, as apt checks packages"),
        };
        let measured = measured(&part, None)?;
        let ready = Ready {
            file: part,
            measured,
            origin: format!("package {package}"),
            trust,
            in_place: false,
        };
        all.push((file.path.clone(), ready));
    }
    Ok(all)
}

/// Finds one package; `None`: it cannot be had, and nothing of it is needed. `order` has the name of another one for
/// the files that name none.
fn find(order: &Order<'_>, package: &str, tell: Tell<'_>) -> Result<Option<Package>, AssetError> {
    let usual = order.fetch.package.as_deref();
    let files = &order.fetch.files;
    let its = |file: &&FetchFile| file.package.as_deref().or(usual) == Some(package);
    let needs_it = files.iter().filter(its).any(|file| !file.optional);
    // Of what is not needed, an installed package has to have all to be taken for whole.
    let wanted = files
        .iter()
        .filter(its)
        .filter(|file| !needs_it || !file.optional)
        .filter_map(|file| file.in_package.as_deref());
    match Package::find(package, wanted, tell) {
        Ok(found) => Ok(Some(found)),
        Err(error) if !needs_it => {
            tell(Step::Said(format!("{error}\nwithout it")));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn measured(path: &Path, against: Option<&Sum>) -> Result<Measured, AssetError> {
    measure(path, against).map_err(|source| AssetError::Io {
        action: "cannot read",
        path: path.to_owned(),
        source,
    })
}

/// A name for the part of a file: the same at each try, and another one for each.
fn part_name(from: &str) -> String {
    let digest = HEXLOWER.encode(&Sha256::digest(from.as_bytes()));
    let name = from.rsplit('/').next().unwrap_or(from).replace('*', "_");
    format!("{}-{name}.part", digest.get(..12).unwrap_or_default())
}

/// One order from one source.
struct Run<'o> {
    order: &'o Order<'o>,
    staging: &'o Path,
    source: Source,
    lists: Vec<List>,
    stream: Option<(String, Value)>,
}

impl<'o> Run<'o> {
    const fn new(order: &'o Order<'o>, staging: &'o Path, source: Source) -> Self {
        Self {
            order,
            staging,
            source,
            lists: Vec::new(),
            stream: None,
        }
    }

    fn keys(&self) -> Keys<'o> {
        Keys {
            files: &self.order.fetch.keyring,
            package: self.order.fetch.keyring_package.as_deref(),
        }
    }

    async fn all(mut self, tell: Tell<'_>) -> Result<Vec<(String, Ready)>, AssetError> {
        self.read_lists(tell).await?;
        self.read_stream().await?;
        let files = &self.order.fetch.files;
        let mut all: BTreeMap<usize, (String, Ready)> = BTreeMap::new();
        // By where they came from: what further files are taken out of.
        let mut whole: BTreeMap<String, (PathBuf, String, Trust)> = BTreeMap::new();
        let plain = files
            .iter()
            .enumerate()
            .filter(|(_, file)| file.member.is_none());
        for (index, file) in plain {
            let Some((from, ready)) = self.file(file, tell).await? else {
                continue;
            };
            let at = if ready.in_place {
                self.order.boot_assets.join(&file.path)
            } else {
                ready.file.clone()
            };
            whole.insert(from, (at, ready.origin.clone(), ready.trust.clone()));
            all.insert(index, (file.path.clone(), ready));
        }
        for (index, file) in files.iter().enumerate() {
            let Some(member) = &file.member else { continue };
            let Some(ready) = self.member(file, member, &mut whole, tell).await? else {
                continue;
            };
            all.insert(index, (file.path.clone(), ready));
        }
        Ok(all.into_values().collect())
    }

    /// A file out of an image or archive, which is fetched when it was not yet.
    async fn member(
        &mut self,
        file: &FetchFile,
        member: &str,
        whole: &mut BTreeMap<String, (PathBuf, String, Trust)>,
        tell: Tell<'_>,
    ) -> Result<Option<Ready>, AssetError> {
        let from = self.resolve(file)?;
        if !whole.contains_key(&from) {
            let container = FetchFile {
                path: String::new(),
                looks: crate::wire::looks::Looks::Any,
                ..file.clone()
            };
            if let Some((from, ready)) = self.file(&container, tell).await? {
                whole.insert(from, (ready.file, ready.origin, ready.trust));
            }
        }
        let Some((container, origin, trust)) = whole.get(&from) else {
            return Ok(None);
        };
        tell(Step::Said(format!(
            "taking {member} out of {}",
            container_name(&from)
        )));
        let part = self.staging.join(part_name(&file.path));
        member_of(container, member, &part)?;
        check_looks(&part, file.looks, member)?;
        Ok(Some(Ready {
            measured: measured(&part, None)?,
            file: part,
            origin: format!("{member} in {origin}"),
            trust: trust.clone(),
            in_place: false,
        }))
    }

    /// Reads the lists of sums, each held against those before it.
    async fn read_lists(&mut self, tell: Tell<'_>) -> Result<(), AssetError> {
        for wanted in &self.order.fetch.sums {
            let Some(text) = self.source.text(&wanted.path).await? else {
                let (place, looked_for) = self.source.looked_for(&wanted.path, &[]);
                if self.source.is_local() {
                    tell(Step::Said(format!(
                        "{} is not in {}: what it would vouch for is not checked by it",
                        wanted.path,
                        place.display()
                    )));
                    continue;
                }
                return Err(AssetError::NotInPlace {
                    place,
                    file: wanted.path.clone(),
                    looked_for,
                });
            };
            let file = self.staging.join("list");
            fs::write(&file, &text).map_err(|source| AssetError::Io {
                action: "cannot write",
                path: file.clone(),
                source,
            })?;
            let mut signer = Err("nothing that is signed vouches for it".to_owned());
            let vouched = self.expected(&wanted.path);
            if let Some((sum, list)) = vouched {
                if !measured(&file, Some(sum))?.has(sum) {
                    return Err(AssetError::OtherSum {
                        file: wanted.path.clone(),
                        list: list.path.clone(),
                    });
                }
                signer = list.signer.clone();
            }
            let mut text = text;
            if let Some(signature) = &wanted.signature {
                let (verdict, signed) = self.verdict(&wanted.path, &file, signature).await?;
                match verdict {
                    Verdict::Good(who) => signer = Ok(who),
                    // A list before it may vouch for it all the same.
                    Verdict::Unchecked(why) => signer = signer.or(Err(why)),
                }
                if let Some(signed) = signed {
                    text = signed;
                }
            }
            match &signer {
                Ok(who) => tell(Step::Said(format!("{}: signed by {who}", wanted.path))),
                Err(why) => tell(Step::Said(format!(
                    "{}: its signature is not checked: {why}",
                    wanted.path
                ))),
            }
            let sums = Sums::read(&wanted.path, &String::from_utf8_lossy(&text));
            if sums.is_empty() {
                return Err(AssetError::NoSums {
                    list: wanted.path.clone(),
                });
            }
            self.lists.push(List {
                path: wanted.path.clone(),
                sums,
                signer,
            });
        }
        Ok(())
    }

    /// Checks a signature; for a clear-signed text also what was signed.
    async fn verdict(
        &mut self,
        name: &str,
        file: &Path,
        signature: &Signature,
    ) -> Result<(Verdict, Option<Vec<u8>>), AssetError> {
        if !self.order.signatures {
            let why = "--no-signature was given".to_owned();
            return Ok((Verdict::Unchecked(why), None));
        }
        let Signature::Detached(path) = signature else {
            let (verdict, text) = signature::inline(file, self.keys())?;
            return Ok((verdict, Some(text)));
        };
        let Some(bytes) = self.source.text(path).await? else {
            if self.source.is_local() {
                let why = format!("{path} is not there");
                return Ok((Verdict::Unchecked(why), None));
            }
            return Err(AssetError::Signature {
                file: name.to_owned(),
                why: format!("its signature {path} is not on the mirror"),
                package: None,
            });
        };
        let beside = self.staging.join("signature");
        fs::write(&beside, bytes).map_err(|source| AssetError::Io {
            action: "cannot write",
            path: beside.clone(),
            source,
        })?;
        let verdict = signature::detached(file, &beside, self.keys())?;
        Ok((verdict, None))
    }

    async fn read_stream(&mut self) -> Result<(), AssetError> {
        let Some(path) = &self.order.fetch.stream else {
            return Ok(());
        };
        let bad = |why: String| AssetError::Io {
            action: "cannot read",
            path: PathBuf::from(path),
            source: std::io::Error::other(why),
        };
        let text = self.source.text(path).await?;
        let text = text.ok_or_else(|| bad("it is not there".to_owned()))?;
        let value = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        self.stream = Some((path.clone(), value));
        Ok(())
    }

    /// The sum that a list has of a file, the first one that knows it.
    fn expected(&self, path: &str) -> Option<(&Sum, &List)> {
        self.lists
            .iter()
            .find_map(|list| Some((list.sums.of(path)?, list)))
    }

    /// What the document of addresses says of a file.
    fn in_stream(&self, pointer: &str, key: &str) -> Option<&str> {
        let (_, document) = self.stream.as_ref()?;
        document.pointer(pointer)?.get(key)?.as_str()
    }

    /// Where a file is: patterns and pointers looked up.
    fn resolve(&self, file: &FetchFile) -> Result<String, AssetError> {
        if let Some(pointer) = &file.in_stream {
            let place = self.in_stream(pointer, "location");
            return place
                .map(str::to_owned)
                .ok_or_else(|| AssetError::NotInStream {
                    stream: self
                        .stream
                        .as_ref()
                        .map_or_else(String::new, |(path, _)| path.clone()),
                    pointer: pointer.clone(),
                });
        }
        let Some(from) = &file.from else {
            // Only a folder or an image may have it all the same.
            return Ok(file.in_package.clone().unwrap_or_else(|| file.path.clone()));
        };
        if !from.contains('*') {
            return Ok(from.clone());
        }
        let newest = self.lists.iter().find_map(|list| list.sums.newest(from));
        match newest {
            Some(newest) => Ok(newest.to_owned()),
            None if self.source.is_local() => Ok(from.clone()),
            None => Err(self.no_sum(from)),
        }
    }

    fn no_sum(&self, file: &str) -> AssetError {
        let lists: Vec<&str> = self.lists.iter().map(|list| list.path.as_str()).collect();
        AssetError::NoSum {
            file: file.to_owned(),
            lists: if lists.is_empty() {
                "no list of sums".to_owned()
            } else {
                lists.join(", ")
            },
        }
    }

    /// What a file is held against, and what that is worth.
    fn worth(&self, file: &FetchFile, from: &str) -> Result<(Option<Sum>, Trust), AssetError> {
        if let Some(sum) = &file.sha256 {
            let trust = Trust {
                checked: Checked::Profile,
                note: "sha256 as the profile says".to_owned(),
            };
            return Ok((Sum::of_hex(sum), trust));
        }
        if let Some(pointer) = &file.in_stream
            && let Some(sum) = self.in_stream(pointer, "sha256").and_then(Sum::of_hex)
        {
            let stream = self.stream.as_ref().map_or("", |(path, _)| path.as_str());
            let trust = Trust {
                checked: Checked::Sum,
                note: format!("sha256 as published in {stream}; its signature is not checked"),
            };
            return Ok((Some(sum), trust));
        }
        if let Some((sum, list)) = self.expected(from) {
            let (checked, note) = match &list.signer {
                Ok(who) => (
                    Checked::Signature,
                    format!("sum as published in {}, signed by {who}", list.path),
                ),
                Err(why) => (
                    Checked::Sum,
                    format!(
                        "sum as published in {}; its signature is not checked: {why}",
                        list.path
                    ),
                ),
            };
            return Ok((Some(sum.clone()), Trust { checked, note }));
        }
        // A local copy need not have the lists; a mirror does.
        let unlisted = !self.lists.is_empty() && file.signature.is_none();
        if unlisted && (!self.source.is_local() || self.lists.len() == self.order.fetch.sums.len())
        {
            return Err(self.no_sum(from));
        }
        let why = match (&self.source, self.order.fetch.sums.is_empty()) {
            (Source::Image(..), true) => "it is as the image has it, and the image is not checked",
            (_, true) => "the profile names no sums",
            (_, false) => "the lists of sums are not beside the files",
        };
        let trust = Trust {
            checked: Checked::Nothing,
            note: format!("not checked: {why}; it looks like what it is to be"),
        };
        Ok((None, trust))
    }

    /// Fetches one file and checks it; `None` for an optional one that is not there. An empty path is no
    /// place: the file is for others to be taken out of.
    async fn file(
        &mut self,
        file: &FetchFile,
        tell: Tell<'_>,
    ) -> Result<Option<(String, Ready)>, AssetError> {
        let from = self.resolve(file)?;
        let (expected, mut trust) = match self.worth(file, &from) {
            Err(_) if file.optional => return Ok(None),
            worth => worth?,
        };
        let target = self.order.boot_assets.join(&file.path);
        if let Some(sum) = &expected
            && file.signature.is_none()
            && !file.path.is_empty()
            && let Ok(there) = measure(&target, Some(sum))
            && there.has(sum)
        {
            let ready = Ready {
                file: target,
                measured: there,
                origin: self
                    .source
                    .looked_for(&from, &[])
                    .0
                    .join(&from)
                    .display()
                    .to_string(),
                trust,
                in_place: true,
            };
            return Ok(Some((from, ready)));
        }
        let part = self.staging.join(part_name(&from));
        let others: Vec<&str> = [Some(file.path.as_str()), file.in_package.as_deref()]
            .into_iter()
            .flatten()
            .filter(|place| !place.is_empty())
            .collect();
        let Some(origin) = self.source.take(&from, &others, &part, tell).await? else {
            if file.optional {
                tell(Step::Said(format!(
                    "{} is not there; it is not needed",
                    file.path
                )));
                return Ok(None);
            }
            let (place, looked_for) = self.source.looked_for(&from, &others);
            let name = if file.path.is_empty() {
                &from
            } else {
                &file.path
            };
            return Err(AssetError::NotInPlace {
                place,
                file: name.clone(),
                looked_for,
            });
        };
        let measured = measured(&part, expected.as_ref())?;
        if let Some(sum) = &expected
            && !measured.has(sum)
        {
            // The next try begins anew.
            super::download::forget(&part);
            let list = match self.expected(&from) {
                Some((_, list)) if file.sha256.is_none() => list.path.clone(),
                _ => "the profile".to_owned(),
            };
            return Err(AssetError::OtherSum { file: from, list });
        }
        if let Err(error) = check_looks(&part, file.looks, &from) {
            super::download::forget(&part);
            return Err(error);
        }
        let stated = file
            .in_stream
            .as_ref()
            .and_then(|pointer| self.in_stream(pointer, "signature"))
            .map(|url| Signature::Detached(url.to_owned()));
        if let Some(signature) = file.signature.clone().or(stated) {
            match self.verdict(&from, &part, &signature).await?.0 {
                Verdict::Good(who) => {
                    trust = Trust {
                        checked: Checked::Signature,
                        note: format!("signed by {who}"),
                    };
                }
                Verdict::Unchecked(why) => {
                    trust.note = format!("{}; the signature is not checked: {why}", trust.note);
                }
            }
        }
        let ready = Ready {
            file: part,
            measured,
            origin,
            trust,
            in_place: false,
        };
        Ok(Some((from, ready)))
    }
}

fn container_name(from: &str) -> &str {
    from.rsplit('/').next().unwrap_or(from)
}
