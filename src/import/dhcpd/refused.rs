//! Statements of dhcpd.conf that Bootwright has nothing for, and what to do instead.

/// Why a statement that begins with this word is not carried over.
pub(super) fn why(keyword: &str) -> &'static str {
    match keyword {
        "authoritative" => "subnets are authoritative unless `mode` says otherwise: nothing to do",
        "not" => "a subnet where another server gives the addresses has mode = \"proxy\"",
        "max-lease-time"
        | "min-lease-time"
        | "dynamic-bootp-lease-length"
        | "dynamic-bootp-lease-cutoff" => {
            "each lease has the length `lease_time`, whatever the machine asks for"
        }
        "use-host-decl-names" | "get-lease-hostnames" | "use-lease-addr-for-default-route" => {
            "a machine always gets its host's name"
        }
        "subnet6"
        | "range6"
        | "prefix6"
        | "fixed-address6"
        | "fixed-prefix6"
        | "pool6"
        | "dhcpv6-lease-file-name"
        | "dhcpv6-pid-file-name"
        | "dhcpv6-set-tee-times"
        | "preferred-lifetime" => "machines are booted over IPv4: DHCP for IPv6 stays where it is",
        "failover" | "split" | "mclt" | "load" | "hba" | "peer" => {
            "two servers share no leases: reservations need none, and for the pool give each server ranges of its own"
        }
        "class" | "subclass" | "spawn" | "lease" | "match" => {
            "there are no classes: a machine is known by its reservation; write [hosts.NAME] with its `mac`, and what the class sets into a group"
        }
        "on"
        | "log"
        | "set"
        | "unset"
        | "define"
        | "execute"
        | "eval"
        | "add"
        | "parse-vendor-option" => {
            "nothing is run at a lease: [[hook]] tells other programs of each event"
        }
        "key"
        | "zone"
        | "do-forward-updates"
        | "do-reverse-updates"
        | "update-static-leases"
        | "update-optimization"
        | "update-conflict-detection" => {
            "DNS is not updated: `bootwright export` writes zone and hosts files"
        }
        "interface" => "the interfaces of this server stand in `interfaces` of [server]",
        "local-address" | "server-identifier" | "server-name" => {
            "this server's address is found by itself, or is `server` of a [[subnet]]"
        }
        "local-port" | "remote-port" => "the ports are `port` and `proxy_port` of [dhcp]",
        "ping-check" | "ping-timeout" | "ping-cltt-secs" | "ping-timeout-ms" => {
            "addresses are probed by ARP before they are first given: `conflict_probe` of [dhcp]"
        }
        "vendor-option-space" | "site-option-space" => {
            "no value of this space was found: write the whole option by `code` and `hex` into `options`"
        }
        "supersede" | "prepend" | "append" | "default" | "send" | "request" | "require" => {
            "a statement of clients, or one that depends on what was set before: write the value into `options`"
        }
        "switch" | "case" => {
            "there are no conditions: write what holds for some machines into their hosts or groups"
        }
        "shared-network" => {
            "its subnets are carried over one by one: on one link, give this server an address in each of them, or `server` in each [[subnet]]"
        }
        "group" => "no host in it: what it sets is in the subnets that it holds",
        "uid" | "dhcp-client-identifier" | "host-identifier" | "dynamic" | "deleted" => {
            "a machine is known by its MAC addresses: `mac` of the host"
        }
        "boot" | "bootp" | "booting" => {
            "machines with a reservation boot; others by `unknown` of [dhcp] or of a [[subnet]]"
        }
        word if word.starts_with("ddns-") => {
            "DNS is not updated: `bootwright export` writes zone and hosts files"
        }
        word if word.starts_with("omapi-") => {
            "changes at run time are made by `bootwright` commands, over its Unix socket"
        }
        word if word.starts_with("ldap-") => {
            "reservations stand in files: export them from the directory"
        }
        word if SERVICE.contains(&word) => "a matter of dhcpd as a program: nothing to do",
        _ => {
            "a statement that is not known here: look it up in dhcpd.conf(5), and whether it is still needed"
        }
    }
}

/// Parameters of the program rather than of the network.
const SERVICE: &[&str] = &[
    "abandon-lease-time",
    "adaptive-lease-time-threshold",
    "always-broadcast",
    "always-reply-rfc1048",
    "bind-local-address6",
    "boot-file-size",
    "check-secs-byte-order",
    "conflict-done",
    "db-time-format",
    "delayed-ack",
    "dhcp-cache-threshold",
    "dont-use-fsync",
    "echo-client-id",
    "ignore-client-uids",
    "infinite-is-reserved",
    "lease-file-name",
    "lease-id-format",
    "leasequery",
    "limit-addrs-per-ia",
    "limited-broadcast-address",
    "log-facility",
    "log-threshold-high",
    "log-threshold-low",
    "max-ack-delay",
    "min-secs",
    "omit-config-file",
    "one-lease-per-client",
    "persist-eui-64-leases",
    "pid-file-name",
    "prefix-length-mode",
    "release-on-roam",
    "server-duid",
    "server-id-check",
    "stash-agent-options",
];

/// Why `allow`, `deny` or `ignore` of this is not carried over.
pub(super) fn permission(what: &str) -> &'static str {
    match what {
        "bootp" | "booting" => {
            "machines with a reservation boot; others by `unknown` of [dhcp] or of a [[subnet]]"
        }
        "duplicates" | "declines" => {
            "a MAC stands in one host; declined addresses rest for ten minutes by themselves"
        }
        "client-updates" | "client" => {
            "DNS is not updated: `bootwright export` writes zone and hosts files"
        }
        "known-clients" | "known" => {
            "machines with a reservation have their own addresses, others those of the pool: nothing to do"
        }
        "unknown-clients" | "unknown" => {
            "machines without a reservation get addresses where a subnet has a `pool` and unknown = \"lease\": nothing to do"
        }
        "leasequery" => "leases are read by `bootwright` commands and the API",
        "members" => "there are no classes: a pool is for all machines without a reservation",
        "dynamic" | "all" | "authenticated" | "unauthenticated" | "after" => {
            "a pool is for all machines without a reservation"
        }
        _ => {
            "a permission that is not known here: look it up in dhcpd.conf(5), and whether it is still needed"
        }
    }
}
