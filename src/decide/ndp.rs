//! Who is told that there is no IPv6 router (design section 3.4).
//!
//! iPXE that was built with IPv6 asks for a router at each start and goes on only when one has answered or
//! after some 13 seconds. An advertisement that offers nothing ends the waiting.
//!
//! **Invariant:** an advertisement answers a solicitation, goes to the machine that sent it and to nobody
//! else, only while that machine was seen as iPXE, and never on a link where a router was seen.

use std::net::Ipv6Addr;
use std::time::Duration;

use crate::base::Timestamp;
use crate::wire::ndp::Message;

/// For how long after its last DHCP packet a machine counts as iPXE: its solicitations begin with its
/// DISCOVER and end some 16 s later.
pub const SEEN_WITHIN: Duration = Duration::from_secs(30);

/// What is known of the link that a message came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// This server's hardware address there.
    pub own: [u8; 6],
    /// This server's link-local address there, from which advertisements come (RFC 4861 section 6.1.2).
    pub link_local: Option<Ipv6Addr>,
    /// Whether a router was seen there.
    pub has_router: bool,
    /// Whether a router has had the time to answer this server's own solicitation.
    pub is_settled: bool,
}

/// Why a message is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silent {
    /// It is this server's own.
    Own,
    /// There is a router: what is on its link is its business.
    Router,
    /// It is not known yet whether there is a router.
    NotSettled,
    /// There is no address to answer from.
    NoLinkLocal,
    /// The machine has not been seen as iPXE of late.
    NotIpxe,
    /// It has no link-local address: the answer could go to a group only (RFC 4861 section 6.2.6).
    NoAddress,
    /// The card that it names is not the one that sent the frame.
    OtherCard,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Send an empty advertisement to this machine.
    Advertise {
        /// From this address.
        from: Ipv6Addr,
        /// To this card.
        mac: [u8; 6],
        /// To this address.
        to: Ipv6Addr,
    },
    /// Another router: silence from now on.
    Router {
        /// Its address.
        source: Ipv6Addr,
        /// Its card.
        mac: [u8; 6],
    },
    /// Nothing.
    Silent(Silent),
}

/// Decides on a message. `is_sent_here`: another program of this machine sends it; `ipxe_at`: when the card
/// that sent it was last seen as iPXE.
pub fn decide(
    message: &Message,
    is_sent_here: bool,
    link: &Link,
    ipxe_at: Option<Timestamp>,
    now: Timestamp,
) -> Outcome {
    let asked = match message {
        // Its own socket is not shown what this service sends: it has come back by a loop of cables.
        Message::Advertisement(told) if told.mac == link.own && !is_sent_here => {
            return Outcome::Silent(Silent::Own);
        }
        Message::Advertisement(told) => {
            return Outcome::Router {
                source: told.source,
                mac: told.mac,
            };
        }
        Message::Solicitation(asked) => asked,
    };
    let silent = |why| Outcome::Silent(why);
    if is_sent_here || asked.mac == link.own {
        return silent(Silent::Own);
    }
    if link.has_router {
        return silent(Silent::Router);
    }
    if !link.is_settled {
        return silent(Silent::NotSettled);
    }
    if ipxe_at.is_none_or(|at| now.since(at) >= SEEN_WITHIN) {
        return silent(Silent::NotIpxe);
    }
    if is_group(asked.mac) || asked.link_layer.is_some_and(|named| named != asked.mac) {
        return silent(Silent::OtherCard);
    }
    if !asked.source.is_unicast_link_local() {
        return silent(Silent::NoAddress);
    }
    match link.link_local {
        Some(from) if from != asked.source => Outcome::Advertise {
            from,
            mac: asked.mac,
            to: asked.source,
        },
        Some(_) => silent(Silent::Own),
        None => silent(Silent::NoLinkLocal),
    }
}

/// Whether an Ethernet address is that of a group (IEEE 802: the lowest bit of the first octet).
fn is_group(mac: [u8; 6]) -> bool {
    let [first, ..] = mac;
    first & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ndp::{Advertisement, Solicitation};
    use proptest::prelude::*;

    const CARD: [u8; 6] = [0x52, 0x54, 0, 0x47, 0x86, 0x8e];
    const OWN: [u8; 6] = [0x9a, 0x48, 0x47, 0x98, 0x58, 0x1f];

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    fn link() -> Link {
        Link {
            own: OWN,
            link_local: Some(ip("fe80::9848:47ff:fe98:581f")),
            has_router: false,
            is_settled: true,
        }
    }

    fn asked() -> Solicitation {
        Solicitation {
            mac: CARD,
            source: ip("fe80::5054:ff:fe47:868e"),
            link_layer: Some(CARD),
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn why(asked: Solicitation, link: Link, ipxe_at: Option<i64>) -> Silent {
        match decide(
            &Message::Solicitation(asked),
            false,
            &link,
            ipxe_at.map(at),
            at(100),
        ) {
            Outcome::Silent(why) => why,
            outcome => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn ipxe_is_answered_at_its_own_address() {
        let outcome = decide(
            &Message::Solicitation(asked()),
            false,
            &link(),
            Some(at(71)),
            at(100),
        );
        assert_eq!(
            outcome,
            Outcome::Advertise {
                from: ip("fe80::9848:47ff:fe98:581f"),
                mac: CARD,
                to: ip("fe80::5054:ff:fe47:868e"),
            }
        );
    }

    #[test]
    fn everybody_else_is_met_with_silence() {
        assert_eq!(why(asked(), link(), None), Silent::NotIpxe);
        assert_eq!(why(asked(), link(), Some(70)), Silent::NotIpxe);
        let mut with_router = link();
        with_router.has_router = true;
        assert_eq!(why(asked(), with_router, Some(100)), Silent::Router);
        let mut new = link();
        new.is_settled = false;
        assert_eq!(why(asked(), new, Some(100)), Silent::NotSettled);
        let mut without_v6 = link();
        without_v6.link_local = None;
        assert_eq!(why(asked(), without_v6, Some(100)), Silent::NoLinkLocal);
        let mut own = asked();
        own.mac = OWN;
        assert_eq!(why(own, link(), Some(100)), Silent::Own);
        let mut forged = asked();
        forged.link_layer = Some([2; 6]);
        assert_eq!(why(forged, link(), Some(100)), Silent::OtherCard);
        for source in ["::", "2001:db8::7", "ff02::1"] {
            let nameless = Solicitation {
                source: ip(source),
                link_layer: None,
                ..asked()
            };
            assert_eq!(
                why(nameless, link(), Some(100)),
                Silent::NoAddress,
                "{source}"
            );
        }
    }

    #[test]
    fn a_router_is_told_whatever_it_offers() {
        let router = |mac, lifetime, is_sent_here| {
            let told = Advertisement {
                mac,
                source: ip("fe80::1"),
                lifetime,
            };
            decide(
                &Message::Advertisement(told),
                is_sent_here,
                &link(),
                None,
                at(100),
            )
        };
        let found = Outcome::Router {
            source: ip("fe80::1"),
            mac: CARD,
        };
        assert_eq!(router(CARD, 1_800, false), found);
        assert_eq!(router(CARD, 0, false), found);
        assert_eq!(router(OWN, 0, false), Outcome::Silent(Silent::Own));
        // radvd on this machine.
        let local = router(OWN, 1_800, true);
        assert!(
            matches!(local, Outcome::Router { mac: OWN, .. }),
            "{local:?}"
        );
    }

    proptest! {
        #[test]
        fn an_answer_goes_to_the_one_machine_that_asked(
            mac: [u8; 6], source: u128, named: Option<[u8; 6]>, has_router: bool,
            is_settled: bool, has_address: bool, ipxe_at in prop::option::of(0..200_i64),
            is_near: bool, is_sent_here: bool,
        ) {
            let source = if is_near { (0xfe80 << 112) | (source >> 64) } else { source };
            let asked = Solicitation { mac, source: source.into(), link_layer: named };
            let link = Link {
                has_router, is_settled,
                link_local: link().link_local.filter(|_| has_address),
                ..link()
            };
            let outcome =
                decide(&Message::Solicitation(asked), is_sent_here, &link, ipxe_at.map(at), at(100));
            if let Outcome::Advertise { from, mac: to_mac, to } = outcome {
                prop_assert!(!has_router && is_settled && !is_sent_here);
                prop_assert_eq!(Some(from), link.link_local);
                prop_assert_eq!((to_mac, to), (mac, asked.source));
                prop_assert!(mac[0] & 1 == 0 && !to.is_multicast() && !to.is_unspecified());
                prop_assert!(ipxe_at.is_some_and(|at| at > 70));
            }
        }
    }
}
