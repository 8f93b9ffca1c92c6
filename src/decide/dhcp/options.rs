//! The network options of a reply: address, mask, router, names, times.

use std::net::Ipv4Addr;

use crate::config::snapshot::{Host, Subnet};
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
    let wanted = |option: &DhcpOption| {
        let code = OptionCode::from(option);
        ALWAYS.contains(&code)
            || request.parameter_request_list().is_none()
            || request.asks_for(code)
    };
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
    options.retain(wanted);
    options
}
