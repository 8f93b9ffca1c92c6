//! ISO 9660 (ECMA-119) with Joliet and Rock Ridge (SUSP, IEEE P1281; RRIP, IEEE P1282): volume descriptors
//! and directory records.

/// Bytes of a sector: volume descriptors lie in whole ones, and no directory record crosses from one to the next.
pub const SECTOR: usize = 2_048;
/// The sector of the first volume descriptor.
pub const FIRST_DESCRIPTOR: u64 = 16;

/// What a volume descriptor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Descriptor {
    /// The primary one: names of capitals, digits and `_`.
    Primary(Volume),
    /// A supplementary one whose names are UCS-2 (Joliet).
    Joliet(Volume),
    /// The last one.
    Terminator,
    /// One that is of no use here.
    Other,
}

/// A volume as a descriptor tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// Bytes of a logical block.
    pub block: u32,
    /// How many blocks it has.
    pub blocks: u32,
    /// The root directory.
    pub root: Extent,
}

/// A run of bytes of the image, as directory records tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    /// The block at which it begins.
    pub block: u32,
    /// Its length in bytes.
    pub size: u32,
}

fn byte(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// Reads one sector as a volume descriptor (ECMA-119 section 8). `None`: it is none.
pub fn descriptor(sector: &[u8]) -> Option<Descriptor> {
    if sector.get(1..6)? != b"CD001" {
        return None;
    }
    let joliet = || {
        let escape = sector.get(88..91)?;
        Some([&b"%/@"[..], b"%/C", b"%/E"].contains(&escape))
    };
    Some(match byte(sector, 0)? {
        1 => Descriptor::Primary(volume(sector, false)?),
        2 if joliet()? => Descriptor::Joliet(volume(sector, true)?),
        255 => Descriptor::Terminator,
        _ => Descriptor::Other,
    })
}

fn volume(sector: &[u8], joliet: bool) -> Option<Volume> {
    let block = u32::from(u16_le(sector, 128)?);
    if !matches!(block, 512 | 1_024 | 2_048) {
        return None;
    }
    let name = sector.get(40..72)?;
    let name = if joliet { ucs2(name) } else { latin(name) };
    let root = record(sector.get(156..190)?)?;
    Some(Volume {
        name: name.trim_end().to_owned(),
        block,
        blocks: u32_le(sector, 80)?,
        root: root.extent,
    })
}

fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn ucs2(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| {
        pair.iter()
            .fold(0, |unit, byte| unit << 8 | u16::from(*byte))
    });
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

/// One directory record (ECMA-119 section 9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where its file or directory lies.
    pub extent: Extent,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Whether the next record goes on with the same file.
    pub goes_on: bool,
    /// Whether the file is one of interleaved parts, or none that people see.
    pub is_odd: bool,
    /// The name as it stands; one byte 0 for the directory itself, 1 for its parent.
    pub name: &'a [u8],
    /// The system use area.
    pub system: &'a [u8],
    /// The whole record's length in bytes.
    pub length: usize,
}

/// Reads the record at the beginning of `bytes`. `None`: there is none, or it is broken.
pub fn record(bytes: &[u8]) -> Option<Record<'_>> {
    let length = usize::from(byte(bytes, 0)?);
    let bytes = bytes.get(..length)?;
    let attributes = u32::from(byte(bytes, 1)?);
    let flags = byte(bytes, 25)?;
    let name_length = usize::from(byte(bytes, 32)?);
    let name = bytes.get(33..33 + name_length)?;
    // A byte fills up to an even length.
    let system = bytes.get(33 + name_length + usize::from(name_length % 2 == 0)..);
    Some(Record {
        extent: Extent {
            block: u32_le(bytes, 2)?.checked_add(attributes)?,
            size: u32_le(bytes, 10)?,
        },
        is_directory: flags & 0x02 != 0,
        goes_on: flags & 0x80 != 0,
        is_odd: flags & 0x04 != 0 || byte(bytes, 26)? != 0 || byte(bytes, 27)? != 0,
        name,
        system: system.unwrap_or_default(),
        length,
    })
}

/// The records of a directory, in order. One that is broken ends its sector.
pub fn records(directory: &[u8]) -> impl Iterator<Item = Record<'_>> {
    directory.chunks(SECTOR).flat_map(|sector| {
        let mut rest = sector;
        std::iter::from_fn(move || {
            let found = record(rest).filter(|record| record.length >= 33)?;
            rest = rest.get(found.length..).unwrap_or_default();
            Some(found)
        })
    })
}

/// The name that a record has without any extension: `LINUX.;1` is `linux`.
pub fn plain_name(name: &[u8]) -> String {
    let name = latin(name);
    let name = name.split(';').next().unwrap_or_default();
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The name that a record of Joliet has.
pub fn joliet_name(name: &[u8]) -> String {
    let name = ucs2(name);
    match name.rsplit_once(';') {
        Some((name, version)) if version.chars().all(|c| c.is_ascii_digit()) => name.to_owned(),
        _ => name,
    }
}

/// What the system use entries of a record say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RockRidge {
    /// The name (NM).
    pub name: Option<String>,
    /// Where a symbolic link leads (SL).
    pub link: Option<String>,
    /// The block where a directory lies that was moved up (CL).
    pub child: Option<u32>,
    /// Whether this is a directory that was moved here (RE).
    pub moved: bool,
    /// Whether the file is compressed (ZF).
    pub compressed: bool,
    /// How many bytes to pass over in each area (SP): only the root's own record has it.
    pub skip: Option<usize>,
    /// Where the entries go on (CE): block, offset in it, length.
    pub goes_on: Option<(u32, u32, u32)>,
    /// The last entry said that its name goes on.
    name_goes_on: bool,
    link_goes_on: bool,
    component_goes_on: bool,
}

/// A name or a link is not made longer than this.
const LONGEST: usize = 4_096;

impl RockRidge {
    /// Takes in the entries of one area, or of its continuation.
    pub fn read(&mut self, area: &[u8]) {
        self.goes_on = None;
        let mut rest = area;
        while let (Some(kind), Some(length)) = (rest.get(..2), byte(rest, 2)) {
            let length = usize::from(length);
            let Some(entry) = rest.get(..length).filter(|_| length >= 4) else {
                break;
            };
            rest = rest.get(length..).unwrap_or_default();
            let data = entry.get(4..).unwrap_or_default();
            match kind {
                b"NM" => self.name(data),
                b"SL" => self.link(data),
                b"CL" => self.child = u32_le(data, 0),
                b"RE" => self.moved = true,
                b"ZF" => self.compressed = true,
                b"SP" if data.starts_with(&[0xbe, 0xef]) => {
                    self.skip = byte(data, 2).map(usize::from);
                }
                b"CE" => {
                    let numbers = (u32_le(data, 0), u32_le(data, 8), u32_le(data, 16));
                    if let (Some(block), Some(offset), Some(length)) = numbers {
                        self.goes_on = Some((block, offset, length));
                    }
                }
                b"ST" => break,
                _ => {}
            }
        }
    }

    fn name(&mut self, data: &[u8]) {
        let Some((flags, text)) = data.split_first() else {
            return;
        };
        // The directory itself and its parent have names of their own.
        if flags & 0x06 != 0 {
            return;
        }
        let text = String::from_utf8_lossy(text);
        match &mut self.name {
            Some(name) if self.name_goes_on && name.len() < LONGEST => name.push_str(&text),
            Some(_) => {}
            None => self.name = Some(text.into_owned()),
        }
        self.name_goes_on = flags & 1 != 0;
    }

    fn link(&mut self, data: &[u8]) {
        let Some((flags, mut rest)) = data.split_first() else {
            return;
        };
        if self.link.is_some() && !self.link_goes_on {
            return;
        }
        let mut link = self.link.take().unwrap_or_default();
        while let (Some(kind), Some(length)) = (byte(rest, 0), byte(rest, 1)) {
            let end = 2 + usize::from(length);
            let Some(text) = rest.get(2..end) else { break };
            rest = rest.get(end..).unwrap_or_default();
            if link.len() > LONGEST {
                break;
            }
            if !link.is_empty() && !self.component_goes_on && !link.ends_with('/') {
                link.push('/');
            }
            match kind & 0x0e {
                0x02 => link.push('.'),
                0x04 => link.push_str(".."),
                0x08 => link.push('/'),
                _ => link.push_str(&String::from_utf8_lossy(text)),
            }
            self.component_goes_on = kind & 1 != 0;
        }
        self.link_goes_on = flags & 1 != 0;
        self.link = Some(link);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_every_kind() {
        assert_eq!(plain_name(b"LINUX.;1"), "linux");
        assert_eq!(plain_name(b"INITRD.GZ;1"), "initrd.gz");
        assert_eq!(plain_name(b"CASPER"), "casper");
        assert_eq!(joliet_name(b"\0a\0.\0b\0;\x001"), "a.b");
        assert_eq!(joliet_name(b"\0a\0;\0b"), "a;b");
    }

    #[test]
    fn entries_make_one_name_and_one_link() {
        let mut entries = RockRidge::default();
        entries.read(b"NM\x08\x01\x01abcNM\x07\x01\0deSL\x0e\x01\0\x04\0\0\x02ab\0\x01xCE\x1c\x01\x07\0\0\0....\x09\0\0\0....\x05\0\0\0....");
        assert_eq!(entries.name.as_deref(), Some("abcde"));
        assert_eq!(entries.link.as_deref(), Some("../ab/x"));
        assert_eq!(entries.goes_on, Some((7, 9, 5)));
        // An entry that is longer than the area, and one that has no length.
        for broken in [
            &b"NM\xff\x01\0a"[..],
            b"NM\0\0",
            b"NM\x02\x01",
            b"N",
            b"SL\x05\x01\0",
        ] {
            let mut entries = RockRidge::default();
            entries.read(broken);
            assert_eq!(entries.name, None);
        }
    }

    #[test]
    fn links_are_put_together() {
        let link = |components: &[u8]| {
            let mut area = vec![
                b'S',
                b'L',
                5 + u8::try_from(components.len()).unwrap(),
                1,
                0,
            ];
            area.extend(components);
            let mut entries = RockRidge::default();
            entries.read(&area);
            entries.link.unwrap()
        };
        assert_eq!(link(b"\x04\0\0\x01a\0\x01b"), "../a/b");
        assert_eq!(link(b"\x08\0\0\x03etc"), "/etc");
        assert_eq!(link(b"\x01\x02ab\0\x01c\0\x01d"), "abc/d");
        assert_eq!(link(b"\x02\0"), ".");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..4_200)) {
            let _ = descriptor(&bytes);
            let mut length = 0;
            for record in records(&bytes) {
                length += record.length;
                let mut entries = RockRidge::default();
                entries.read(record.system);
                let _ = (plain_name(record.name), joliet_name(record.name));
            }
            prop_assert!(length <= bytes.len());
        }
    }
}
