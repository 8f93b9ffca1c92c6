//! The one question that is asked of name servers: which name an address has (PTR, RFC 1035 section 3.5).
//!
//! **Invariant:** any bytes give an answer or none; pointers of compressed names lead backwards only, so that every
//! name ends.

use std::net::Ipv4Addr;

/// UDP port of name servers.
pub const PORT: u16 = 53;

const HEADER: usize = 12;
const PTR: [u8; 2] = [0, 12];
const IN: [u8; 2] = [0, 1];
/// Longest name, in characters (RFC 1035 section 2.3.4).
const LONGEST: usize = 255;

/// What a name server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PtrAnswer {
    /// The address has this name.
    Name(String),
    /// It has none.
    Nothing,
    /// The server could not or would not tell (RFC 1035 section 4.1.1, RCODE).
    Failed(u8),
}

/// The question: which name an address has.
pub fn ptr_question(id: u16, ip: Ipv4Addr) -> Vec<u8> {
    // One question; the server is to ask others.
    let mut message = vec![0; HEADER];
    for (place, value) in message
        .iter_mut()
        .zip(id.to_be_bytes().into_iter().chain([1, 0, 0, 1]))
    {
        *place = value;
    }
    let mut label = |text: &str| {
        message.push(u8::try_from(text.len()).unwrap_or_default());
        message.extend_from_slice(text.as_bytes());
    };
    for octet in ip.octets().iter().rev() {
        label(&octet.to_string());
    }
    label("in-addr");
    label("arpa");
    message.push(0);
    message.extend_from_slice(&PTR);
    message.extend_from_slice(&IN);
    message
}

/// Reads the answer to [`ptr_question`]; `None`: it is none.
pub fn ptr_answer(message: &[u8], id: u16, ip: Ipv4Addr) -> Option<PtrAnswer> {
    const RESPONSE: u8 = 0x80;
    const NO_SUCH_NAME: u8 = 3;
    let asked = ptr_question(id, ip);
    let question = asked.get(HEADER..)?;
    let flags = message.get(2)?;
    if message.get(..2)? != id.to_be_bytes() || flags & RESPONSE == 0 {
        return None;
    }
    let after_question = HEADER + question.len();
    if message.get(4..6)? != [0, 1]
        || !message
            .get(HEADER..after_question)?
            .eq_ignore_ascii_case(question)
    {
        return None;
    }
    match message.get(3)? & 0x0f {
        0 => {}
        NO_SUCH_NAME => return Some(PtrAnswer::Nothing),
        other => return Some(PtrAnswer::Failed(other)),
    }
    let answers = u16::from_be_bytes(message.get(6..8)?.try_into().ok()?);
    let mut at = after_question;
    for _ in 0..answers {
        let Some((record, next)) = record(message, at) else {
            break;
        };
        if let Some(name) = record {
            return Some(PtrAnswer::Name(name));
        }
        at = next;
    }
    Some(PtrAnswer::Nothing)
}

/// The name of a PTR record, or nothing of another one, and where the next record begins.
fn record(message: &[u8], at: usize) -> Option<(Option<String>, usize)> {
    let (_, after_name) = name(message, at)?;
    let fixed = message.get(after_name..after_name + 10)?;
    let length = usize::from(u16::from_be_bytes(fixed.get(8..10)?.try_into().ok()?));
    let data = after_name + 10;
    message.get(data..data + length)?;
    let is_ptr = fixed.get(..4)? == [PTR, IN].concat();
    let told = if is_ptr {
        name(message, data).map(|(name, _)| name)
    } else {
        None
    };
    Some((told, data + length))
}

/// The name at a place, and where what stands behind it begins.
fn name(message: &[u8], at: usize) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut here = at;
    let mut end = None;
    // Each pointer leads before the one that it was reached by.
    let mut bound = at;
    loop {
        let length = *message.get(here)?;
        match length {
            0 => break,
            1..=63 => {
                let label = message.get(here + 1..here + 1 + usize::from(length))?;
                if !text.is_empty() {
                    text.push('.');
                }
                let label = String::from_utf8_lossy(label);
                text.extend(label.chars().map(|c| if c.is_control() { '?' } else { c }));
                if text.len() > LONGEST * 3 {
                    return None;
                }
                here += 1 + usize::from(length);
            }
            0xc0..=0xff => {
                let low = *message.get(here + 1)?;
                end.get_or_insert(here + 2);
                let target = usize::from(u16::from_be_bytes([length & 0x3f, low]));
                if target >= bound {
                    return None;
                }
                (here, bound) = (target, target);
            }
            _ => return None,
        }
    }
    Some((text, end.unwrap_or(here + 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IP: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 11);

    /// An answer with these records behind the question.
    fn answer(flags: u8, count: u8, records: &[u8]) -> Vec<u8> {
        let mut message = ptr_question(7, IP);
        message[2] |= 0x80;
        message[3] |= flags;
        message[7] = count;
        message.extend_from_slice(records);
        message
    }

    fn ptr(rest: &[u8]) -> Vec<u8> {
        let length = u8::try_from(rest.len()).unwrap();
        [&[0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 60, 0, length], rest].concat()
    }

    #[test]
    fn the_question_as_it_goes_out() {
        let question = ptr_question(0x1234, IP);
        assert_eq!(question[..12], [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            &question[12..],
            b"\x0211\x010\x0299\x0210\x07in-addr\x04arpa\x00\x00\x0c\x00\x01"
        );
    }

    #[test]
    fn names_and_what_is_none() {
        let read = |message: &[u8]| ptr_answer(message, 7, IP);
        let name = |text: &str| Some(PtrAnswer::Name(text.to_owned()));
        let plain = answer(0, 1, &ptr(b"\x05web01\x03lab\x00"));
        assert_eq!(read(&plain), name("web01.lab"));
        // By a pointer into the question: arpa.
        let compressed = answer(0, 1, &ptr(b"\x05web01\xc0\x1f"));
        assert_eq!(read(&compressed), name("web01.arpa"));
        // Behind a CNAME (RFC 2317).
        let alias = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x03\x01x\x00";
        let both = answer(0, 2, &[&alias[..], &ptr(b"\x03one\x00")].concat());
        assert_eq!(read(&both), name("one"));
        assert_eq!(read(&answer(0, 1, alias)), Some(PtrAnswer::Nothing));
        assert_eq!(read(&answer(3, 0, &[])), Some(PtrAnswer::Nothing));
        assert_eq!(read(&answer(0, 0, &[])), Some(PtrAnswer::Nothing));
        assert_eq!(read(&answer(2, 0, &[])), Some(PtrAnswer::Failed(2)));
        assert_eq!(read(&ptr_question(7, IP)), None, "a question");
        assert_eq!(ptr_answer(&plain, 8, IP), None);
        assert_eq!(ptr_answer(&plain, 7, Ipv4Addr::new(10, 99, 0, 12)), None);
        // A name that leads to itself.
        let circle = answer(0, 1, &ptr(&[0xc0, 0x35]));
        assert_eq!(read(&circle), Some(PtrAnswer::Nothing));
    }

    proptest! {
        #[test]
        fn any_bytes_end(mut bytes in prop::collection::vec(any::<u8>(), 0..300), count in any::<u8>()) {
            let mut message = answer(0, count, &[]);
            message.append(&mut bytes);
            let _ = ptr_answer(&message, 7, IP);
            let _ = ptr_answer(message.get(9..).unwrap_or_default(), 7, IP);
        }
    }
}
