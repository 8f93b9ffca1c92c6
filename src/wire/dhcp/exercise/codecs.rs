//! One round over each codec of an option: its bytes read by the product and by a second reader that is
//! as simple as can be, or written and read back.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use super::super::options::{Options, domain_search, relay_sub_options};
use super::super::{DhcpOption, HEADER, MessageType, OptionCode, Reply, Request};
use crate::wire::pxe::VendorClass;
use crate::wire::{frame, ipxe, names};

/// Judges the bytes of an option. The error is a sentence that names the property that does not hold.
pub type Codec = fn(&[u8]) -> Result<(), String>;

/// Every codec, by the name that findings are told under.
pub const CODECS: [(&str, Codec); 13] = [
    ("areas", areas),
    ("relay-agent-information", relay_agent_information),
    ("user-class", user_class),
    ("ipxe-features", ipxe_features),
    ("vendor-class", vendor_class),
    ("architectures", architectures),
    ("names", names_as_text),
    ("domain-search", search_list),
    ("configured", configured),
    ("parameter-request-list", parameter_request_list),
    ("identifiers", identifiers),
    ("fixed", fixed),
    ("arp-and-file-names", arp_and_file_names),
];

/// The codec that the first byte chooses, over the rest.
pub fn option_codec(bytes: &[u8]) -> Result<(), String> {
    let Some((which, data)) = bytes.split_first() else {
        return Ok(());
    };
    match CODECS.get(usize::from(*which) % CODECS.len()) {
        Some((name, codec)) => codec(data).map_err(|broken| format!("{name}: {broken}")),
        None => Ok(()),
    }
}

fn holds(condition: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(what()) }
}

/// Code, length, data; with pad and end where `padded`. What follows something damaged is not there.
fn plainly(area: &[u8], padded: bool) -> Vec<(u8, Vec<u8>)> {
    let byte = |at: usize| area.get(at).copied();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(code) = byte(at) {
        if padded && code == 0 {
            at += 1;
            continue;
        }
        let end = padded && code == 255;
        let data = byte(at + 1).and_then(|len| area.get(at + 2..at + 2 + usize::from(len)));
        let Some(data) = data.filter(|_| !end) else {
            break;
        };
        found.push((code, data.to_vec()));
        at += 2 + data.len();
    }
    found
}

fn joined(parts: impl IntoIterator<Item = (u8, Vec<u8>)>) -> BTreeMap<u8, Vec<u8>> {
    let mut options: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
    for (code, data) in parts {
        options.entry(code).or_default().extend(data);
    }
    options
}

/// A DISCOVER with these options, each as long as it is (RFC 3396).
fn discover(options: &[(u8, &[u8])]) -> Result<Request, String> {
    let mut bytes = vec![0; HEADER];
    for (place, value) in bytes.iter_mut().zip([1, 1, 6]) {
        *place = value;
    }
    bytes.truncate(HEADER - 4);
    bytes.extend_from_slice(&dhcproto::v4::MAGIC);
    bytes.extend_from_slice(&[53, 1, 1]);
    for (code, data) in options {
        let mut parts = data.chunks(255);
        let first = parts.next().unwrap_or_default();
        for part in std::iter::once(first).chain(parts) {
            bytes.push(*code);
            bytes.push(u8::try_from(part.len()).unwrap_or_default());
            bytes.extend_from_slice(part);
        }
    }
    bytes.push(255);
    Request::parse(&bytes).map_err(|error| format!("a message of its own: {error}"))
}

fn read_back(reply: &Reply) -> Result<Request, String> {
    Request::parse(&reply.encode()).map_err(|error| format!("own reply: {error}"))
}

/// The three areas that hold options, and what one option says of the two others.
fn areas(bytes: &[u8]) -> Result<(), String> {
    let (area, rest) = bytes.split_at(bytes.len() / 2);
    let (file, sname) = rest.split_at(rest.len() / 2);
    let read = Options::read(area, file, sname);
    let mut parts = plainly(area, true);
    let overload = joined(parts.clone())
        .get(&52)
        .and_then(|data| data.first().copied())
        .filter(|value| (1..=3).contains(value))
        .unwrap_or_default();
    for (bit, area) in [(1, file), (2, sname)] {
        if overload & bit != 0 {
            parts.extend(plainly(area, true));
        }
    }
    let read: BTreeMap<u8, Vec<u8>> = read
        .iter()
        .map(|(code, data)| (u8::from(code), data.to_vec()))
        .collect();
    let plain = joined(parts);
    holds(read == plain, || format!("{read:?} is not {plain:?}"))
}

fn relay_agent_information(bytes: &[u8]) -> Result<(), String> {
    let subs: Vec<(u8, Vec<u8>)> = relay_sub_options(bytes)
        .map(|(code, data)| (code, data.to_vec()))
        .collect();
    let plain = plainly(bytes, false);
    holds(subs == plain, || format!("{subs:?} is not {plain:?}"))?;
    let request = discover(&[(82, bytes), (57, &[5, 220])])?;
    let link = plain
        .iter()
        .find(|(code, _)| *code == 5)
        .and_then(|(_, data)| <[u8; 4]>::try_from(data.as_slice()).ok())
        .map(Ipv4Addr::from)
        .filter(|link| !link.is_unspecified());
    holds(request.selected_link() == link, || {
        format!("the link {:?}, written {link:?}", request.selected_link())
    })?;
    let reply = Reply::to(&request, MessageType::Offer);
    let back = read_back(&reply)?;
    let echoed = back.relay_agent_information() == Some(bytes);
    holds(echoed || reply.left_out().contains(&82), || {
        "it is not echoed byte for byte".to_owned()
    })
}

fn user_class(bytes: &[u8]) -> Result<(), String> {
    let named = ipxe::is_user_class(bytes);
    let there = bytes.windows(4).any(|part| part == b"iPXE");
    holds(!named || there, || "iPXE where there is none".to_owned())?;
    let listed = [b"\x04iPXE", bytes].concat();
    holds(ipxe::is_user_class(&listed), || {
        "the first of a list is not seen".to_owned()
    })?;
    let request = discover(&[(77, bytes)])?;
    holds(request.user_class() == Some(bytes), || {
        "it is not kept as it came".to_owned()
    })
}

fn ipxe_features(bytes: &[u8]) -> Result<(), String> {
    let features = ipxe::Features::read(bytes);
    let plain = plainly(bytes, true);
    for code in 0..=u8::MAX {
        let told = plain
            .iter()
            .any(|(other, data)| *other == code && data.iter().any(|byte| *byte != 0));
        holds(features.has(code) == told, || format!("feature {code}"))?;
    }
    let linux = features.has(24) || features.has(36);
    holds(
        features.http() == features.has(19) && features.linux() == linux,
        || "what follows from the features".to_owned(),
    )
}

fn vendor_class(bytes: &[u8]) -> Result<(), String> {
    let read = VendorClass::read(Some(bytes));
    let right = match read {
        VendorClass::Pxe { .. } => bytes.starts_with(b"PXEClient"),
        VendorClass::Http { .. } => bytes.starts_with(b"HTTPClient"),
        VendorClass::Other => !bytes.starts_with(b"PXEClient") && !bytes.starts_with(b"HTTPClient"),
    };
    holds(right, || format!("{read:?}"))?;
    let Some(arch) = read.arch() else {
        return Ok(());
    };
    let text = String::from_utf8_lossy(bytes);
    let digits = text.split_once(":Arch:").map(|(_, rest)| {
        rest.trim_start_matches('0')
            .starts_with(&arch.0.to_string())
            || arch.0 == 0
    });
    holds(digits == Some(true), || format!("the number {}", arch.0))
}

fn architectures(bytes: &[u8]) -> Result<(), String> {
    let request = discover(&[(93, bytes)])?;
    let read: Vec<u16> = request.architectures().map(|code| code.0).collect();
    let mut plain = Vec::new();
    let mut rest = bytes;
    while let [high, low, tail @ ..] = rest {
        plain.push(u16::from(*high) << 8 | u16::from(*low));
        rest = tail;
    }
    holds(read == plain, || format!("{read:?} is not {plain:?}"))
}

/// Options 12 and 81, which people are shown.
fn names_as_text(bytes: &[u8]) -> Result<(), String> {
    let request = discover(&[(12, bytes), (81, bytes)])?;
    for shown in [request.host_name(), request.client_fqdn()]
        .into_iter()
        .flatten()
    {
        holds(
            !shown.is_empty() && !shown.contains(char::is_control),
            || format!("{shown:?} is shown"),
        )?;
        // A byte that is no text is shown as a character of three bytes.
        holds(shown.len() <= bytes.len() * 3, || {
            format!("{} bytes of {}", shown.len(), bytes.len())
        })?;
    }
    Ok(())
}

/// Option 119, written from names made of the bytes, and read with its pointers (RFC 1035 section 4.1.4).
fn search_list(bytes: &[u8]) -> Result<(), String> {
    let letter = |byte: &u8| char::from(b'a' + byte % 4);
    let names: Vec<String> = bytes
        .chunks(40)
        .take(12)
        .map(|chunk| {
            let labels: Vec<String> = chunk
                .split(|byte| *byte < 64)
                .filter(|label| !label.is_empty())
                .map(|label| label.iter().map(letter).collect())
                .collect();
            labels.join(".")
        })
        .filter(|name| !name.is_empty())
        .collect();
    let written = domain_search(names.iter().map(String::as_str));
    let mut read = Vec::new();
    let mut at = 0;
    while at < written.len() {
        let (name, next) = name_at(&written, at)?;
        read.push(name);
        at = next;
    }
    holds(read == names, || format!("{read:?} is not {names:?}"))
}

/// The name at this place, and the place behind it.
fn name_at(bytes: &[u8], from: usize) -> Result<(String, usize), String> {
    let byte = |at: usize| {
        let found = bytes.get(at).copied();
        found.ok_or_else(|| format!("it ends at {at}"))
    };
    let (mut labels, mut at, mut behind) = (Vec::new(), from, None);
    loop {
        let len = byte(at)?;
        if len & 0xc0 == 0xc0 {
            let to = usize::from(len & 0x3f) << 8 | usize::from(byte(at + 1)?);
            holds(to < at, || format!("a pointer from {at} to {to}"))?;
            behind.get_or_insert(at + 2);
            at = to;
        } else if len == 0 {
            return Ok((labels.join("."), behind.unwrap_or(at + 1)));
        } else {
            let label = bytes.get(at + 1..at + 1 + usize::from(len));
            let label = label.ok_or_else(|| format!("a label of {len} at {at}"))?;
            labels.push(String::from_utf8_lossy(label).into_owned());
            at += 1 + usize::from(len);
        }
    }
}

/// Any configured option of any length, in a message of any size.
fn configured(bytes: &[u8]) -> Result<(), String> {
    let [code, high, low, data @ ..] = bytes else {
        return Ok(());
    };
    let request = discover(&[(57, &[*high, *low])])?;
    let mut reply = Reply::to(&request, MessageType::Ack);
    reply.configured = vec![(*code, Arc::from(data))];
    let encoded = reply.encode();
    let most = u16::from_be_bytes([*high, *low]).clamp(576, 1_500);
    holds(encoded.len() + 28 <= usize::from(most), || {
        format!("{} bytes for {most}", encoded.len())
    })?;
    let back = read_back(&reply)?;
    let option = OptionCode::from(*code);
    let own = matches!(*code, 0 | 52 | 53 | 54 | 61 | 82 | 255);
    let left_out = reply.left_out().contains(code);
    holds(
        own || data.is_empty()
            || left_out && !back.options.contains(option)
            || back.options.get(option) == Some(data),
        || format!("option {code} of {} bytes", data.len()),
    )?;
    holds(back.message_type() == Some(MessageType::Ack), || {
        "the message type was lost".to_owned()
    })
}

/// The order of a reply: the protocol's own, the mask before the router, the rest as it was asked for.
fn parameter_request_list(bytes: &[u8]) -> Result<(), String> {
    let request = discover(&[(55, bytes), (57, &[5, 220])])?;
    let mut reply = Reply::to(&request, MessageType::Offer);
    reply.options = [
        DhcpOption::Router(vec![Ipv4Addr::LOCALHOST]),
        DhcpOption::DomainNameServer(vec![Ipv4Addr::LOCALHOST]),
        DhcpOption::Hostname("web01".to_owned()),
        DhcpOption::SubnetMask(Ipv4Addr::BROADCAST),
        DhcpOption::ServerIdentifier(Ipv4Addr::LOCALHOST),
        DhcpOption::AddressLeaseTime(60),
    ]
    .into_iter()
    .collect();
    let encoded = reply.encode();
    let order: Vec<u8> = plainly(encoded.get(HEADER..).unwrap_or_default(), true)
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    let rest = match order.as_slice() {
        [53, 54, 51, 1, rest @ ..] => rest,
        other => return Err(format!("it begins {other:?}")),
    };
    let asked = |code: &u8| bytes.iter().position(|asked| asked == code);
    let mut sorted = rest.to_vec();
    sorted.sort_by_key(|code| (asked(code).unwrap_or(usize::MAX), *code));
    holds(rest == sorted, || format!("{rest:?} is not {sorted:?}"))
}

/// Options 61 and 97: echoed, never understood.
fn identifiers(bytes: &[u8]) -> Result<(), String> {
    let request = discover(&[(61, bytes), (97, bytes), (57, &[5, 220])])?;
    let is_uuid = bytes.len() == 17 && bytes.first() == Some(&0);
    holds(request.uuid().is_some() == is_uuid, || {
        "a UUID, or none".to_owned()
    })?;
    for message_type in [MessageType::Offer, MessageType::Nak] {
        let reply = Reply::to(&request, message_type);
        let back = read_back(&reply)?;
        let expected = Some(bytes).filter(|_| !reply.left_out().contains(&61));
        let echoed = back.client_identifier();
        holds(bytes.is_empty() || echoed == expected, || {
            "option 61 is not echoed".to_owned()
        })?;
    }
    Ok(())
}

/// Options of a fixed length: read when they have it, and only then.
fn fixed(bytes: &[u8]) -> Result<(), String> {
    let request = discover(&[
        (50, bytes),
        (51, bytes),
        (54, bytes),
        (57, bytes),
        (94, bytes),
    ])?;
    let four = <[u8; 4]>::try_from(bytes).ok();
    let two = <[u8; 2]>::try_from(bytes).ok();
    let address = four.map(Ipv4Addr::from);
    holds(
        request.requested_address() == address && request.server_identifier() == address,
        || "an address".to_owned(),
    )?;
    let (time, size) = (four.map(u32::from_be_bytes), two.map(u16::from_be_bytes));
    holds(
        request.lease_time() == time && request.max_message_size() == size,
        || "a number".to_owned(),
    )?;
    holds(
        request.network_interface().is_some() == (bytes.len() >= 3),
        || "option 94".to_owned(),
    )
}

/// Frames that others send, and names that they ask for.
fn arp_and_file_names(bytes: &[u8]) -> Result<(), String> {
    if let Some(mac) = frame::arp_holder(bytes, Ipv4Addr::LOCALHOST) {
        holds(bytes.get(22..28) == Some(mac.as_slice()), || {
            "an ARP sender".to_owned()
        })?;
    }
    let Ok(path) = names::clean_path(bytes) else {
        return Ok(());
    };
    holds(
        path.split('/').all(|part| {
            names::OF_TREES.contains(&part) || !part.is_empty() && !part.starts_with('.')
        }) && !path.contains('\\')
            && !path.contains(char::is_control),
        || format!("{path:?} is a file name"),
    )?;
    let again = names::clean_path(path.as_bytes());
    holds(again.as_deref() == Ok(path.as_str()), || {
        format!("{path:?} is cleaned to {again:?}")
    })
}
