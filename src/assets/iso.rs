//! The files of an ISO 9660 image, read without mounting it: Rock Ridge's names where there are any, else
//! Joliet's, else the plain ones in small letters. Files above 4 GiB are of several extents.
//!
//! **Invariant:** whatever the image says, reading it ends, within bounds of time and memory ([`Limits`]);
//! every path is relative, and none of its parts is empty, `.`, `..` or holds `/` or a control character.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::wire::iso::{
    Descriptor, Extent, FIRST_DESCRIPTOR, Record, RockRidge, SECTOR, Volume, descriptor,
    joliet_name, plain_name, records,
};

/// How much of an image is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files and folders.
    pub entries: usize,
    /// Bytes of all directories together, and of all paths.
    pub directories: u64,
    /// Folders within each other.
    pub depth: usize,
    /// Extents of one file, and continuations of one record.
    pub parts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 400_000,
            directories: 256 << 20,
            depth: 32,
            parts: 1_024,
        }
    }
}

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum IsoError {
    /// It could not be read at all.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is no ISO 9660 image")]
    NotIso,
    /// It is shorter than it says.
    #[error("it is cut off: {size} of {expected} bytes are there; fetch it again")]
    CutOff {
        /// Bytes that are there.
        size: u64,
        /// Bytes that there should be.
        expected: u64,
    },
    /// It goes beyond a limit.
    #[error("it has more than {limit} {what}, which no installation image has")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// A part lies outside of it.
    #[error("it is broken: {what} lies outside of it")]
    Outside {
        /// What.
        what: String,
    },
    /// A file that cannot be copied as it stands.
    #[error("{path} is compressed within the image (zisofs), which cannot be read here")]
    Compressed {
        /// The file.
        path: String,
    },
    /// No such file.
    #[error("it has no {path}")]
    NoFile {
        /// The file.
        path: String,
    },
}

/// One entry of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file: its parts, in order.
    File {
        /// Where they lie.
        extents: Vec<Extent>,
        /// Whether it is compressed, so that its bytes are not its contents.
        compressed: bool,
    },
    /// A symbolic link, and what it says.
    Link(String),
}

/// An image and all that is in it.
#[derive(Debug)]
pub struct Image<R> {
    reader: R,
    size: u64,
    volume: Volume,
    nodes: BTreeMap<String, Node>,
    /// How many entries were passed over because of their names or their kind.
    pub passed_over: usize,
}

/// So long is one area of system use entries at most.
const AREA: u32 = 64 << 10;
/// A sector's length, as extents have it.
const ONE_SECTOR: u32 = 2_048;

/// Whose names are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Plain,
    Joliet,
    /// So many bytes of each system use area come first.
    RockRidge(usize),
}

impl<R: Read + Seek> Image<R> {
    /// Reads the whole tree of an image.
    pub fn open(reader: R) -> Result<Self, IsoError> {
        Self::open_within(reader, Limits::default())
    }

    /// The same within these limits.
    pub fn open_within(mut reader: R, limits: Limits) -> Result<Self, IsoError> {
        let size = reader.seek(SeekFrom::End(0))?;
        let (primary, joliet) = descriptors(&mut reader, size)?;
        let primary = primary.ok_or(IsoError::NotIso)?;
        let expected = u64::from(primary.blocks).saturating_mul(u64::from(primary.block));
        if expected > size {
            return Err(IsoError::CutOff { size, expected });
        }
        let mut image = Self {
            reader,
            size,
            volume: primary,
            nodes: BTreeMap::new(),
            passed_over: 0,
        };
        let names = match (image.skip()?, joliet) {
            (Some(skip), _) => Names::RockRidge(skip),
            (None, Some(joliet)) => {
                image.volume = joliet;
                Names::Joliet
            }
            (None, None) => Names::Plain,
        };
        image.walk(names, limits)?;
        Ok(image)
    }

    /// The volume's name.
    pub fn name(&self) -> &str {
        &self.volume.name
    }

    /// The image's own length in bytes.
    pub const fn length(&self) -> u64 {
        self.size
    }

    /// All files and links, by path.
    pub const fn nodes(&self) -> &BTreeMap<String, Node> {
        &self.nodes
    }

    /// The path of a file as the image spells it, links within the image followed; large and small letters
    /// are alike where nothing fits to the letter.
    pub fn find(&self, path: &str) -> Option<&str> {
        let mut path = path.to_owned();
        for _ in 0..8 {
            let (found, node) = self.nodes.get_key_value(path.as_str()).or_else(|| {
                self.nodes
                    .iter()
                    .find(|(name, _)| name.eq_ignore_ascii_case(&path))
            })?;
            match node {
                Node::File { .. } => return Some(found),
                Node::Link(to) => path = resolve(found, to)?,
            }
        }
        None
    }

    /// The length of a file in bytes.
    pub fn file_size(&self, path: &str) -> Option<u64> {
        match self.nodes.get(self.find(path)?)? {
            Node::File { extents, .. } => {
                Some(extents.iter().map(|extent| u64::from(extent.size)).sum())
            }
            Node::Link(_) => None,
        }
    }

    /// Copies a file out of the image.
    pub fn copy(&mut self, path: &str, out: &mut dyn Write) -> Result<u64, IsoError> {
        let missing = || IsoError::NoFile {
            path: path.to_owned(),
        };
        let found = self.find(path).ok_or_else(missing)?;
        let Some(Node::File {
            extents,
            compressed,
        }) = self.nodes.get(found)
        else {
            return Err(missing());
        };
        if *compressed {
            return Err(IsoError::Compressed {
                path: path.to_owned(),
            });
        }
        let mut copied = 0;
        for extent in extents.clone() {
            let from = self.offset(extent, path)?;
            self.reader.seek(SeekFrom::Start(from))?;
            copied += io::copy(
                &mut Read::by_ref(&mut self.reader).take(u64::from(extent.size)),
                out,
            )?;
        }
        Ok(copied)
    }

    /// A small file as a text; `None`: it is not there, or longer than `limit`.
    pub fn text(&mut self, path: &str, limit: u64) -> Result<Option<String>, IsoError> {
        if self.file_size(path).is_none_or(|size| size > limit) {
            return Ok(None);
        }
        let mut text = Vec::new();
        self.copy(path, &mut text)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// Where an extent begins, in bytes; it lies within the image.
    fn offset(&self, extent: Extent, what: &str) -> Result<u64, IsoError> {
        let from = u64::from(extent.block).saturating_mul(u64::from(self.volume.block));
        if from.saturating_add(u64::from(extent.size)) > self.size {
            return Err(IsoError::Outside {
                what: what.to_owned(),
            });
        }
        Ok(from)
    }

    fn bytes(&mut self, extent: Extent, what: &str) -> Result<Vec<u8>, IsoError> {
        let from = self.offset(extent, what)?;
        self.reader.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut self.reader)
            .take(u64::from(extent.size))
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// How many bytes to pass over in each system use area; `None`: there is no Rock Ridge.
    fn skip(&mut self) -> Result<Option<usize>, IsoError> {
        let root = Extent {
            size: self.volume.root.size.min(ONE_SECTOR),
            ..self.volume.root
        };
        let bytes = self.bytes(root, "the root directory")?;
        let Some(own) = records(&bytes).next() else {
            return Ok(None);
        };
        let mut entries = RockRidge::default();
        entries.read(own.system);
        let Some(skip) = entries.skip else {
            return Ok(None);
        };
        // SUSP alone has no names: some other record must have one.
        let named = records(&bytes).skip(2).any(|record| {
            let mut entries = RockRidge::default();
            entries.read(record.system.get(skip..).unwrap_or_default());
            entries.name.is_some() || entries.goes_on.is_some()
        });
        Ok(named.then_some(skip))
    }

    fn walk(&mut self, names: Names, limits: Limits) -> Result<(), IsoError> {
        let mut folders = vec![(String::new(), self.volume.root, 0)];
        // A directory that is its own descendant is read once.
        let mut seen: HashSet<u32> = HashSet::new();
        let mut read: u64 = 0;
        let mut named: u64 = 0;
        let mut entries = 0;
        while let Some((folder, extent, depth)) = folders.pop() {
            if !seen.insert(extent.block) {
                continue;
            }
            read = read.saturating_add(u64::from(extent.size));
            if read > limits.directories {
                return Err(IsoError::TooMuch {
                    what: "bytes of directories",
                    limit: limits.directories,
                });
            }
            let what = if folder.is_empty() {
                "the root directory"
            } else {
                &folder
            };
            let bytes = self.bytes(extent, what)?;
            // The file whose extents go on.
            let mut open: Option<(String, Vec<Extent>, bool)> = None;
            for record in records(&bytes) {
                if matches!(record.name, [0 | 1]) {
                    continue;
                }
                entries += 1;
                if entries > limits.entries {
                    return Err(IsoError::TooMuch {
                        what: "files",
                        limit: limits.entries as u64,
                    });
                }
                let mut said = RockRidge::default();
                let name = match names {
                    Names::Plain => plain_name(record.name),
                    Names::Joliet => joliet_name(record.name),
                    Names::RockRidge(skip) => {
                        self.entries(&mut said, &record, skip, limits.parts)?;
                        said.name.take().unwrap_or_else(|| plain_name(record.name))
                    }
                };
                let path = if folder.is_empty() {
                    name.clone()
                } else {
                    format!("{folder}/{name}")
                };
                named = named.saturating_add(path.len() as u64);
                if named > limits.directories {
                    return Err(IsoError::TooMuch {
                        what: "bytes of names",
                        limit: limits.directories,
                    });
                }
                if !is_name(&name) || record.is_odd || said.moved {
                    self.passed_over += usize::from(!said.moved);
                    continue;
                }
                if record.is_directory || said.child.is_some() {
                    let extent = match said.child {
                        Some(block) => self.moved(block)?,
                        None => record.extent,
                    };
                    if depth >= limits.depth {
                        return Err(IsoError::TooMuch {
                            what: "folders within each other",
                            limit: limits.depth as u64,
                        });
                    }
                    folders.push((path, extent, depth + 1));
                    continue;
                }
                if let Some(link) = said.link {
                    self.nodes.insert(path, Node::Link(link));
                    continue;
                }
                let (path, mut extents, compressed) = match open.take() {
                    Some(before) if before.0 == path => before,
                    _ => (path, Vec::new(), said.compressed),
                };
                if extents.len() >= limits.parts {
                    return Err(IsoError::TooMuch {
                        what: "parts of one file",
                        limit: limits.parts as u64,
                    });
                }
                extents.push(record.extent);
                if record.goes_on {
                    open = Some((path, extents, compressed));
                } else {
                    self.nodes.insert(
                        path,
                        Node::File {
                            extents,
                            compressed,
                        },
                    );
                }
            }
        }
        Ok(())
    }

    /// The entries of a record and of its continuations.
    fn entries(
        &mut self,
        said: &mut RockRidge,
        record: &Record<'_>,
        skip: usize,
        parts: usize,
    ) -> Result<(), IsoError> {
        said.read(record.system.get(skip..).unwrap_or_default());
        for _ in 0..parts.min(32) {
            let Some((block, offset, length)) = said.goes_on else {
                break;
            };
            if offset > AREA || length > AREA {
                break;
            }
            let area = Extent {
                block,
                size: offset.saturating_add(length),
            };
            let bytes = self.bytes(area, "a continuation of a directory record")?;
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            said.read(bytes.get(from..).unwrap_or_default());
        }
        Ok(())
    }

    /// The extent of a directory that was moved up: its own record tells how long it is.
    fn moved(&mut self, block: u32) -> Result<Extent, IsoError> {
        let first = Extent {
            block,
            size: ONE_SECTOR,
        };
        let bytes = self.bytes(first, "a moved directory")?;
        let size = records(&bytes).next().map_or(0, |own| own.extent.size);
        Ok(Extent { block, size })
    }
}

/// The primary descriptor and Joliet's.
fn descriptors<R: Read + Seek>(
    reader: &mut R,
    size: u64,
) -> Result<(Option<Volume>, Option<Volume>), IsoError> {
    // So many there are at most; a real image has three or four.
    const MOST: u64 = 32;
    let (mut primary, mut joliet) = (None, None);
    for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + MOST {
        let from = number * SECTOR as u64;
        if from + SECTOR as u64 > size {
            break;
        }
        reader.seek(SeekFrom::Start(from))?;
        let mut sector = vec![0; SECTOR];
        reader.read_exact(&mut sector)?;
        match descriptor(&sector) {
            Some(Descriptor::Primary(volume)) => {
                primary.get_or_insert(volume);
            }
            Some(Descriptor::Joliet(volume)) => joliet = Some(volume),
            Some(Descriptor::Other) => {}
            Some(Descriptor::Terminator) | None => break,
        }
    }
    Ok((primary, joliet))
}

/// Whether a name can be a part of a path.
fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && !name.contains(['/', '\\'])
        && !name.chars().any(char::is_control)
}

/// Where a link leads within the image; `None`: out of it.
pub fn resolve(link: &str, to: &str) -> Option<String> {
    if to.starts_with('/') {
        return None;
    }
    let mut path: Vec<&str> = link.split('/').collect();
    path.pop();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop()?;
            }
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}

/// Reads any bytes as an image from its first volume descriptor on: what the fuzz target and the tests run. The
/// error is a sentence that names the property that does not hold.
pub fn exercise(descriptors: &[u8]) -> Result<(), String> {
    let mut bytes = vec![0; 16 * SECTOR];
    bytes.extend_from_slice(descriptors);
    let limits = Limits {
        entries: 2_000,
        directories: 4 << 20,
        depth: 8,
        parts: 16,
    };
    let Ok(mut image) = Image::open_within(io::Cursor::new(bytes), limits) else {
        return Ok(());
    };
    let paths: Vec<String> = image.nodes().keys().cloned().collect();
    if paths.len() > limits.entries {
        return Err("more entries than the limit".to_owned());
    }
    for path in paths {
        if !path.split('/').all(is_name) {
            return Err(format!("the path {path:?} may lead out of a folder"));
        }
        if let Some(Node::Link(to)) = image.nodes().get(&path)
            && let Some(target) = resolve(&path, to)
            && target.split('/').any(|part| part == "..")
        {
            return Err(format!("the link {path:?} leads out, to {to:?}"));
        }
        let size = image.file_size(&path);
        let copied = image.copy(&path, &mut io::sink());
        if let (Some(size), Ok(copied)) = (size, copied)
            && size != copied
        {
            return Err(format!("{path:?} has {size} bytes and gives {copied}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_within_the_image() {
        assert_eq!(resolve("a/b/c", "../d").as_deref(), Some("a/d"));
        assert_eq!(resolve("debian", ".").as_deref(), Some(""));
        assert_eq!(resolve("a/b", "../../x"), None);
        assert_eq!(resolve("a/b", "/etc/passwd"), None);
    }

    #[test]
    fn what_is_no_image_is_told() {
        for bytes in [Vec::new(), vec![0; 100], vec![0; 64 << 10]] {
            let error = Image::open(io::Cursor::new(bytes)).unwrap_err();
            assert!(matches!(error, IsoError::NotIso), "{error}");
        }
    }
}
