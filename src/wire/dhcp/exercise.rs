//! One round over everything that reads a client's bytes: what the fuzz target and the test of its
//! corpus run.

mod codecs;

use std::net::Ipv4Addr;

use super::{DhcpOption, MessageType, OptionCode, Reply, Request};
pub use codecs::{CODECS, Codec, option_codec};

use crate::wire::{names, pxe};

/// Reads `bytes` as a message, calls every getter, answers, and reads the answer back. The error is
/// a sentence that names the property that does not hold; bytes that are no message have none.
pub fn dhcp_request(bytes: &[u8]) -> Result<(), String> {
    // A panic here is the finding; the value is not wanted.
    let _ = names::clean_path(bytes);
    let Ok(request) = Request::parse(bytes) else {
        return Ok(());
    };
    let _ = (
        request.message_type(),
        request.host_name(),
        request.requested_address(),
        request.lease_time(),
        request.server_identifier(),
        request.parameter_request_list(),
        request.max_message_size(),
        request.client_fqdn(),
        request.selected_link(),
        request.architectures().count(),
        request.network_interface(),
        request.uuid(),
    );
    let _ = (
        request.ipxe_features(),
        pxe::VendorClass::read(request.vendor_class()),
        request.user_class().map(crate::wire::ipxe::is_user_class),
    );
    if request.mac.as_bytes().is_empty() {
        return Err("a machine without a hardware address was let in".to_owned());
    }
    let kept: usize = request.options.iter().map(|(_, data)| data.len()).sum();
    if kept > bytes.len() {
        return Err(format!("{kept} bytes of options from {}", bytes.len()));
    }
    if request.message_type().is_none() {
        bootp_stays_bootp(&request)?;
    }
    answer_reads_back(&request)
}

/// What BOOTP is answered has no option of DHCP's, and no more bytes than its client sent.
fn bootp_stays_bootp(request: &Request) -> Result<(), String> {
    let mut reply = Reply::to(request, None);
    reply.options = [
        DhcpOption::ServerIdentifier(Ipv4Addr::LOCALHOST),
        DhcpOption::SubnetMask(Ipv4Addr::BROADCAST),
        DhcpOption::AddressLeaseTime(1),
    ]
    .into_iter()
    .collect();
    let encoded = reply.encode();
    if encoded.len() > request.len.max(super::BOOTP_MESSAGE) {
        return Err(format!("{} bytes by BOOTP", encoded.len()));
    }
    let back = Request::parse(&encoded).map_err(|error| format!("own BOOTP: {error}"))?;
    if back.cookie != request.cookie {
        return Err("options for a client that has none".to_owned());
    }
    match back
        .options
        .iter()
        .find(|(code, _)| (50..=61).contains(&u8::from(*code)))
    {
        Some((code, _)) => Err(format!("option {} by BOOTP", u8::from(code))),
        None => Ok(()),
    }
}

fn answer_reads_back(request: &Request) -> Result<(), String> {
    let reply = Reply::to(request, MessageType::Ack);
    let encoded = reply.encode();
    let back = Request::parse(&encoded).map_err(|error| format!("own reply: {error}"))?;
    if !(super::MIN_MESSAGE..=1_472).contains(&encoded.len()) {
        return Err(format!("a reply of {} bytes", encoded.len()));
    }
    if (back.xid, back.mac, back.giaddr) != (request.xid, request.mac, request.giaddr) {
        return Err("the header was not echoed".to_owned());
    }
    if back.message_type() != Some(MessageType::Ack) {
        return Err("the message type was lost".to_owned());
    }
    let left_out = reply.left_out();
    for code in [
        OptionCode::ClientIdentifier,
        OptionCode::RelayAgentInformation,
    ] {
        let echoed = back.options.get(code);
        let asked = request.options.get(code);
        let dropped = left_out.contains(&u8::from(code))
            || code == OptionCode::ClientIdentifier && asked == Some(&[]);
        if !dropped && echoed != asked {
            return Err(format!("option {} was not echoed", u8::from(code)));
        }
    }
    Ok(())
}
