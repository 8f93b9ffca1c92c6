//! One round over everything that reads a frame from a packet socket, and over what reads a TFTP packet: what the
//! fuzz targets and the tests of their seeds run.

use std::net::Ipv4Addr;

use super::dhcp::overheard::{self, Said};
use super::frame::{arp_holder, dhcp_frame};
use super::ndp::{self, ADVERTISEMENT, Message, SOLICITATION};
use super::tftp::{MAX_BLKSIZE, MIN_BLKSIZE, Packet, Request};

const NEAR: [u8; 6] = [2, 0, 0, 0, 0, 1];
const FAR: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Reads `bytes` as a frame; as what comes after the fixed part of a solicitation and of an advertisement; and as a
/// DHCP message within a frame. The error is a sentence that names the property that does not hold.
pub fn frame(bytes: &[u8]) -> Result<(), String> {
    // A panic is the finding here.
    let _ = arp_holder(bytes, Ipv4Addr::LOCALHOST);
    whole(bytes)?;
    // With a right checksum, to which mutations seldom come.
    for kind in [SOLICITATION, ADVERTISEMENT] {
        let rest = bytes.get(..1_400).unwrap_or(bytes);
        let from = "fe80::1".parse().map_err(|_| "no address".to_owned())?;
        whole(&ndp::frame(kind, NEAR, from, FAR, ndp::ALL_ROUTERS, rest))?;
    }
    let reply = dhcp_frame(NEAR, FAR, Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST, bytes);
    reply_of(&reply)
}

/// Reads `bytes` as a TFTP packet. The error is a sentence that names the property that does not hold.
pub fn tftp(bytes: &[u8]) -> Result<(), String> {
    let Ok(packet) = Packet::read(bytes) else {
        return Ok(());
    };
    let written = packet.bytes();
    if Packet::read(&written) != Ok(packet) {
        return Err(format!("{packet:?} is written as {written:?}"));
    }
    let (Packet::Read(Request { options, .. })
    | Packet::Write(Request { options, .. })
    | Packet::Oack(options)) = packet
    else {
        return Ok(());
    };
    let blksize = options.blksize.unwrap_or(MIN_BLKSIZE);
    if !(MIN_BLKSIZE..=MAX_BLKSIZE).contains(&blksize) {
        return Err(format!("blocks of {blksize} bytes"));
    }
    if options.windowsize == Some(0) || options.timeout == Some(0) {
        return Err("windows of no block, or no time".to_owned());
    }
    Ok(())
}

fn whole(bytes: &[u8]) -> Result<(), String> {
    reply_of(bytes)?;
    let Ok(message) = ndp::read(bytes) else {
        return Ok(());
    };
    if bytes.get(6..12) != Some(message.mac().as_slice()) {
        return Err("a message of a card that did not send it".to_owned());
    }
    if bytes.get(21) != Some(&255) {
        return Err("a message that has crossed a router was let in".to_owned());
    }
    match message {
        Message::Solicitation(asked) if asked.source.is_multicast() => {
            Err("a group asks for routers".to_owned())
        }
        Message::Solicitation(asked) => {
            let answer = ndp::empty_advertisement(NEAR, asked.source, asked.mac, asked.source);
            match ndp::read(&answer) {
                Ok(Message::Advertisement(told)) if told.lifetime == 0 => Ok(()),
                Err(_) if !asked.source.is_unicast_link_local() => Ok(()),
                read => Err(format!("the own advertisement reads as {read:?}")),
            }
        }
        Message::Advertisement(told) if told.source.is_unicast_link_local() => Ok(()),
        Message::Advertisement(_) => Err("a router from beyond the link".to_owned()),
    }
}

fn reply_of(bytes: &[u8]) -> Result<(), String> {
    let Some(heard) = overheard::read(bytes) else {
        return Ok(());
    };
    if heard.client.as_bytes().is_empty() {
        return Err("a reply to nobody was let in".to_owned());
    }
    let gives = matches!(heard.said, Said::Offer | Said::Ack);
    if gives && heard.address.is_none() {
        return Err("an address is given, and there is none".to_owned());
    }
    Ok(())
}
