//! Where requests of HTTP/1 begin and end in a stream (RFC 9112), read strictly.
//!
//! What two readers of a stream may take for different requests is refused here, before the parser that
//! answers sees its end: a length beside a coding (section 6.1), two lengths, a line that ends in LF alone
//! (section 2.2), a line that is folded (5.2), a space before the colon (5.1), a coding other than `chunked`,
//! a chunk's size that is no plain number.
//!
//! **Invariant:** the same bytes give the same verdict at the same place, in whatever pieces they come. What
//! is kept of a line that comes in pieces is at most [`MAX_LINE`] bytes.

/// Longest line that is read, in bytes.
pub const MAX_LINE: usize = 64 << 10;

/// Longest trailer of a chunked body, in bytes.
const MAX_TRAILER: usize = 8 << 10;

/// Why a stream is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line ends in LF without CR.
    #[error("a line ends in a bare line feed")]
    BareLf,
    /// A control character where none may be.
    #[error("a control character in the head")]
    Control,
    /// A header field goes on in the next line.
    #[error("a folded header field")]
    Folded,
    /// A header field has no colon, or no name that is a token.
    #[error("a header field without a proper name")]
    FieldName,
    /// `Content-Length` twice, or a list in it.
    #[error("more than one Content-Length")]
    TwoLengths,
    /// `Content-Length` is no plain number.
    #[error("a Content-Length that is no number")]
    BadLength,
    /// `Transfer-Encoding` beside `Content-Length`.
    #[error("both Content-Length and Transfer-Encoding")]
    LengthAndCoding,
    /// `Transfer-Encoding` is not just `chunked`, stands twice, or stands in a request of HTTP/1.0.
    #[error("a Transfer-Encoding other than chunked")]
    BadCoding,
    /// `Host` twice.
    #[error("more than one Host")]
    TwoHosts,
    /// A chunk's size is no hexadecimal number, or its data does not end in CRLF.
    #[error("a chunk that cannot be read")]
    BadChunk,
    /// A line or the trailer has no end.
    #[error("a line without end")]
    TooLong,
}

/// A stream is refused at this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// How many of the bytes just given are good.
    pub at: usize,
    /// What the next one brings about.
    pub fault: Fault,
}

/// The place in a stream of requests.
#[derive(Debug, Default)]
pub struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    head: Head,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    /// Between requests; empty lines may come.
    #[default]
    Between,
    Fields,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    /// So many bytes may still come.
    Trailer(usize),
    Refused(Fault),
}

/// What the head under way has said of its body.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    old: bool,
    length: Option<u64>,
    chunked: bool,
    host: bool,
}

impl Framing {
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no request has begun that has not come whole.
    pub fn is_between(&self) -> bool {
        self.state == State::Between && self.line.is_empty()
    }

    /// Whether a head has begun that has not come whole.
    pub fn is_in_head(&self) -> bool {
        match self.state {
            State::Between => !self.line.is_empty(),
            State::Fields => true,
            _ => false,
        }
    }

    /// Takes the next bytes in. Once refused, everything that follows is.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            let taken = match self.state {
                State::Refused(fault) => Err((0, fault)),
                State::Body(left) => Ok(self.skip(rest, left, State::Body)),
                State::ChunkData(left) => Ok(self.skip(rest, left, State::ChunkData)),
                State::Between
                | State::Fields
                | State::ChunkSize
                | State::ChunkEnd
                | State::Trailer(_) => self.line(rest),
            };
            match taken {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err((good, fault)) => {
                    self.state = State::Refused(fault);
                    self.line = Vec::new();
                    return Err(Refused {
                        at: at + good,
                        fault,
                    });
                }
            }
        }
        Ok(())
    }

    /// Passes over a body's bytes.
    fn skip(&mut self, rest: &[u8], left: u64, same: fn(u64) -> State) -> usize {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        self.state = match (left, same(left)) {
            (0, State::ChunkData(_)) => State::ChunkEnd,
            (0, _) => State::Between,
            (_, state) => state,
        };
        count
    }

    /// Takes a line in, or as much of it as there is. The error is how many bytes of it are good: all but
    /// the line feed, so that whoever reads on has no line that ends.
    fn line(&mut self, rest: &[u8]) -> Result<usize, (usize, Fault)> {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            if self.line.len() + rest.len() > MAX_LINE {
                return Err((0, Fault::TooLong));
            }
            self.line.extend_from_slice(rest);
            return Ok(rest.len());
        };
        let here = rest.get(..end).unwrap_or_default();
        if self.line.len() + here.len() > MAX_LINE {
            return Err((0, Fault::TooLong));
        }
        let judged = if self.line.is_empty() {
            self.whole_line(here)
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(here);
            self.whole_line(&line)
        };
        match judged {
            Ok(next) => {
                self.state = next;
                Ok(end + 1)
            }
            Err(fault) => Err((end, fault)),
        }
    }

    /// Judges a line that ended in LF: what comes after it.
    fn whole_line(&mut self, line: &[u8]) -> Result<State, Fault> {
        let Some((b'\r', line)) = line.split_last() else {
            return Err(Fault::BareLf);
        };
        // To its end in any case: that way many bytes are looked at in one step.
        let control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
        if line.iter().fold(false, |any, byte| any | control(*byte)) {
            return Err(Fault::Control);
        }
        match self.state {
            State::Between | State::Trailer(_) if line.is_empty() => Ok(State::Between),
            State::Between => {
                if memchr::memchr(b'\t', line).is_some() {
                    return Err(Fault::Control);
                }
                self.head = Head {
                    old: line.ends_with(b" HTTP/1.0"),
                    ..Head::default()
                };
                Ok(State::Fields)
            }
            State::Fields if line.is_empty() => Ok(match (self.head.chunked, self.head.length) {
                (true, _) => State::ChunkSize,
                (false, Some(length @ 1..)) => State::Body(length),
                (false, _) => State::Between,
            }),
            State::Fields => {
                let (name, value) = field(line)?;
                self.head.take(name, value)?;
                Ok(State::Fields)
            }
            State::ChunkSize => Ok(match chunk_size(line)? {
                0 => State::Trailer(MAX_TRAILER),
                size => State::ChunkData(size),
            }),
            State::ChunkEnd if line.is_empty() => Ok(State::ChunkSize),
            State::ChunkEnd => Err(Fault::BadChunk),
            State::Trailer(left) => {
                let (name, _) = field(line)?;
                if Framed::of(name).is_some() {
                    return Err(Fault::LengthAndCoding);
                }
                left.checked_sub(line.len() + 2)
                    .map(State::Trailer)
                    .ok_or(Fault::TooLong)
            }
            // No line is read there.
            State::Body(_) | State::ChunkData(_) => Ok(self.state),
            State::Refused(fault) => Err(fault),
        }
    }
}

/// The fields that say where a request ends and whom it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framed {
    Length,
    Coding,
    Host,
}

impl Framed {
    fn of(name: &[u8]) -> Option<Self> {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name.len() {
            4 if is("host") => Some(Self::Host),
            14 if is("content-length") => Some(Self::Length),
            17 if is("transfer-encoding") => Some(Self::Coding),
            _ => None,
        }
    }
}

impl Head {
    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        match Framed::of(name) {
            None => {}
            Some(Framed::Host) if self.host => return Err(Fault::TwoHosts),
            Some(Framed::Host) => self.host = true,
            Some(Framed::Length) => {
                if self.length.is_some() || value.contains(&b',') {
                    return Err(Fault::TwoLengths);
                }
                if self.chunked {
                    return Err(Fault::LengthAndCoding);
                }
                self.length = Some(decimal(value).ok_or(Fault::BadLength)?);
            }
            Some(Framed::Coding) => {
                if self.length.is_some() {
                    return Err(Fault::LengthAndCoding);
                }
                if self.chunked || self.old || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Fault::BadCoding);
                }
                self.chunked = true;
            }
        }
        Ok(())
    }
}

/// Name and value of a header field, without the space around the value.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Fault::Folded);
    }
    let (name, value) = memchr::memchr(b':', line)
        .and_then(|colon| line.split_at_checked(colon))
        .ok_or(Fault::FieldName)?;
    if name.is_empty()
        || !name
            .iter()
            .all(|byte| TOKEN.get(usize::from(*byte)) == Some(&true))
    {
        return Err(Fault::FieldName);
    }
    Ok((name, value.get(1..).unwrap_or_default().trim_ascii()))
}

/// [`is_token`] of each byte.
#[expect(clippy::indexing_slicing, reason = "the compiler evaluates it")]
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let (mut at, mut byte) = (0, 0_u8);
    while at < table.len() {
        table[at] = is_token(byte);
        byte = byte.wrapping_add(1);
        at += 1;
    }
    table
};

/// The characters of a token (RFC 9110 section 5.6.2).
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The size of a chunk; an extension behind it is passed over.
fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Fault::BadChunk);
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or(Fault::BadChunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn verdict(text: &[u8]) -> Result<(), Refused> {
        Framing::new().take(text)
    }

    fn fault(text: &str) -> Option<Fault> {
        verdict(text.as_bytes()).err().map(|refused| refused.fault)
    }

    #[test]
    fn requests_with_and_without_bodies_are_followed_to_their_ends() {
        let mut framing = Framing::new();
        let stream = "\r\nGET /a HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n\
            POST /b HTTP/1.1\r\nhost:x\r\nContent-Length: 5\r\n\r\na\nb\rc\
            POST /c HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\n\n\n\n\r\n1A \r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nx-sum: 1\r\n\r\n\
            PUT /d HTTP/1.0\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(framing.take(stream.as_bytes()), Ok(()));
        assert!(framing.is_between() && !framing.is_in_head());
        assert_eq!(framing.take(b"GET / HT"), Ok(()));
        assert!(framing.is_in_head() && !framing.is_between());
        assert_eq!(
            framing.take(b"TP/1.1\r\nContent-Length: 2\r\n\r\n1"),
            Ok(())
        );
        assert!(!framing.is_in_head() && !framing.is_between());
        assert_eq!(framing.take(b"2"), Ok(()));
        assert!(framing.is_between());
    }

    #[test]
    fn what_two_readers_may_read_in_two_ways_is_refused() {
        for (head, expected) in [
            (
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                Fault::LengthAndCoding,
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                Fault::LengthAndCoding,
            ),
            (
                "Content-Length: 3\r\nContent-Length: 3\r\n",
                Fault::TwoLengths,
            ),
            ("Content-Length: 3, 3\r\n", Fault::TwoLengths),
            ("Content-Length: +3\r\n", Fault::BadLength),
            ("Content-Length: 0x3\r\n", Fault::BadLength),
            ("Content-Length:\r\n", Fault::BadLength),
            ("Content-Length: 99999999999999999999\r\n", Fault::BadLength),
            ("Content-Length : 3\r\n", Fault::FieldName),
            ("Content-Length\t: 3\r\n", Fault::FieldName),
            ("Content-Length\r\n", Fault::FieldName),
            (": 3\r\n", Fault::FieldName),
            ("X: 1\r\n Content-Length: 3\r\n", Fault::Folded),
            ("\tX: 1\r\n", Fault::Folded),
            ("X: 1\n", Fault::BareLf),
            ("\n", Fault::BareLf),
            ("X: 1\rY: 2\r\n", Fault::Control),
            ("X: 1\0\r\n", Fault::Control),
            ("Transfer-Encoding: gzip, chunked\r\n", Fault::BadCoding),
            ("Transfer-Encoding: xchunked\r\n", Fault::BadCoding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Fault::BadCoding,
            ),
            ("Transfer-Encoding: identity\r\n", Fault::BadCoding),
            ("Host: a\r\nHost: b\r\n", Fault::TwoHosts),
        ] {
            let text = format!("POST / HTTP/1.1\r\n{head}\r\n");
            assert_eq!(fault(&text), Some(expected), "{head:?}");
        }
        assert_eq!(
            fault("GET / HTTP/1.1\nHost: x\r\n\r\n"),
            Some(Fault::BareLf)
        );
        assert_eq!(fault("GET /\t HTTP/1.1\r\n"), Some(Fault::Control));
        assert_eq!(
            fault("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"),
            Some(Fault::BadCoding)
        );
        let chunked = |body: &str| {
            fault(&format!(
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
            ))
        };
        for body in [
            "x\r\n",
            "0x1\r\n",
            "-1\r\n",
            "\r\n",
            "1\r\nab\r\n",
            "1111111111111111\r\n",
        ] {
            assert_eq!(chunked(body), Some(Fault::BadChunk), "{body:?}");
        }
        assert_eq!(chunked("1\na\r\n"), Some(Fault::BareLf));
        assert_eq!(
            chunked("0\r\nContent-Length: 3\r\n"),
            Some(Fault::LengthAndCoding)
        );
        let trailer = "x-long: 0123456789\r\n".repeat(1_000);
        assert_eq!(chunked(&format!("0\r\n{trailer}")), Some(Fault::TooLong));
        assert_eq!(fault(&"x".repeat(MAX_LINE + 1)), Some(Fault::TooLong));
    }

    /// The line feed that would end the bad line is not among the good bytes.
    #[test]
    fn what_is_good_of_a_bad_line_has_no_end() {
        let text = b"GET / HTTP/1.1\r\nA : b\r\n\r\n";
        let refused = verdict(text).unwrap_err();
        assert_eq!(&text[..refused.at], b"GET / HTTP/1.1\r\nA : b\r");
        let mut framing = Framing::new();
        assert!(framing.take(text).is_err());
        assert_eq!(
            framing.take(b"GET / HTTP/1.1\r\n\r\n"),
            Err(Refused {
                at: 0,
                fault: Fault::FieldName
            })
        );
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            text in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                "(GET|POST) /[a-z]{0,9} HTTP/1\\.[01]\r\n((Host|Content-Length|Transfer-Encoding|x):? ?(chunked|[0-9]|a)\r?\n){0,4}\r\n[0-9a-f\r\n]{0,40}"
                    .prop_map(String::into_bytes),
            ],
            cuts in prop::collection::vec(1_usize..40, 0..12),
        ) {
            let whole = verdict(&text).map_err(|refused| (refused.at, refused.fault));
            let mut framing = Framing::new();
            let (mut rest, mut before, mut pieces) = (text.as_slice(), 0, Ok(()));
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, next) = rest.split_at(cut.min(rest.len()));
                if let Err(refused) = framing.take(piece) {
                    pieces = Err((before + refused.at, refused.fault));
                    break;
                }
                before += piece.len();
                rest = next;
            }
            // A line that comes in pieces is good up to the piece that ends it.
            match (whole, pieces) {
                (Ok(()), Ok(())) | (Err((_, Fault::TooLong)), Err((_, Fault::TooLong))) => {}
                (whole, pieces) => prop_assert_eq!(whole, pieces),
            }
        }
    }
}
