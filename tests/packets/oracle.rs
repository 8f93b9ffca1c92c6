//! What EDK2 would do with the offers that it has received: an oracle of its choice, after
//! `PxeBcParseDhcp4Packet` and `PxeBcSelectDhcp4Offer` (NetworkPkg/UefiPxeBcDxe/PxeBcDhcp4.c), and
//! after their counterparts for HTTP Boot (NetworkPkg/HttpBootDxe/HttpBootDhcp4.c).
//!
//! Firmware reads an offer by rules of its own, not by the RFCs: an option 60 too many sends it to
//! port 4011, an offer without a boot file is none. Every offer of this server to UEFI passes
//! through here.

use std::net::Ipv4Addr;

use bootwright::base::Firmware;
use bootwright::decide::Stage;
use bootwright::decide::dhcp::{Decision, Outcome};
use bootwright::journal::event::Kind;
use bootwright::wire::dhcp::Request;
use bootwright::wire::dhcp::options::encapsulated;

/// What PXE takes an offer for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Option 60 `PXEClient` and sub-options of 43 that tell how to find boot servers.
    Pxe10 { proxy: bool },
    /// Option 60 `PXEClient` and nothing to discover by: the boot file is asked for at port 4011.
    Binl { proxy: bool },
    /// No option 60 `PXEClient`; with `yiaddr` 0 it is kept among the proxies and never chosen.
    DhcpOnly,
    /// No message type, and a boot file.
    Bootp,
}

/// One offer as EDK2 reads it.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) class: Option<Class>,
    pub(crate) boot_file: Option<Vec<u8>>,
    yiaddr: Ipv4Addr,
    /// Where a boot file is asked for by BINL: `siaddr`, else option 54.
    server: Ipv4Addr,
    http: bool,
}

/// What PXE boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Ranks 1, 7 and 8: the boot file of this offer.
    BootFile { rank: u8, offer: usize },
    /// Ranks 3 and 6: the address of one, the boot file of another.
    WithProxy { rank: u8, offer: usize },
    /// Rank 5: a further request to port 4011 of this server.
    Port4011 { offer: usize, server: Ipv4Addr },
    /// `PXE-E16`, and the next boot device after a minute.
    Nothing,
}

const FILE: std::ops::Range<usize> = 108..236;
const SNAME: std::ops::Range<usize> = 44..108;

/// The first option of this code, as EDK2 looks for it: parts are not joined, and `file` and `sname`
/// are looked through only when option 52 says so.
fn option(bytes: &[u8], code: u8) -> Option<&[u8]> {
    let find = |area, code: u8| {
        encapsulated(area)
            .find(|(other, _)| *other == code)
            .map(|(_, data)| data)
    };
    let options = &bytes[240..];
    let overload = find(options, 52).map_or(0, |data| data[0]);
    find(options, code)
        .or_else(|| find(&bytes[FILE], code).filter(|_| overload & 1 != 0))
        .or_else(|| find(&bytes[SNAME], code).filter(|_| overload & 2 != 0))
}

fn ip(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

/// The C string that EDK2 makes of a boot file name.
fn c_string(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .copied()
        .take_while(|byte| *byte != 0)
        .collect()
}

impl Offer {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let yiaddr = ip(&bytes[16..20]);
        let proxy = yiaddr.is_unspecified();
        let class_id = option(bytes, 60).unwrap_or_default();
        let is_pxe = class_id.starts_with(b"PXEClient");
        let vendor = option(bytes, 43).filter(|_| is_pxe).unwrap_or_default();
        let has = |tags: std::ops::RangeInclusive<u8>| {
            encapsulated(vendor).any(|(tag, _)| tags.contains(&tag))
        };
        // PXE never asks whether `file` is overloaded; HTTP Boot does.
        let file_counts = bytes[FILE.start] != 0
            && (!class_id.starts_with(b"HTTPClient") || option(bytes, 52).is_none());
        let boot_file = option(bytes, 67)
            .map(c_string)
            .or_else(|| file_counts.then(|| c_string(&bytes[FILE])));
        let class = if option(bytes, 53).is_none_or(|data| data == [0]) {
            boot_file.is_some().then_some(Class::Bootp)
        } else if has(6..=10) {
            Some(Class::Pxe10 { proxy })
        } else if has(1..=5) {
            // Multicast TFTP: thrown away.
            None
        } else if is_pxe {
            Some(Class::Binl { proxy })
        } else {
            Some(Class::DhcpOnly)
        };
        let siaddr = ip(&bytes[20..24]);
        let server = match option(bytes, 54) {
            Some(identifier) if siaddr.is_unspecified() => ip(identifier),
            _ => siaddr,
        };
        Self {
            class,
            boot_file,
            yiaddr,
            server,
            http: class_id.starts_with(b"HTTPClien"),
        }
    }
}

/// The eight ranks of PXE, in the order in which the offers came. Ranks 2 and 4 (WFM11a) are never
/// reached, because such offers are thrown away when they are read.
pub(crate) fn pxe_choice(offers: &[Offer]) -> Choice {
    let first = |wanted: Class| {
        offers.iter().position(|offer| {
            let proxy = offer.yiaddr.is_unspecified();
            offer.class == Some(wanted) && !(wanted == Class::DhcpOnly && proxy)
        })
    };
    // Of the proxies with option 43 this generation drops the first one that comes.
    let of_proxy = offers
        .iter()
        .filter(|offer| offer.class == Some(Class::Pxe10 { proxy: true }))
        .count();
    let plain = first(Class::DhcpOnly);
    if let Some(offer) = first(Class::Pxe10 { proxy: false }) {
        return Choice::BootFile { rank: 1, offer };
    }
    if let (Some(offer), true) = (plain, of_proxy > 1) {
        return Choice::WithProxy { rank: 3, offer };
    }
    if let Some(offer) = first(Class::Binl { proxy: false }) {
        let server = offers[offer].server;
        return Choice::Port4011 { offer, server };
    }
    if let (Some(offer), Some(_)) = (plain, first(Class::Binl { proxy: true })) {
        return Choice::WithProxy { rank: 6, offer };
    }
    let with_file = |class: Class| {
        offers.iter().position(|offer| {
            offer.class == Some(class)
                && offer.boot_file.is_some()
                && !offer.yiaddr.is_unspecified()
        })
    };
    if let Some(offer) = with_file(Class::DhcpOnly) {
        return Choice::BootFile { rank: 7, offer };
    }
    match with_file(Class::Bootp) {
        Some(offer) => Choice::BootFile { rank: 8, offer },
        None => Choice::Nothing,
    }
}

/// Which offer HTTP Boot takes its URL from: the first with `HTTPClient`, an address, and a URL whose
/// host is an address. (With a name it needs DNS, which this server never asks of it.)
pub(crate) fn http_choice(offers: &[Offer]) -> Option<usize> {
    offers.iter().position(|offer| {
        let url = offer
            .boot_file
            .as_deref()
            .and_then(|url| std::str::from_utf8(url).ok())
            .and_then(|url| url.strip_prefix("http://"));
        let host = url.and_then(|rest| rest.split(['/', ':']).next());
        offer.http
            && !offer.yiaddr.is_unspecified()
            && host.is_some_and(|host| host.parse::<Ipv4Addr>().is_ok())
    })
}

/// The reply of a decision as EDK2 reads it; `None`: there is none.
pub(crate) fn offer_of(decision: &Decision) -> Option<Offer> {
    match &decision.outcome {
        Outcome::Send { reply, .. } => Some(Offer::read(&reply.encode())),
        Outcome::Ignore => None,
    }
}

/// Holds an offer, alone on the wire and with an address in it, against the oracle: UEFI boots what it is
/// meant to boot and by the rank of an ordinary offer with a boot file, or goes on to its disk without
/// a detour to port 4011. What is no such offer passes.
pub(crate) fn judge(request: &Request, decision: &Decision) -> Result<(), String> {
    let Some(offer) = offer_of(decision) else {
        return Ok(());
    };
    if decision.kind != Kind::DhcpOffer || offer.yiaddr.is_unspecified() {
        return Ok(());
    }
    let file = decision.boot_file.as_deref().map(str::as_bytes);
    let is = |holds: bool, what: &str| {
        if holds {
            Ok(())
        } else {
            Err(format!("{what}: {offer:?} of {decision:?}"))
        }
    };
    match Stage::of(request) {
        Stage::HttpBoot { .. } => is(
            http_choice(std::slice::from_ref(&offer)).is_some() == file.is_some(),
            "HTTP Boot's URL",
        ),
        Stage::Pxe { firmware, .. } if firmware.is_some_and(Firmware::is_uefi) => {
            let expected = match file {
                Some(_) => Choice::BootFile { rank: 7, offer: 0 },
                None => Choice::Nothing,
            };
            is(offer.boot_file.as_deref() == file, "the boot file")?;
            is(
                pxe_choice(std::slice::from_ref(&offer)) == expected,
                "the choice",
            )
        }
        Stage::Pxe { .. } if file.is_some() => {
            is(offer.boot_file.as_deref() == file, "the boot file")
        }
        Stage::Ipxe { .. } => is(offer.class == Some(Class::DhcpOnly), "the class"),
        // A BIOS and systems take no part in this choice.
        Stage::Pxe { .. } | Stage::Os => Ok(()),
    }
}

mod tests {
    use bootwright::config::options::ConfiguredOption;
    use bootwright::config::snapshot::LocalBoot;
    use bootwright::decide::Known;
    use bootwright::record::InstallState;
    use bootwright::wire::dhcp::MessageType;
    use proptest::prelude::*;

    use super::super::capture::{Message, capture};
    use super::super::properties::{any_local_boot, any_message, any_state};
    use super::super::site::{answer, answer_armed, answer_local, changed, record};
    use super::*;

    fn ours(decision: &Decision) -> Offer {
        offer_of(decision).expect("an answer")
    }

    fn reads(offer: &Offer) -> &str {
        std::str::from_utf8(offer.boot_file.as_deref().expect("a boot file")).expect("text")
    }

    /// UEFI by PXE, in each architecture and the ways in which they are told.
    fn pxe_firmware() -> Vec<Message> {
        [6, 7, 9, 10, 11]
            .into_iter()
            .flat_map(|code| {
                let told = Message::of("ovmf-pxe-discover").with(93, &[0, code]);
                let class = format!("PXEClient:Arch:{code:05}:UNDI:003000");
                [
                    told.clone().with(60, class.as_bytes()),
                    told.clone().with(60, b"PXEClient"),
                    told.clone().without(60),
                    told.clone().without(55).with(60, class.as_bytes()),
                    told.with(57, &[2, 64]).with(60, class.as_bytes()),
                ]
            })
            .collect()
    }

    /// Another server's offer without a boot file, as a router sends it.
    fn of_a_router() -> Message {
        let offer = Message::of("dnsmasq-offer");
        let offer = offer.without(60).without(43).without(66).without(67);
        offer.header(20, &[0; 4]).header(FILE.start, &[0; 128])
    }

    #[test]
    fn pxe_boots_what_it_is_offered_at_rank_7() {
        for discover in pxe_firmware() {
            for decision in [
                answer_armed(&discover.bytes()),
                answer_local(&discover.bytes()),
            ] {
                let offer = ours(&decision);
                assert_eq!(offer.class, Some(Class::DhcpOnly));
                assert_eq!(Some(reads(&offer)), decision.boot_file.as_deref());
                let choice = pxe_choice(std::slice::from_ref(&offer));
                assert_eq!(choice, Choice::BootFile { rank: 7, offer: 0 });
                assert_eq!(offer.server, Ipv4Addr::new(10, 99, 0, 2));
            }
        }
    }

    #[test]
    fn beside_a_router_it_boots_what_is_offered_here() {
        let router = Offer::read(&of_a_router().bytes());
        assert_eq!(router.class, Some(Class::DhcpOnly));
        assert_eq!(pxe_choice(std::slice::from_ref(&router)), Choice::Nothing);
        for discover in pxe_firmware() {
            let here = ours(&answer_armed(&discover.bytes()));
            for offers in [[router.clone(), here.clone()], [here, router.clone()]] {
                let Choice::BootFile { rank: 7, offer } = pxe_choice(&offers) else {
                    panic!("{:?}", pxe_choice(&offers));
                };
                assert!(reads(&offers[offer]).starts_with("ipxe/"));
            }
        }
    }

    /// Against these the offer loses whatever it says: they are what `why` has to name.
    #[test]
    fn servers_that_outrank_an_ordinary_offer() {
        let here = ours(&answer_armed(&capture("ovmf-pxe-discover")));
        let with = |other: Message| pxe_choice(&[here.clone(), Offer::read(&other.bytes())]);
        let pxe = of_a_router().with(60, b"PXEClient");
        assert!(matches!(
            with(pxe.clone()),
            Choice::Port4011 { offer: 1, .. }
        ));
        let discovers = pxe.clone().with(43, &[6, 1, 8, 255]);
        assert_eq!(
            with(discovers.clone()),
            Choice::BootFile { rank: 1, offer: 1 }
        );
        // Multicast TFTP only: thrown away.
        let multicast = pxe.clone().with(43, &[1, 4, 224, 0, 0, 1, 255]);
        assert_eq!(with(multicast), Choice::BootFile { rank: 7, offer: 0 });
        let proxy = |message: Message| message.header(16, &[0; 4]);
        assert_eq!(with(proxy(pxe)), Choice::WithProxy { rank: 6, offer: 0 });
        // The first proxy with option 43 is dropped; a second one counts.
        assert_eq!(
            with(proxy(discovers.clone())),
            Choice::BootFile { rank: 7, offer: 0 }
        );
        let twice = Offer::read(&proxy(discovers).bytes());
        assert_eq!(
            pxe_choice(&[here.clone(), twice.clone(), twice]),
            Choice::WithProxy { rank: 3, offer: 0 }
        );
        let bootp = of_a_router()
            .without(53)
            .header(FILE.start, b"pxelinux.0\0");
        assert_eq!(with(bootp.clone()), Choice::BootFile { rank: 7, offer: 0 });
        assert_eq!(
            pxe_choice(&[Offer::read(&bootp.bytes())]),
            Choice::BootFile { rank: 8, offer: 0 }
        );
    }

    #[test]
    fn http_boot_takes_the_url_that_it_is_offered() {
        for code in [15, 16, 18, 19] {
            let class = format!("HTTPClient:Arch:{code:05}:UNDI:003000");
            let discover = Message::of("ovmf-http-discover")
                .with(93, &[0, code])
                .with(60, class.as_bytes());
            for discover in [discover.clone(), discover.without(55)] {
                let decision = answer_armed(&discover.bytes());
                let here = ours(&decision);
                assert_eq!(Some(reads(&here)), decision.boot_file.as_deref());
                // What PXE firmware is offered is nothing to it.
                let pxe = ours(&answer_armed(&capture("ovmf-pxe-discover")));
                let router = Offer::read(&of_a_router().bytes());
                assert_eq!(http_choice(&[router, pxe, here]), Some(2), "{code}");
            }
        }
    }

    /// EDK2 takes the first bytes of `file` for a boot file even where option 52 says that options lie
    /// there.
    #[test]
    fn options_without_room_do_not_become_a_boot_file() {
        let big = |code| ConfiguredOption {
            code,
            data: [b'x'; 100].into(),
            force: true,
        };
        let snapshot = changed(|hosts| {
            for host in hosts {
                host.local_boot = LocalBoot::NoFile;
                host.options = (224..=230).map(big).collect();
            }
        });
        let small = Message::of("ovmf-pxe-discover").with(57, &[2, 64]);
        let offer = ours(&answer(&small.bytes(), &snapshot, Known::Nothing));
        assert_eq!(offer.boot_file, None);
        assert_eq!(pxe_choice(&[offer]), Choice::Nothing);
        // HTTP Boot takes no URL from `file` beside an option 52, wherever that says options lie.
        let http = Message::of("ovmf-http-discover")
            .with(57, &[2, 64])
            .without(55);
        let record = record(InstallState::Armed);
        let offer = ours(&answer(&http.bytes(), &snapshot, Known::Record(&record)));
        assert_eq!(http_choice(&[offer]), Some(0));
        // A system reads option 52: there the room is used.
        let system = Message::of("udhcpc-discover");
        let Outcome::Send { reply, .. } =
            answer(&system.bytes(), &snapshot, Known::Nothing).outcome
        else {
            panic!("no answer");
        };
        let bytes = reply.encode();
        assert_eq!(option(&bytes, 52).map(|data| data[0] & 1), Some(1));
        assert_ne!(bytes[FILE.start], 0);
    }

    /// Options of the operator's, of any code and size but for a boot file of another name.
    fn any_options() -> impl Strategy<Value = Vec<ConfiguredOption>> {
        let option = (
            prop_oneof![3 => Just(43), 3 => Just(60), 4 => 1_u8..=254],
            prop_oneof![
                Just(b"PXEClient".to_vec()),
                Just(vec![6, 1, 8]),
                prop::collection::vec(any::<u8>(), 1..700),
            ],
            any::<bool>(),
        );
        let usable =
            |option: &ConfiguredOption| !matches!(option.code, 50..=55 | 57 | 61 | 66 | 67 | 82);
        prop::collection::vec(option, 0..5).prop_map(move |options| {
            let options = options
                .into_iter()
                .map(|(code, data, force)| ConfiguredOption {
                    code,
                    data: data.into(),
                    force,
                });
            options.filter(usable).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_024))]

        #[test]
        fn no_offer_to_uefi_is_read_another_way(
            message in any_message(),
            state in any_state(),
            form in any_local_boot(),
            options in any_options(),
        ) {
            let message = message.header(0, &[1]).with(53, &[1]);
            let bytes = message.bytes();
            let request = Request::parse(&bytes).expect("a message");
            let snapshot = changed(|hosts| {
                hosts[0].local_boot = form;
                hosts[0].options = options.into();
            });
            let record = state.map(record);
            let known = record.as_ref().map_or(Known::Nothing, Known::Record);
            let decision = answer(&bytes, &snapshot, known);
            let Outcome::Send { reply, .. } = &decision.outcome else { return Ok(()) };
            prop_assert_eq!(reply.message_type(), Some(MessageType::Offer));
            prop_assert_eq!(judge(&request, &decision), Ok(()));
            let to_install = state.is_some_and(InstallState::boots_installer);
            if let Stage::Pxe { firmware: Some(firmware), .. } = Stage::of(&request)
                && firmware.is_uefi() && request.mac.to_string() == super::super::site::WEB01
                && (to_install || form != LocalBoot::NoFile)
            {
                prop_assert!(decision.boot_file.is_some(), "{decision:?}");
            }
        }
    }
}
