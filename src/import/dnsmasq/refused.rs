//! Options of dnsmasq that Bootwright has nothing for, and what to do instead.

use crate::import::boot::CHAINLOADING;

/// Whether an option is one of the resolver.
pub(super) fn is_dns(key: &str) -> bool {
    DNS.contains(&key) || key.starts_with("auth-") || key.starts_with("dnssec")
}

/// Why an option is not carried over.
pub(super) fn why(key: &str) -> &'static str {
    match key {
        "dhcp-authoritative" => {
            "subnets are authoritative unless `mode` says otherwise: nothing to do"
        }
        "enable-tftp" | "tftp-root" => {
            "Bootwright serves `boot_assets` by TFTP and HTTP: put the files that are still needed there"
        }
        key if key.starts_with("tftp-") => {
            "transfers by TFTP are bounded in [tftp]; each machine gets the same files"
        }
        "pxe-prompt" | "dhcp-pxe-vendor" => CHAINLOADING,
        "interface"
        | "except-interface"
        | "listen-address"
        | "bind-interfaces"
        | "bind-dynamic"
        | "no-dhcp-interface"
        | "no-dhcpv4-interface"
        | "bridge-interface"
        | "interface-name" => "the interfaces of this server stand in `interfaces` of [server]",
        "dhcp-relay" => {
            "a relay stays where it is: point it to this server, and write a [[subnet]] for its network"
        }
        "dhcp-script" | "dhcp-luascript" | "dhcp-scriptuser" | "script-arp"
        | "script-on-renewal" | "leasefile-ro" => "[[hook]] tells other programs of each event",
        "dhcp-alternate-port" => "the ports are `port` and `proxy_port` of [dhcp]",
        "no-ping" | "dhcp-sequential-ip" | "dhcp-lease-max" | "dhcp-leasefile"
        | "dhcp-ignore-clid" | "bootp-dynamic" | "dhcp-ttl" | "dhcp-broadcast"
        | "dhcp-no-override" | "dhcp-reply-delay" | "dhcp-rapid-commit" => {
            "a matter of dnsmasq's way to give addresses: nothing to do"
        }
        "dhcp-ignore-names"
        | "dhcp-generate-names"
        | "dhcp-client-update"
        | "dhcp-fqdn"
        | "dhcp-name-match" => {
            "DNS is not updated: a machine has the name of its host, and `bootwright export` writes hosts files"
        }
        "enable-ra" | "ra-param" | "dhcp-duid" | "dhcp-option6" => {
            "machines are booted over IPv4: DHCP for IPv6 stays where it is"
        }
        "shared-network" => {
            "each network is a [[subnet]]; on one link, give this server an address in each, or `server` in each [[subnet]]"
        }
        "dhcp-proxy" => "relays that want all packets need nothing here",
        "dhcp-circuitid" | "dhcp-remoteid" | "dhcp-subscrid" | "dhcp-mac" | "dhcp-vendorclass"
        | "dhcp-userclass" | "dhcp-match" | "tag-if" => {
            "there are no tags by what a machine sends: a machine is known by its reservation; write what the tag sets into a group"
        }
        "dhcp-ignore" => {
            "machines that are to be left alone: leave them without a reservation, and `unknown` at \"ignore\""
        }
        "user"
        | "group"
        | "pid-file"
        | "log-facility"
        | "log-dhcp"
        | "log-async"
        | "log-debug"
        | "log-queries"
        | "quiet-dhcp"
        | "quiet-dhcp6"
        | "quiet-ra"
        | "quiet-tftp"
        | "keep-in-foreground"
        | "no-daemon"
        | "conf-script"
        | "no-ident"
        | "enable-dbus"
        | "enable-ubus"
        | "conntrack"
        | "dumpfile"
        | "dumpmask"
        | "max-tcp-connections"
        | "test"
        | "version" => "a matter of dnsmasq as a program: nothing to do",
        _ => {
            "an option that is not known here: look it up in dnsmasq(8), and whether it is still needed"
        }
    }
}

/// Options of the resolver: one line tells them all.
const DNS: &[&str] = &[
    "add-cpe-id",
    "add-mac",
    "add-subnet",
    "address",
    "addn-hosts",
    "alias",
    "all-servers",
    "bogus-nxdomain",
    "bogus-priv",
    "caa-record",
    "cache-rr",
    "cache-size",
    "clear-on-reload",
    "cname",
    "connmark-allowlist",
    "connmark-allowlist-enable",
    "dns-forward-max",
    "dns-loop-detect",
    "dns-rr",
    "domain-needed",
    "domain-suffix",
    "dynamic-host",
    "edns-packet-max",
    "expand-hosts",
    "fast-dns-retry",
    "filter-a",
    "filter-aaaa",
    "filter-rr",
    "filterwin2k",
    "host-record",
    "hostsdir",
    "ignore-address",
    "ipset",
    "local",
    "local-service",
    "local-ttl",
    "localise-queries",
    "localmx",
    "max-cache-ttl",
    "max-port",
    "max-ttl",
    "min-cache-ttl",
    "min-port",
    "mx-host",
    "mx-target",
    "naptr-record",
    "neg-ttl",
    "nftset",
    "no-hosts",
    "no-negcache",
    "no-poll",
    "no-resolv",
    "no-round-robin",
    "port",
    "port-limit",
    "proxy-dnssec",
    "ptr-record",
    "query-port",
    "rebind-domain-ok",
    "rebind-localhost-ok",
    "resolv-file",
    "rev-server",
    "selfmx",
    "server",
    "servers-file",
    "srv-host",
    "stop-dns-rebind",
    "strict-order",
    "strip-mac",
    "strip-subnet",
    "synth-domain",
    "trust-anchor",
    "txt-record",
    "umbrella",
    "use-stale-cache",
];
