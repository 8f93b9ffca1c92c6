//! TFTP packets (RFC 1350) with options (RFC 2347, 2348, 2349, 7440).
//!
//! Strict about numbers: what a lenient reader makes of `abc`, `0x200`, `-1` or an empty value has given other servers
//! blocks of one byte. Lenient about what harms nobody: the case of modes and options, and stray bytes behind the
//! last whole option.
//!
//! **Invariant:** what [`Packet::read`] gives borrows from the bytes it was given, and nothing is allocated for it.

pub mod netascii;

/// Smallest block size that may be asked for (RFC 2348).
pub const MIN_BLKSIZE: u16 = 8;
/// Largest block size that may be asked for (RFC 2348).
pub const MAX_BLKSIZE: u16 = 65_464;
/// The block size without options (RFC 1350).
pub const USUAL_BLKSIZE: u16 = 512;
/// Bytes before the data of a block: operation and block number.
pub const HEADER: usize = 4;

const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// The codes of an ERROR packet (RFC 1350 section 5, RFC 2347).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 0: see the text.
    Undefined,
    /// 1.
    FileNotFound,
    /// 2.
    AccessViolation,
    /// 3.
    DiskFull,
    /// 4.
    IllegalOperation,
    /// 5: a packet from another port than the transfer's.
    UnknownTransfer,
    /// 6.
    FileExists,
    /// 7.
    NoSuchUser,
    /// 8: an option is refused; ROMs end their size probes with it.
    OptionRefused,
    /// Any other.
    Other(u16),
}

impl ErrorCode {
    /// The code with this number.
    pub const fn of(number: u16) -> Self {
        match number {
            0 => Self::Undefined,
            1 => Self::FileNotFound,
            2 => Self::AccessViolation,
            3 => Self::DiskFull,
            4 => Self::IllegalOperation,
            5 => Self::UnknownTransfer,
            6 => Self::FileExists,
            7 => Self::NoSuchUser,
            8 => Self::OptionRefused,
            other => Self::Other(other),
        }
    }

    /// Its number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::Undefined => 0,
            Self::FileNotFound => 1,
            Self::AccessViolation => 2,
            Self::DiskFull => 3,
            Self::IllegalOperation => 4,
            Self::UnknownTransfer => 5,
            Self::FileExists => 6,
            Self::NoSuchUser => 7,
            Self::OptionRefused => 8,
            Self::Other(number) => number,
        }
    }
}

/// How a file is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As it is.
    Octet,
    /// With the line ends of the network (RFC 764).
    Netascii,
}

/// Options with values that make sense; others were left out, as RFC 2347 wants it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Options {
    /// Bytes in a block, 8 to 65464.
    pub blksize: Option<u16>,
    /// Seconds before something is repeated, 1 to 255.
    pub timeout: Option<u8>,
    /// The size of the file in bytes; 0 in a read request, which asks for it.
    pub tsize: Option<u64>,
    /// Blocks between two acknowledgements, 1 to 65535.
    pub windowsize: Option<u16>,
}

impl Options {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.blksize.is_none()
            && self.timeout.is_none()
            && self.tsize.is_none()
            && self.windowsize.is_none()
    }
}

/// A request for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Request<'a> {
    /// The name as sent.
    pub name: &'a [u8],
    /// How to send it.
    pub mode: Mode,
    /// What else is asked for.
    pub options: Options,
}

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packet<'a> {
    /// A file is wanted.
    Read(Request<'a>),
    /// A file is to be written.
    Write(Request<'a>),
    /// A block of a file.
    Data(u16, &'a [u8]),
    /// A block has come.
    Ack(u16),
    /// The transfer is over.
    Error(ErrorCode, &'a [u8]),
    /// The options that are granted.
    Oack(Options),
}

/// Why bytes are no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotTftp {
    /// The operation is none of TFTP's, or there is none.
    #[error("no TFTP operation")]
    Operation,
    /// It ends too early.
    #[error("the packet is cut short")]
    Short,
    /// The mode is neither octet nor netascii; the name is given for the journal.
    #[error("the mode is neither octet nor netascii")]
    Mode,
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    pub fn read(bytes: &'a [u8]) -> Result<Self, NotTftp> {
        let (code, rest) = number(bytes).ok_or(NotTftp::Operation)?;
        match code {
            RRQ => request(rest).map(Self::Read),
            WRQ => request(rest).map(Self::Write),
            DATA => {
                let (block, data) = number(rest).ok_or(NotTftp::Short)?;
                Ok(Self::Data(block, data))
            }
            ACK => {
                let (block, _) = number(rest).ok_or(NotTftp::Short)?;
                Ok(Self::Ack(block))
            }
            ERROR => {
                let (code, text) = number(rest).ok_or(NotTftp::Short)?;
                let text = word(text).map_or(text, |(text, _)| text);
                Ok(Self::Error(ErrorCode::of(code), text))
            }
            OACK => Ok(Self::Oack(options(rest))),
            _ => Err(NotTftp::Operation),
        }
    }

    /// Appends it as it goes onto the wire.
    pub fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Read(asked) => write_request(RRQ, asked, to),
            Self::Write(asked) => write_request(WRQ, asked, to),
            Self::Data(block, data) => {
                to.extend(data_header(*block));
                to.extend_from_slice(data);
            }
            Self::Ack(block) => {
                to.extend(ACK.to_be_bytes());
                to.extend(block.to_be_bytes());
            }
            Self::Error(code, text) => {
                to.extend(ERROR.to_be_bytes());
                to.extend(code.number().to_be_bytes());
                to.extend(text.iter().filter(|byte| **byte != 0));
                to.push(0);
            }
            Self::Oack(granted) => {
                to.extend(OACK.to_be_bytes());
                write_options(granted, to);
            }
        }
    }

    /// It as it goes onto the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }
}

/// What stands before the data of a block.
pub const fn data_header(block: u16) -> [u8; HEADER] {
    let [a, b] = DATA.to_be_bytes();
    let [c, d] = block.to_be_bytes();
    [a, b, c, d]
}

/// The name in a request, however the rest of it reads: for the journal.
pub fn name_of(bytes: &[u8]) -> Option<&[u8]> {
    let (code, rest) = number(bytes)?;
    let (name, _) = word(rest)?;
    matches!(code, RRQ | WRQ).then_some(name)
}

fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// The bytes before the first NUL, and those behind it.
fn word(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

fn request(bytes: &[u8]) -> Result<Request<'_>, NotTftp> {
    let (name, rest) = word(bytes).ok_or(NotTftp::Short)?;
    let (mode, rest) = word(rest).ok_or(NotTftp::Short)?;
    let mode = if mode.eq_ignore_ascii_case(b"octet") {
        Mode::Octet
    } else if mode.eq_ignore_ascii_case(b"netascii") {
        Mode::Netascii
    } else {
        return Err(NotTftp::Mode);
    };
    Ok(Request {
        name,
        mode,
        options: options(rest),
    })
}

/// Of an option that is written twice, the first counts.
fn options(mut bytes: &[u8]) -> Options {
    let mut options = Options::default();
    while let Some((name, rest)) = word(bytes) {
        let Some((value, rest)) = word(rest) else {
            break;
        };
        bytes = rest;
        let value = decimal(value);
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("blksize") {
            let fits = |n: &u16| (MIN_BLKSIZE..=MAX_BLKSIZE).contains(n);
            let value = value.and_then(|n| u16::try_from(n).ok()).filter(fits);
            options.blksize = options.blksize.or(value);
        } else if is("timeout") {
            let value = value.and_then(|n| u8::try_from(n).ok()).filter(|n| *n > 0);
            options.timeout = options.timeout.or(value);
        } else if is("tsize") {
            options.tsize = options.tsize.or(value);
        } else if is("windowsize") {
            let value = value.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
            options.windowsize = options.windowsize.or(value);
        }
    }
    options
}

/// Digits and nothing else: `parse` alone would take a sign.
fn decimal(bytes: &[u8]) -> Option<u64> {
    let digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(bytes).ok().filter(|_| digits)?;
    text.parse().ok()
}

fn write_request(code: u16, request: &Request<'_>, to: &mut Vec<u8>) {
    to.extend(code.to_be_bytes());
    let mode: &[u8] = match request.mode {
        Mode::Octet => b"octet",
        Mode::Netascii => b"netascii",
    };
    for text in [request.name, mode] {
        to.extend(text.iter().filter(|byte| **byte != 0));
        to.push(0);
    }
    write_options(&request.options, to);
}

fn write_options(options: &Options, to: &mut Vec<u8>) {
    let mut put = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            to.extend_from_slice(name.as_bytes());
            to.push(0);
            to.extend_from_slice(value.to_string().as_bytes());
            to.push(0);
        }
    };
    put("tsize", options.tsize);
    put("blksize", options.blksize.map(u64::from));
    put("timeout", options.timeout.map(u64::from));
    put("windowsize", options.windowsize.map(u64::from));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A request as OVMF's PXE client sends it.
    const OVMF: &[u8] =
        b"\0\x01ipxe/snponly.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0";

    #[test]
    fn a_request_of_firmware() {
        let asked = Request {
            name: b"ipxe/snponly.efi",
            mode: Mode::Octet,
            options: Options {
                blksize: Some(1_468),
                timeout: None,
                tsize: Some(0),
                windowsize: Some(4),
            },
        };
        assert_eq!(Packet::read(OVMF), Ok(Packet::Read(asked)));
        assert_eq!(Packet::Read(asked).bytes(), OVMF);
        assert_eq!(name_of(OVMF), Some(asked.name));
    }

    #[test]
    fn numbers_are_decimal_and_in_range_or_left_out() {
        let read = |name: &str, value: &str| {
            let bytes = format!("\0\x01f\0OCTET\0{name}\0{value}\0");
            match Packet::read(bytes.as_bytes()) {
                Ok(Packet::Read(asked)) => asked.options,
                other => panic!("{other:?}"),
            }
        };
        for odd in ["abc", "0x200", "-1", "+512", "", " 512", "512 ", "0", "7"] {
            assert!(read("blksize", odd).is_empty(), "{odd:?}");
        }
        assert!(read("blksize", "65465").is_empty());
        assert!(read("blksize", "99999999999999999999999").is_empty());
        assert_eq!(read("BlkSize", "8").blksize, Some(8));
        assert_eq!(read("timeout", "256").timeout, None);
        assert_eq!(read("timeout", "255").timeout, Some(255));
        assert_eq!(read("tsize", "0").tsize, Some(0));
        assert_eq!(read("windowsize", "0").windowsize, None);
        assert_eq!(read("windowsize", "65535").windowsize, Some(65_535));
        assert!(read("multicast", "").is_empty());
    }

    #[test]
    fn what_is_no_packet() {
        for (bytes, why) in [
            (&b""[..], NotTftp::Operation),
            (b"\0", NotTftp::Operation),
            (b"\0\x07x", NotTftp::Operation),
            (b"\0\x01name", NotTftp::Short),
            (b"\0\x01name\0octet", NotTftp::Short),
            (b"\0\x01name\0mail\0", NotTftp::Mode),
            (b"\0\x04\0", NotTftp::Short),
            (b"\0\x03\0", NotTftp::Short),
            (b"\0\x05\0", NotTftp::Short),
        ] {
            assert_eq!(Packet::read(bytes), Err(why), "{bytes:?}");
        }
        // A stray NUL, and an option without a value.
        for tail in [&b"\0"[..], b"blksize\0", b"blksize", b"\0\0\0"] {
            let bytes = [b"\0\x01f\0octet\0", tail].concat();
            assert!(
                matches!(Packet::read(&bytes), Ok(Packet::Read(asked)) if asked.options.is_empty())
            );
        }
        // An error's text without its end.
        assert_eq!(
            Packet::read(b"\0\x05\0\x08aborted"),
            Ok(Packet::Error(ErrorCode::OptionRefused, b"aborted"))
        );
    }

    fn some_options() -> impl Strategy<Value = Options> {
        let blksize = prop::option::of(MIN_BLKSIZE..=MAX_BLKSIZE);
        let timeout = prop::option::of(1..=u8::MAX);
        let windowsize = prop::option::of(1..=u16::MAX);
        (blksize, timeout, any::<Option<u64>>(), windowsize).prop_map(
            |(blksize, timeout, tsize, windowsize)| Options {
                blksize,
                timeout,
                tsize,
                windowsize,
            },
        )
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(packet) = Packet::read(&bytes) {
                let written = packet.bytes();
                prop_assert_eq!(Packet::read(&written), Ok(packet));
            }
        }

        #[test]
        fn any_words_are_read_or_refused(text in r"(tsize|blksize|octet|timeout|[0-9]{1,6}|[\x00x]){0,12}") {
            let bytes = [b"\0\x01", text.as_bytes()].concat();
            let _ = Packet::read(&bytes);
        }

        #[test]
        fn what_is_written_is_read(
            name in prop::collection::vec(1_u8.., 0..80), netascii: bool, options in some_options(),
            block: u16, code: u16, data in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let mode = if netascii { Mode::Netascii } else { Mode::Octet };
            let request = Request { name: &name, mode, options };
            for packet in [
                Packet::Read(request), Packet::Write(request), Packet::Data(block, &data), Packet::Ack(block),
                Packet::Error(ErrorCode::of(code), &name), Packet::Oack(options),
            ] {
                let bytes = packet.bytes();
                prop_assert_eq!(Packet::read(&bytes), Ok(packet));
            }
        }
    }
}
