//! DHCP options as the operator configures them: IANA's names and forms, and the bytes of a value.
//!
//! **Invariant:** a configured option is never one that the protocol itself is carried by (50 to 55,
//! 57, 61 and 82), and holds at least one byte.

use std::sync::Arc;

/// An option that is sent because the configuration says so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConfiguredOption {
    /// Its code.
    pub code: u8,
    /// Its value as it stands on the wire; what is longer than 255 bytes is split when it is sent.
    pub data: Arc<[u8]>,
    /// Whether it is sent to machines that do not ask for it as well.
    pub force: bool,
}

/// The most bytes of one value: more finds no room in a reply of one Ethernet frame.
pub(crate) const MAX_VALUE: usize = 1_024;

/// What a value must be; a value written as `hex` is taken as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    U8,
    U16,
    U32,
    Bool,
    Text,
    /// One address.
    Ip,
    /// One address or several.
    Ips,
    /// Laid out in a way of its own: only as bytes.
    Hex,
    /// Anything.
    Any,
}

impl Form {
    /// Whether a value under this key has the form.
    pub(crate) fn takes(self, key: &str) -> bool {
        key == "hex"
            || match self {
                Self::Any => true,
                Self::Hex => false,
                _ => key == self.key(),
            }
    }

    /// The key under which such a value is written.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::Bool => "bool",
            Self::Text => "text",
            Self::Ip | Self::Ips => "ip",
            Self::Hex | Self::Any => "hex",
        }
    }
}

/// The option of this code: its name and form, when it has one of each.
pub(crate) fn by_code(code: u8) -> Option<(&'static str, Form)> {
    KNOWN
        .iter()
        .find(|(known, ..)| *known == code)
        .map(|(_, names, form)| (names.split(' ').next().unwrap_or_default(), *form))
}

/// The option of this name.
pub(crate) fn by_name(name: &str) -> Option<u8> {
    let wanted = name.to_ascii_lowercase();
    KNOWN
        .iter()
        .find(|(_, names, _)| names.split(' ').any(|known| known == wanted))
        .map(|(code, ..)| *code)
}

/// All names, for suggestions.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().flat_map(|(_, names, _)| names.split(' '))
}

/// Whether bytes are routes as option 121 has them (RFC 3442): prefix length, the bytes of the network that
/// it covers, and a router, for each.
pub(crate) fn are_routes(mut bytes: &[u8]) -> bool {
    while let Some((prefix, rest)) = bytes.split_first() {
        let covered = usize::from(prefix.div_ceil(8));
        match rest.get(covered + 4..) {
            Some(rest) if *prefix <= 32 => bytes = rest,
            _ => return false,
        }
    }
    true
}

/// Why an option of this code is not the operator's to give.
pub(crate) fn reserved(code: u8) -> Option<&'static str> {
    Some(match code {
        0 | 255 => "padding and end are no options",
        50 | 55 | 57 | 61 => "clients send it, servers do not choose it",
        51 => "the length of leases is `lease_time` of [dhcp] or of a [[subnet]]",
        52 | 53 => "the protocol itself is carried by it",
        54 => "this server's address is `server` of the [[subnet]]",
        82 => "it is the relay's, and goes back as it came",
        _ => return None,
    })
}

/// Code, names (IANA's "BOOTP Vendor Extensions and DHCP Options" in lower case with hyphens first,
/// then those that other servers' files have), form.
const KNOWN: &[(u8, &str, Form)] = &[
    (1, "subnet-mask", Form::Ip),
    (2, "time-offset", Form::U32),
    (3, "router routers", Form::Ips),
    (4, "time-server time-servers", Form::Ips),
    (5, "name-server ien116-name-servers", Form::Ips),
    (6, "domain-server domain-name-servers dns-server", Form::Ips),
    (7, "log-server log-servers", Form::Ips),
    (8, "quotes-server cookie-servers", Form::Ips),
    (9, "lpr-server lpr-servers", Form::Ips),
    (10, "impress-server impress-servers", Form::Ips),
    (11, "rlp-server resource-location-servers", Form::Ips),
    (12, "hostname host-name", Form::Text),
    (13, "boot-file-size boot-size", Form::U16),
    (14, "merit-dump-file merit-dump", Form::Text),
    (15, "domain-name", Form::Text),
    (16, "swap-server", Form::Ip),
    (17, "root-path", Form::Text),
    (18, "extension-file extensions-path", Form::Text),
    (19, "forward-on-off ip-forwarding", Form::Bool),
    (20, "srcrte-on-off non-local-source-routing", Form::Bool),
    (21, "policy-filter", Form::Ips),
    (22, "max-dg-assembly max-dgram-reassembly", Form::U16),
    (23, "default-ip-ttl", Form::U8),
    (24, "mtu-timeout path-mtu-aging-timeout", Form::U32),
    (25, "mtu-plateau path-mtu-plateau-table", Form::Hex),
    (26, "mtu-interface interface-mtu mtu", Form::U16),
    (27, "mtu-subnet all-subnets-local", Form::Bool),
    (28, "broadcast-address", Form::Ip),
    (29, "mask-discovery perform-mask-discovery", Form::Bool),
    (30, "mask-supplier", Form::Bool),
    (31, "router-discovery", Form::Bool),
    (32, "router-request router-solicitation-address", Form::Ip),
    (33, "static-route static-routes", Form::Ips),
    (34, "trailers trailer-encapsulation", Form::Bool),
    (35, "arp-timeout arp-cache-timeout", Form::U32),
    (36, "ethernet ieee802-3-encapsulation", Form::Bool),
    (37, "default-tcp-ttl", Form::U8),
    (38, "keepalive-time tcp-keepalive-interval", Form::U32),
    (39, "keepalive-data tcp-keepalive-garbage", Form::Bool),
    (40, "nis-domain", Form::Text),
    (41, "nis-servers", Form::Ips),
    (42, "ntp-servers ntp-server", Form::Ips),
    (43, "vendor-specific vendor-encapsulated-options", Form::Any),
    (44, "netbios-name-srv netbios-name-servers", Form::Ips),
    (45, "netbios-dist-srv netbios-dd-server", Form::Ips),
    (46, "netbios-node-type", Form::U8),
    (47, "netbios-scope", Form::Text),
    (48, "x-window-font font-servers", Form::Ips),
    (49, "x-window-manager x-display-manager", Form::Ips),
    (50, "address-request dhcp-requested-address", Form::Ip),
    (51, "address-time dhcp-lease-time", Form::U32),
    (52, "overload dhcp-option-overload", Form::U8),
    (53, "dhcp-msg-type dhcp-message-type", Form::U8),
    (54, "dhcp-server-id dhcp-server-identifier", Form::Ip),
    (55, "parameter-list dhcp-parameter-request-list", Form::Hex),
    (56, "dhcp-message", Form::Text),
    (57, "dhcp-max-msg-size dhcp-max-message-size", Form::U16),
    (58, "renewal-time dhcp-renewal-time", Form::U32),
    (59, "rebinding-time dhcp-rebinding-time", Form::U32),
    (60, "class-id vendor-class-identifier", Form::Any),
    (61, "client-id dhcp-client-identifier", Form::Hex),
    (62, "netware-ip-domain nwip-domain-name", Form::Text),
    (63, "netware-ip-option nwip-suboptions", Form::Hex),
    (64, "nis-domain-name nisplus-domain-name", Form::Text),
    (65, "nis-server-addr nisplus-servers", Form::Ips),
    (66, "server-name tftp-server-name", Form::Text),
    (67, "bootfile-name boot-file-name", Form::Any),
    (68, "home-agent-addrs mobile-ip-home-agent", Form::Ips),
    (69, "smtp-server", Form::Ips),
    (70, "pop3-server pop-server", Form::Ips),
    (71, "nntp-server", Form::Ips),
    (72, "www-server", Form::Ips),
    (73, "finger-server", Form::Ips),
    (74, "irc-server", Form::Ips),
    (75, "streettalk-server", Form::Ips),
    (
        76,
        "stda-server streettalk-directory-assistance-server",
        Form::Ips,
    ),
    (77, "user-class", Form::Any),
    (78, "directory-agent slp-directory-agent", Form::Hex),
    (79, "service-scope slp-service-scope", Form::Hex),
    (82, "relay-agent-information dhcp-agent-options", Form::Hex),
    (85, "nds-servers", Form::Ips),
    (86, "nds-tree-name", Form::Text),
    (87, "nds-context", Form::Text),
    (88, "bcmcs-controller-domain-name-list", Form::Hex),
    (89, "bcmcs-controller-ipv4-address-option", Form::Ips),
    (98, "user-auth uap-servers", Form::Text),
    (99, "geoconf-civic", Form::Hex),
    (100, "pcode", Form::Text),
    (101, "tcode", Form::Text),
    (108, "ipv6-only-preferred v6-only-preferred", Form::U32),
    (112, "netinfo-address", Form::Ips),
    (113, "netinfo-tag", Form::Text),
    (114, "dhcp-captive-portal v4-captive-portal", Form::Text),
    (116, "auto-config", Form::U8),
    (117, "name-service-search", Form::Hex),
    (118, "subnet-selection-option subnet-selection", Form::Ip),
    (119, "domain-search", Form::Hex),
    (120, "sip-servers-dhcp-option", Form::Hex),
    (
        121,
        "classless-static-route-option classless-static-route",
        Form::Hex,
    ),
    (124, "v-i-vendor-class", Form::Hex),
    (125, "v-i-vendor-specific-information", Form::Hex),
    (136, "option-pana-agent pana-agent", Form::Ips),
    (137, "option-v4-lost v4-lost", Form::Hex),
    (138, "option-capwap-ac-v4 capwap-ac-v4", Form::Ips),
    (150, "tftp-server-address", Form::Ips),
    (208, "pxelinux-magic", Form::Hex),
    (209, "configuration-file", Form::Text),
    (210, "path-prefix", Form::Text),
    (211, "reboot-time", Form::U32),
    (252, "wpad", Form::Text),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_codes_stand_once() {
        let mut seen = HashSet::new();
        for (code, names, _) in KNOWN {
            assert!(seen.insert((*code).to_string()), "{code} twice");
            for name in names.split(' ') {
                assert!(seen.insert(name.to_owned()), "{name} twice");
                assert_eq!(by_name(name), Some(*code));
                let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                assert!(!name.is_empty() && name.chars().all(plain), "{name}");
            }
        }
        assert_eq!(by_name("Root-Path"), Some(17));
        assert_eq!(by_code(17), Some(("root-path", Form::Text)));
        assert_eq!(by_code(224), None);
    }

    #[test]
    fn what_the_protocol_is_carried_by_is_reserved() {
        let refused: Vec<u8> = (0..=255).filter(|code| reserved(*code).is_some()).collect();
        assert_eq!(refused, [0, 50, 51, 52, 53, 54, 55, 57, 61, 82, 255]);
    }

    #[test]
    fn routes_of_option_121() {
        for good in [
            &[][..],
            &[0, 10, 0, 0, 1],
            &[24, 10, 1, 0, 10, 99, 0, 1, 0, 10, 99, 0, 1],
            &[32, 10, 1, 0, 7, 10, 99, 0, 1],
        ] {
            assert!(are_routes(good), "{good:?}");
        }
        for bad in [
            &[0][..],
            &[10, 0, 0, 1],
            &[24, 10, 1, 0, 10, 99, 0],
            &[33, 10, 1, 0, 7, 1, 10, 99, 0, 1],
            &[0, 10, 0, 0, 1, 0],
        ] {
            assert!(!are_routes(bad), "{bad:?}");
        }
    }
}
