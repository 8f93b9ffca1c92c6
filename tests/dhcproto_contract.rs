//! What `dhcproto` 0.15 cannot do, pinned: each test shows one limit and, where it can be seen from
//! outside, how this crate stands around it. A test that fails after an upgrade names a workaround in
//! `src/wire/dhcp` that can go.

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bootwright::base::ClientSystemArchitecture;
use bootwright::wire::dhcp::{Malformed, Reply, Request};
use dhcproto::v4::relay::RelayAgentInformation;
use dhcproto::v4::{
    Decodable as _, Decoder, DhcpOption, DhcpOptions, Encodable as _, Message, MessageType,
    OptionCode, UnknownOption, borrowed,
};

/// A DISCOVER-like message with these options, without an end mark of its own.
fn message(options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..3].copy_from_slice(&[1, 1, 6]);
    bytes[28..34].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 1]);
    bytes.extend_from_slice(&[99, 130, 83, 99]);
    bytes.extend_from_slice(options);
    bytes
}

fn owned(bytes: &[u8]) -> Message {
    Message::decode(&mut Decoder::new(bytes)).expect("a message")
}

fn request(options: &[u8]) -> Request {
    Request::parse(&message(options)).expect("a message")
}

fn panics<T>(what: impl FnOnce() -> T) -> bool {
    catch_unwind(AssertUnwindSafe(what)).is_err()
}

#[test]
fn limit_1_hlen_is_not_checked() {
    let mut bytes = message(&[53, 1, 1, 255]);
    bytes[2] = 17;
    let read = owned(&bytes);
    assert!(panics(|| read.chaddr().len()));
    assert!(panics(|| read.to_string()));
    bytes[2] = 255;
    let read = borrowed::Message::new(&bytes).expect("a message");
    assert!(panics(|| read.chaddr().len()));
    assert_eq!(Request::parse(&bytes), Err(Malformed::HardwareLength(255)));
}

#[test]
fn limit_2_one_undecodable_option_ends_the_list() {
    for odd in [
        [12, 4, b'b', 0xfc, b'r', b'o'].as_slice(),
        &[150, 8, 1, 1, 1, 1, 2, 2, 2, 2],
        &[50, 3, 1, 2, 3],
    ] {
        let options = [odd, &[53, 1, 1, 255]].concat();
        assert_eq!(owned(&message(&options)).opts().msg_type(), None, "{odd:?}");
        assert_eq!(
            request(&options).message_type(),
            Some(MessageType::Discover)
        );
    }
}

#[test]
fn limit_3_lengths_from_the_network_are_asserted() {
    for odd in [
        [80, 1, 9].as_slice(),
        &[94, 1, 1],
        &[94, 4, 1, 2, 3, 4],
        &[81, 2, 0, 0],
        &[152, 1, 1],
    ] {
        let options = [odd, &[53, 1, 1, 255]].concat();
        let bytes = message(&options);
        // Without debug assertions these are undecodable, or cut; a subtraction (81) panics always.
        if cfg!(debug_assertions) {
            assert!(
                panics(|| Message::decode(&mut Decoder::new(&bytes))),
                "{odd:?}"
            );
        }
        let request = request(&options);
        assert_eq!(request.message_type(), Some(MessageType::Discover));
        assert_eq!(request.client_fqdn(), None);
    }
}

#[test]
fn limit_4_option_93_holds_one_architecture() {
    let options = [93, 4, 0, 7, 0, 16, 53, 1, 1, 255];
    match owned(&message(&options))
        .opts()
        .get(OptionCode::ClientSystemArchitecture)
    {
        Some(DhcpOption::ClientSystemArchitecture(one)) => assert_eq!(u16::from(*one), 7),
        other => panic!("{other:?}"),
    }
    assert!(
        request(&options)
            .architectures()
            .eq([ClientSystemArchitecture(7), ClientSystemArchitecture(16)])
    );
}

#[test]
fn limit_5_option_150_is_one_address() {
    let two = [150, 8, 10, 0, 0, 1, 10, 0, 0, 2];
    assert!(DhcpOption::decode(&mut Decoder::new(&two)).is_err());
}

#[test]
fn limit_6_overloaded_fields_are_not_followed() {
    let mut bytes = message(&[52, 1, 3, 255]);
    bytes[108..112].copy_from_slice(&[53, 1, 1, 255]);
    bytes[44..50].copy_from_slice(&[61, 3, 1, 2, 3, 255]);
    assert_eq!(owned(&bytes).opts().msg_type(), None);
    let request = Request::parse(&bytes).expect("a message");
    assert_eq!(request.message_type(), Some(MessageType::Discover));
    assert_eq!(request.client_identifier(), Some([1, 2, 3].as_slice()));
}

#[test]
fn limit_6_a_full_file_field_is_lost() {
    let mut bytes = message(&[53, 1, 2, 255]);
    bytes[108..236].fill(b'x');
    assert_eq!(owned(&bytes).fname(), None);
    // One with room for its NUL keeps the NUL.
    bytes[109..236].fill(0);
    assert_eq!(owned(&bytes).fname(), Some(b"x\0".as_slice()));
}

#[test]
fn limit_7_parts_that_are_not_adjacent_are_not_joined() {
    let options = [77, 2, b'i', b'P', 53, 1, 1, 77, 2, b'X', b'E', 255];
    let bytes = message(&options);
    assert_eq!(
        owned(&bytes).opts().get(OptionCode::UserClass),
        Some(&DhcpOption::UserClass(b"XE".to_vec()))
    );
    let read = borrowed::Message::new(&bytes).expect("a message");
    assert_eq!(read.opts().count(), 3);
    assert_eq!(request(&options).user_class(), Some(b"iPXE".as_slice()));
}

#[test]
fn limit_7_a_truncated_repeat_costs_the_first_part() {
    let options = [53, 1, 1, 61, 2, 1, 2, 61, 9, 1];
    let bytes = message(&options);
    let read = borrowed::Message::new(&bytes).expect("a message");
    let codes: Vec<_> = read.opts().map(|option| u8::from(option.code())).collect();
    assert_eq!(codes, [53]);
    assert_eq!(
        request(&options).client_identifier(),
        Some([1, 2].as_slice())
    );
}

#[test]
fn limit_8_the_cookie_is_not_looked_at() {
    let mut bytes = message(&[53, 1, 1, 255]);
    bytes[236] = 0;
    assert_eq!(owned(&bytes).opts().msg_type(), Some(MessageType::Discover));
    assert_eq!(Request::parse(&bytes), Err(Malformed::NoCookie));
}

#[test]
fn limit_9_options_are_written_in_ascending_order() {
    let mut options = DhcpOptions::new();
    options.insert(DhcpOption::MessageType(MessageType::Offer));
    options.insert(DhcpOption::SubnetMask(Ipv4Addr::BROADCAST));
    let bytes = options.to_vec().expect("bytes");
    assert_eq!((bytes[0], bytes[6]), (1, 53));
    // Single options can be written one by one, which is what this crate does.
    let single = DhcpOption::MessageType(MessageType::Offer).to_vec();
    assert_eq!(single.expect("bytes"), [53, 1, 2]);
}

#[test]
fn limit_10_a_raw_option_82_is_written_twice() {
    let mut options = DhcpOptions::new();
    options.insert(DhcpOption::Unknown(UnknownOption::new(
        OptionCode::RelayAgentInformation,
        vec![1, 1, 7],
    )));
    let bytes = options.to_vec().expect("bytes");
    assert_eq!(bytes, [82, 3, 1, 1, 7, 82, 3, 1, 1, 7, 255]);
    let request = request(&[53, 1, 1, 82, 3, 1, 1, 7, 255]);
    let reply = Reply::to(&request, MessageType::Offer).encode();
    let parts = reply.windows(5).filter(|part| *part == [82, 3, 1, 1, 7]);
    assert_eq!(parts.count(), 1);
}

#[test]
fn limit_11_typed_relay_information_is_another_one() {
    let again = |raw: &[u8]| {
        RelayAgentInformation::decode(&mut Decoder::new(raw))
            .expect("sub-options")
            .to_vec()
            .expect("bytes")
    };
    assert_eq!(again(&[9, 1, 8, 1, 1, 7]), [1, 1, 7, 9, 1, 8]);
    assert!(again(&[5, 2, 1, 2, 1, 1, 7]).is_empty());
    let raw = [9, 1, 8, 1, 1, 7, 1, 1, 6];
    let request = request(&[[82, 9].as_slice(), &raw].concat());
    let reply = Reply::to(&request, MessageType::Offer).encode();
    let back = Request::parse(&reply).expect("own reply");
    assert_eq!(back.relay_agent_information(), Some(raw.as_slice()));
}

#[test]
fn limit_12_neither_a_size_nor_padding() {
    let mut message = Message::default();
    message
        .opts_mut()
        .insert(DhcpOption::MessageType(MessageType::Offer));
    assert_eq!(message.to_vec().expect("bytes").len(), 244);
    message
        .opts_mut()
        .insert(DhcpOption::DomainName("d".repeat(2_000)));
    assert!(message.to_vec().expect("bytes").len() > 2_000);
    let mut reply = Reply::to(&request(&[53, 1, 1, 255]), MessageType::Offer);
    assert_eq!(reply.encode().len(), 300);
    reply
        .options
        .push(&DhcpOption::DomainName("d".repeat(2_000)));
    assert!(reply.encode().len() <= 548);
    assert_eq!(reply.left_out(), [15]);
}

#[test]
fn limit_13_setters_and_encoders() {
    assert!(panics(|| {
        Message::default().set_fname(&[b'x'; 129]);
    }));
    assert!(panics(|| {
        Message::default().set_sname(&[b'x'; 65]);
    }));
    let empty = DhcpOption::Hostname(String::new()).to_vec();
    assert!(empty.expect("bytes").is_empty());
    assert_eq!(
        DhcpOption::decode(&mut Decoder::new(&[37, 1, 64])).expect("an option"),
        DhcpOption::DefaultIpTtl(64)
    );
    let long = UnknownOption::new(OptionCode::from(224), vec![0; 300]).to_vec();
    assert_eq!(long.expect("bytes")[1], 44, "300 modulo 256");
}

#[test]
fn limit_14_sub_options_of_175_are_bytes() {
    let options = [175, 6, 19, 1, 1, 24, 1, 1, 53, 1, 1, 255];
    assert!(matches!(
        owned(&message(&options))
            .opts()
            .get(OptionCode::from(bootwright::wire::ipxe::OPTION)),
        Some(DhcpOption::Unknown(_))
    ));
    let features = request(&options).ipxe_features().expect("option 175");
    assert!(features.http() && features.linux());
}
