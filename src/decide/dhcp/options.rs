//! The network options of a reply: address, mask, router, names, times, and what is configured.

use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::config::options::ConfiguredOption;
use crate::config::snapshot::{Host, Subnet};
use crate::decide::Stage;
use crate::wire::dhcp::options::domain_search;
use crate::wire::dhcp::{DhcpOption, OptionCode, Request};

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
) -> Vec<DhcpOption> {
    let domain = host.domain.as_ref().or(subnet.domain.as_ref());
    let mut options = vec![
        DhcpOption::ServerIdentifier(server),
        DhcpOption::SubnetMask(subnet.network.netmask()),
        // Empty lists are not sent.
        DhcpOption::Router(subnet.router.into_iter().collect()),
        DhcpOption::DomainNameServer(subnet.dns.clone()),
        DhcpOption::Hostname(host.name.to_string()),
        DhcpOption::BroadcastAddr(subnet.network.broadcast()),
        DhcpOption::NtpServers(subnet.ntp.clone()),
    ];
    options.extend(domain.cloned().map(DhcpOption::DomainName));
    if lease == Lease::Granted {
        let secs = u32::try_from(subnet.lease_time.as_secs()).unwrap_or(u32::MAX);
        options.extend([
            DhcpOption::AddressLeaseTime(secs),
            DhcpOption::Renewal(secs / 2),
            // 7/8 without leaving 32 bits.
            DhcpOption::Rebinding(secs - secs / 8),
        ]);
    }
    options.retain(|option| is_wanted(request, OptionCode::from(option)));
    // RFC 3011 section 2: back to whoever sends it, asked for or not.
    options.extend(request.subnet_selection().map(DhcpOption::SubnetSelection));
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
