//! The network options of a reply: address, mask, router, names, times, and what is configured.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::config::options::ConfiguredOption;
use crate::config::snapshot::{Host, Subnet};
use crate::decide::Stage;
use crate::wire::dhcp::options::domain_search;
use crate::wire::dhcp::{OptionCode, Request, Written};

/// Whether the reply hands out an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lease {
    /// With its length and times.
    Granted,
    /// To a client that has its address otherwise (INFORM, RFC 2131 section 4.3.5).
    None,
}

/// Sent whether the client asks for them or not: without them it has no network.
const ALWAYS: [OptionCode; 5] = [
    OptionCode::SubnetMask,
    OptionCode::Router,
    OptionCode::DomainNameServer,
    OptionCode::AddressLeaseTime,
    OptionCode::ServerIdentifier,
];

/// The options that this host gets in this subnet; all others than those always sent only when the
/// client asks for them or says nothing of what it wants.
pub(super) fn network(
    request: &Request,
    host: &Host,
    subnet: &Subnet,
    server: Ipv4Addr,
    lease: Lease,
) -> Written {
    let mut options = Written::with_room();
    options.put_address(OptionCode::ServerIdentifier, server);
    options.put_address(OptionCode::SubnetMask, subnet.network.netmask());
    options.put_addresses(OptionCode::Router, subnet.router.as_slice());
    options.put_addresses(OptionCode::DomainNameServer, &subnet.dns);
    let asked = request.parameter_request_list();
    let is_asked = |code| asked.is_none_or(|list| list.contains(&u8::from(code)));
    if is_asked(OptionCode::Hostname) {
        options.put(OptionCode::Hostname, host.name.as_str().as_bytes());
    }
    if is_asked(OptionCode::BroadcastAddr) {
        options.put_address(OptionCode::BroadcastAddr, subnet.network.broadcast());
    }
    if is_asked(OptionCode::NtpServers) {
        options.put_addresses(OptionCode::NtpServers, &subnet.ntp);
    }
    if let Some(domain) = host.domain.as_ref().or(subnet.domain.as_ref())
        && is_asked(OptionCode::DomainName)
    {
        options.put(OptionCode::DomainName, domain.as_bytes());
    }
    if lease == Lease::Granted {
        let secs = u32::try_from(subnet.lease_time.as_secs()).unwrap_or(u32::MAX);
        options.put_u32(OptionCode::AddressLeaseTime, secs);
        if is_asked(OptionCode::Renewal) {
            options.put_u32(OptionCode::Renewal, secs / 2);
        }
        if is_asked(OptionCode::Rebinding) {
            // 7/8 without leaving 32 bits.
            options.put_u32(OptionCode::Rebinding, secs - secs / 8);
        }
    }
    // RFC 3011 section 2: back to whoever sends it, asked for or not.
    if let Some(selected) = request.subnet_selection() {
        options.put_address(OptionCode::SubnetSelection, selected);
    }
    options
}

fn is_wanted(request: &Request, code: OptionCode) -> bool {
    ALWAYS.contains(&code) || request.parameter_request_list().is_none() || request.asks_for(code)
}

/// What the configuration says beside that, nearest layer first: what the profile has for the system that
/// installs, the host's options, the subnet's, its search list.
pub(super) fn configured(
    request: &Request,
    stage: Stage,
    of_profile: &[ConfiguredOption],
    host: &Host,
    subnet: &Subnet,
    lease: Lease,
) -> Vec<(u8, Arc<[u8]>)> {
    let mut found: Vec<(u8, Arc<[u8]>)> = Vec::new();
    let mut seen = [false; 256];
    for ConfiguredOption { code, data, force } in of_profile
        .iter()
        .chain(&host.options)
        .chain(&subnet.options)
    {
        let Some(seen) = seen.get_mut(usize::from(*code)) else {
            continue;
        };
        let nearest = !std::mem::replace(seen, true);
        let option = OptionCode::from(*code);
        if nearest && (*force || is_wanted(request, option)) && may_have(stage, lease, option) {
            found.push((*code, Arc::clone(data)));
        }
    }
    let search = OptionCode::DomainSearch;
    if !seen
        .get(usize::from(u8::from(search)))
        .is_some_and(|seen| *seen)
        && !subnet.dns_search.is_empty()
        && is_wanted(request, search)
    {
        let list = domain_search(subnet.dns_search.iter().map(String::as_str));
        found.push((search.into(), list.into()));
    }
    found
}

/// Whether a machine may be told this at all. An INFORM is answered without the times of a lease (RFC
/// 2131 section 4.3.5). A vendor class of the operator's is for ROMs of a BIOS and for systems: UEFI
/// would take it for the promise of an answer at port 4011, iPXE for a boot menu, and HTTP Boot needs
/// its own.
fn may_have(stage: Stage, lease: Lease, code: OptionCode) -> bool {
    match code {
        OptionCode::Renewal | OptionCode::Rebinding => lease == Lease::Granted,
        OptionCode::ClassIdentifier => match stage {
            Stage::Os => true,
            Stage::Pxe { code, .. } => code.is_none_or(|code| code.0 == 0),
            Stage::HttpBoot { .. } | Stage::Ipxe { .. } => false,
        },
        _ => true,
    }
}
