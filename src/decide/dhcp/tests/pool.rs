//! Machines without a reservation where there is a pool: each message in each state.

use std::time::Duration;

use super::super::pool::{LeaseAction, PoolFacts, SHORT_LEASE, asking_pool};
use super::*;
use crate::base::Lifecycle;
use crate::config::snapshot::{Boot, Mode, Pool, Profile, Unknown};
use crate::record::lease::{Candidate, Lease, LeaseState, Own, QUARANTINE, Standing};

const STRANGER: &str = "52:54:00:99:99:99";

/// `lab` with a pool, and a discovery profile.
fn site(unknown: Unknown) -> Snapshot {
    let plain = testing::snapshot();
    let mut subnets = plain.subnets.clone();
    subnets[0].unknown = unknown;
    subnets[0].pool = Some(Pool {
        first: ip("10.99.0.200"),
        last: ip("10.99.0.210"),
    });
    let mut server = plain.server.clone();
    server.discovery_profile = "discovery".parse().ok();
    let hosts = plain.hosts().iter().map(|host| Host::clone(host)).collect();
    let discovery = Profile {
        name: "discovery".parse().unwrap(),
        title: "Discovery".to_owned(),
        family: "tool".to_owned(),
        arch: Vec::new(),
        lifecycle: Lifecycle::Live,
        boot: Boot::Script {
            template: "discovery.ipxe.j2".to_owned(),
        },
        answers: Vec::new(),
        stalled_after: None,
        variables: std::collections::BTreeMap::new(),
        vars: toml::Table::new(),
        options: Vec::new(),
        secure_boot: None,
        signed: None,
        fetch: None,
        span: None,
    };
    Snapshot::new(
        server,
        subnets,
        hosts,
        vec![discovery],
        std::collections::BTreeMap::new(),
    )
}

fn of(ask: Ask) -> Ask {
    Ask {
        mac: STRANGER,
        ..ask
    }
}

fn own(address: &str, until: Option<i64>) -> Standing {
    Standing {
        own: Some(Own {
            ip: ip(address),
            version: 3,
            until: until.map(Timestamp::from_secs),
            granted: true,
            usable: true,
        }),
        ..Standing::default()
    }
}

fn free(asked: Option<&str>, fresh: Option<&str>) -> Standing {
    let candidate = |address: &str| Candidate {
        ip: ip(address),
        version: 0,
    };
    Standing {
        own: None,
        asked: asked.map(candidate),
        fresh: fresh.map(candidate),
    }
}

fn decided(ask: Ask, unknown: Unknown, standing: Option<Standing>) -> Decision {
    recorded(ask, unknown, standing, true)
}

fn recorded(ask: Ask, unknown: Unknown, standing: Option<Standing>, recordable: bool) -> Decision {
    let facts = Facts {
        known: Known::Nothing,
        files: &AllThere,
        fetches: None,
        held: &[],
        delivery: Delivery::default(),
        route_source: None,
        pool: standing.map(|standing| PoolFacts {
            standing,
            recordable,
        }),
    };
    let ask = of(ask);
    let decision = decide(&ask.request(), &arrival(ask.to), &site(unknown), &facts);
    assert_eq!((&decision.host, &decision.loader), (&None, &None));
    decision
}

fn secs(decision: &Decision) -> u32 {
    let (reply, _) = sent(decision);
    let secs = reply.options.get(OptionCode::AddressLeaseTime);
    u32::from_be_bytes(secs.expect("a lease time").try_into().unwrap())
}

fn yiaddr(decision: &Decision) -> Ipv4Addr {
    sent(decision).0.yiaddr
}

fn bound(decision: &Decision) -> (u64, &Lease, bool) {
    match &decision.lease {
        Some(LeaseAction::Change {
            expect,
            lease,
            durable,
        }) => (*expect, lease, *durable),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_offer_is_of_its_own_address_else_what_it_asks_for_else_any() {
    let lease = Unknown::Lease;
    let mut all = own("10.99.0.205", None);
    all.asked = free(Some("10.99.0.206"), None).asked;
    let offer = decided(Ask::new(1).with_ip(50, "10.99.0.206"), lease, Some(all));
    assert_eq!(
        (offer.kind, yiaddr(&offer)),
        (Kind::DhcpOffer, ip("10.99.0.205"))
    );
    assert_eq!(offer.reason, Reason::PoolLease);
    // Its lease has ended: somebody else may have come.
    assert_eq!(
        offer.lease,
        Some(LeaseAction::Offer {
            ip: ip("10.99.0.205"),
            probe: true
        })
    );
    let running = decided(Ask::new(1), lease, Some(own("10.99.0.205", Some(9))));
    assert!(matches!(
        running.lease,
        Some(LeaseAction::Offer { probe: false, .. })
    ));
    let asked = decided(
        Ask::new(1),
        lease,
        Some(free(Some("10.99.0.206"), Some("10.99.0.200"))),
    );
    assert_eq!(yiaddr(&asked), ip("10.99.0.206"));
    let fresh = decided(Ask::new(1), lease, Some(free(None, Some("10.99.0.200"))));
    assert_eq!((yiaddr(&fresh), secs(&fresh)), (ip("10.99.0.200"), 3_600));
    // No name: nobody has given it one.
    let name = sent(&fresh).0.options.get(OptionCode::Hostname);
    assert_eq!(name, None);
    let none = decided(Ask::new(1), lease, Some(Standing::default()));
    is_silent(&none, Reason::PoolExhausted);
    is_silent(&decided(Ask::new(1), lease, None), Reason::StoreUnavailable);
    is_silent(
        &decided(Ask::new(1), Unknown::Ignore, None),
        Reason::UnknownHost,
    );
}

#[test]
fn a_grant_is_written_down_and_repeated_ones_are_not() {
    let select = |address| Ask::new(3).with_ip(50, address).with_ip(54, "10.99.0.2");
    let ack = decided(
        select("10.99.0.200").with(12, b"printer"),
        Unknown::Lease,
        Some(free(Some("10.99.0.200"), None)),
    );
    assert_eq!((ack.kind, yiaddr(&ack)), (Kind::DhcpAck, ip("10.99.0.200")));
    let (expect, lease, durable) = bound(&ack);
    assert_eq!((expect, durable, lease.state), (0, true, LeaseState::Bound));
    assert_eq!(lease.until, Timestamp::from_secs(3_600));
    assert_eq!(lease.name.as_deref(), Some("printer"));
    // Granted a moment ago: the same lease, for as long as it runs.
    let again = decided(
        select("10.99.0.200"),
        Unknown::Lease,
        Some(own("10.99.0.200", Some(3_500))),
    );
    assert_eq!((secs(&again), &again.lease), (3_500, &None));
    let renewed = decided(
        Ask {
            ciaddr: "10.99.0.200",
            ..Ask::new(3)
        },
        Unknown::Lease,
        Some(own("10.99.0.200", Some(1_800))),
    );
    assert_eq!((secs(&renewed), bound(&renewed).0), (3_600, 3));
    // Another one took it, or this server never had it to give.
    let late = decided(
        select("10.99.0.200"),
        Unknown::Lease,
        Some(Standing::default()),
    );
    assert_eq!(
        (late.kind, late.reason),
        (Kind::DhcpNak, Reason::WrongAddress)
    );
    let other = Ask::new(3)
        .with_ip(50, "10.99.0.200")
        .with_ip(54, "10.99.0.9");
    is_silent(
        &decided(other, Unknown::Lease, Some(free(Some("10.99.0.200"), None))),
        Reason::OtherServer,
    );
}

#[test]
fn a_machine_that_remembers_another_address() {
    let reboot = |address| Ask::new(3).with_ip(50, address);
    // Its own: granted. Another than its own: refused. One that nobody knows of: granted when free, and
    // a stranger is never refused.
    let own_again = decided(
        reboot("10.99.0.205"),
        Unknown::Lease,
        Some(own("10.99.0.205", None)),
    );
    assert_eq!(own_again.kind, Kind::DhcpAck);
    let moved = decided(
        reboot("10.99.0.77"),
        Unknown::Lease,
        Some(own("10.99.0.205", Some(60))),
    );
    assert_eq!(
        (moved.kind, moved.reason),
        (Kind::DhcpNak, Reason::WrongAddress)
    );
    let lost = decided(
        reboot("10.99.0.205"),
        Unknown::Lease,
        Some(free(Some("10.99.0.205"), None)),
    );
    assert_eq!(bound(&lost).0, 0);
    for address in ["10.99.0.77", "192.168.1.5"] {
        let stranger = decided(reboot(address), Unknown::Lease, Some(Standing::default()));
        is_silent(&stranger, Reason::NoLease);
        let ignored = decided(reboot(address), Unknown::Ignore, None);
        is_silent(&ignored, Reason::UnknownHost);
    }
    is_silent(
        &decided(Ask::new(3), Unknown::Lease, Some(Standing::default())),
        Reason::BadRequest,
    );
}

#[test]
fn declined_and_given_back_only_by_the_machine_that_has_it() {
    let running = || Some(own("10.99.0.205", Some(60)));
    let declined = decided(
        Ask::new(4).with_ip(50, "10.99.0.205"),
        Unknown::Lease,
        running(),
    );
    is_silent(&declined, Reason::Declined);
    let (expect, lease, _) = bound(&declined);
    assert_eq!((expect, lease.state), (3, LeaseState::Declined));
    assert_eq!(lease.until, Timestamp::from_secs(0).plus(QUARANTINE));
    let release = |address| Ask {
        ciaddr: address,
        ..Ask::new(7)
    };
    let released = decided(release("10.99.0.205"), Unknown::Lease, running());
    is_silent(&released, Reason::Released);
    assert_eq!(bound(&released).1.state, LeaseState::Released);
    for (ask, standing) in [
        (Ask::new(4).with_ip(50, "10.99.0.206"), running()),
        (Ask::new(4), running()),
        (
            Ask::new(4).with_ip(50, "10.99.0.205"),
            Some(own("10.99.0.205", None)),
        ),
        (release("10.99.0.206"), running()),
        (release("10.99.0.205"), Some(Standing::default())),
    ] {
        let decision = decided(ask, Unknown::Lease, standing);
        is_silent(&decision, Reason::NoLease);
        assert_eq!(decision.lease, None);
    }
}

#[test]
fn firmware_gets_a_short_lease_and_boots_only_where_it_is_discovered() {
    let fresh = || Some(free(None, Some("10.99.0.200")));
    for ask in [
        Ask::new(1).bios(),
        Ask::new(1).uefi(),
        Ask::new(1).ipxe(&[19, 1, 1]),
    ] {
        let leased = decided(ask.clone(), Unknown::Lease, fresh());
        assert_eq!(
            (leased.boot_file.as_deref(), leased.reason),
            (None, Reason::PoolLease)
        );
        assert_eq!(secs(&leased), u32::try_from(SHORT_LEASE.as_secs()).unwrap());
        let found = decided(ask, Unknown::Discover, fresh());
        assert!(
            matches!(found.reason, Reason::Loader | Reason::Script),
            "{found:?}"
        );
        assert_eq!(found.detail.as_deref(), Some("then the discovery profile"));
        assert!(found.boot_file.is_some() && !sent(&found).0.siaddr.is_unspecified());
    }
    let ipxe = decided(
        Ask::new(1).ipxe(&[19, 1, 1, 24, 1, 1]),
        Unknown::Discover,
        fresh(),
    );
    assert_eq!(
        ipxe.boot_file.as_deref(),
        Some("http://10.99.0.2:8080/boot/52-54-00-99-99-99/boot.ipxe")
    );
    // A system is not told to boot anything.
    let system = decided(Ask::new(1), Unknown::Discover, fresh());
    assert_eq!((system.boot_file.as_deref(), secs(&system)), (None, 3_600));
}

/// Where another server gives the addresses there is no pool, and still a discovery profile.
#[test]
fn beside_another_server_a_stranger_is_told_what_to_boot_and_nothing_else() {
    let beside = |unknown, mode| {
        let mut snapshot = site(unknown);
        snapshot.subnets[0].pool = None;
        snapshot.subnets[0].mode = mode;
        snapshot
    };
    let meets = |ask: &Ask, at_4011: bool, snapshot: &Snapshot| {
        let facts = Facts {
            known: Known::Nothing,
            files: &AllThere,
            fetches: None,
            held: &[],
            delivery: Delivery::default(),
            route_source: None,
            pool: None,
        };
        let decide = if at_4011 {
            decide_at_proxy_port
        } else {
            decide
        };
        decide(&ask.request(), &arrival(ask.to), snapshot, &facts)
    };
    let discovers = beside(Unknown::Discover, Mode::Proxy);
    for ask in [
        Ask::new(1).bios(),
        Ask::new(1).uefi(),
        Ask::new(1).http_boot(),
        Ask::new(1).ipxe(&[19, 1, 1]),
    ] {
        let ask = of(ask);
        let told = meets(&ask, false, &discovers);
        assert_eq!(
            (told.kind, &told.host),
            (Kind::DhcpOffer, &None),
            "{told:?}"
        );
        assert_eq!(told.detail.as_deref(), Some("then the discovery profile"));
        assert_eq!((&told.loader, &told.lease), (&None, &None));
        let (reply, _) = sent(&told);
        assert!(reply.yiaddr.is_unspecified() && reply.boot_file.is_some());
        for mode in [Unknown::Ignore, Unknown::Lease] {
            let snapshot = beside(mode, Mode::Proxy);
            is_silent(&meets(&ask, false, &snapshot), Reason::UnknownHost);
        }
        let off = beside(Unknown::Discover, Mode::Off);
        is_silent(&meets(&ask, false, &off), Reason::UnknownHost);
        is_silent(&meets(&ask, true, &off), Reason::UnknownHost);
    }
    // UEFI comes back for its boot file.
    let asks = of(Ask::new(3).uefi());
    let told = meets(&asks, true, &discovers);
    assert_eq!((told.kind, &told.host), (Kind::DhcpAck, &None), "{told:?}");
    assert!(told.boot_file.is_some());
    // One behind a relay comes by itself, and is known by the address that it was given.
    let mut far = discovers.clone();
    far.subnets[0].unknown = Unknown::Ignore;
    let index = far
        .subnets
        .iter()
        .position(|subnet| subnet.network.contains(&ip("10.50.0.77")))
        .unwrap();
    far.subnets[index].mode = Mode::Proxy;
    far.subnets[index].unknown = Unknown::Discover;
    let mut asks = of(Ask::new(3).uefi());
    is_silent(&meets(&asks, true, &far), Reason::UnknownHost);
    asks.ciaddr = "10.50.0.77";
    asks.to = ip("10.99.0.2");
    let told = meets(&asks, true, &far);
    assert_eq!((told.kind, &told.host), (Kind::DhcpAck, &None), "{told:?}");
    // A system is the other server's.
    let system = of(Ask::new(1));
    is_silent(&meets(&system, false, &discovers), Reason::UnknownHost);
    is_silent(&meets(&system, true, &discovers), Reason::UnknownHost);
}

/// Two subnets on one link, one of them without a pool: what a machine has or has chosen there is none of
/// the other's business.
#[test]
fn another_subnets_pool_is_not_for_a_machine_with_an_address() {
    let mut snapshot = site(Unknown::Lease);
    let mut other = snapshot.subnets[0].clone();
    other.network = "10.97.0.0/24".parse().unwrap();
    other.pool = None;
    snapshot.subnets.push(other);
    let mut arrival = arrival(Ask::new(1).to);
    let both = ["10.99.0.2/24", "10.97.0.2/24"];
    arrival.addresses = both.iter().map(|net| net.parse().unwrap()).collect();
    let pool_of = |ask: Ask| asking_pool(&of(ask).request(), &arrival, &snapshot);
    let at = |kind: u8| Ask::new(kind).with_ip(50, "10.97.0.9");
    assert_eq!(pool_of(at(3)), None);
    assert_eq!(pool_of(at(4)), None);
    // A wish is granted by an address of the pool that there is.
    assert_eq!(pool_of(at(1)).map(|(index, _)| index), Some(0));
    let here = Ask::new(3).with_ip(50, "10.99.0.201");
    assert_eq!(pool_of(here).map(|(index, _)| index), Some(0));
}

#[test]
fn no_more_of_a_name_is_kept_than_a_name_can_have() {
    let ask = Ask::new(3)
        .with_ip(50, "10.99.0.200")
        .with_ip(54, "10.99.0.2")
        .with(12, &[b'n'; 255])
        .with(12, &[b'n'; 255]);
    let granted = decided(ask, Unknown::Lease, Some(free(Some("10.99.0.200"), None)));
    let Some(LeaseAction::Change { lease, .. }) = granted.lease else {
        panic!("not granted");
    };
    assert_eq!(lease.name.map(|name| name.len()), Some(255));
}

#[test]
fn what_cannot_be_written_down_is_short_and_in_memory() {
    let ask = || {
        Ask::new(3)
            .with_ip(50, "10.99.0.200")
            .with_ip(54, "10.99.0.2")
    };
    let asked = Some(free(Some("10.99.0.200"), None));
    let ack = recorded(ask(), Unknown::Lease, asked, false);
    assert_eq!(u64::from(secs(&ack)), SHORT_LEASE.as_secs());
    assert!(!bound(&ack).2);
    // One that was written down before is granted for as long as that says.
    let known = recorded(
        ask(),
        Unknown::Lease,
        Some(own("10.99.0.200", Some(2_000))),
        false,
    );
    assert_eq!(known.lease, None);
    assert!(u64::from(secs(&known)) <= Duration::from_secs(2_000).as_secs());
}

#[test]
fn an_inform_is_answered_without_a_lease() {
    let inform = Ask {
        ciaddr: "10.99.0.50",
        ..Ask::new(8)
    };
    let told = decided(inform, Unknown::Lease, Some(Standing::default()));
    assert_eq!((told.kind, &told.lease), (Kind::DhcpAck, &None));
    assert!(yiaddr(&told).is_unspecified());
    // Through a relay of a subnet without a pool, and by BOOTP: nothing.
    let relayed = Ask {
        giaddr: "10.50.0.1",
        ..Ask::new(1)
    };
    is_silent(&decided(relayed, Unknown::Lease, None), Reason::UnknownHost);
    let bootp = Ask {
        options: vec![255],
        ..Ask::new(1)
    };
    is_silent(
        &decided(bootp, Unknown::Lease, Some(Standing::default())),
        Reason::Bootp,
    );
}
