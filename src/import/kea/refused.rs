//! Keys of Kea's configuration that Bootwright has nothing for, and what to do instead.

/// Why a key is not carried over.
pub(super) fn why(key: &str) -> &'static str {
    match key {
        "min-valid-lifetime" | "max-valid-lifetime" | "offer-lifetime" | "cache-threshold"
        | "cache-max-age" => {
            "each lease has the length `lease_time`, whatever the machine asks for"
        }
        "valid-lifetime" => "the length of leases is a subnet's: `lease_time`",
        "calculate-tee-times" | "t1-percent" | "t2-percent" => {
            "a lease is renewed after 1/2 and 7/8 of its length, unless options 58 and 59 say otherwise"
        }
        "interfaces-config" | "interface" => {
            "the interfaces of this server stand in `interfaces` of [server]"
        }
        "lease-database" | "hosts-database" | "hosts-databases" | "config-control" => {
            "leases and states lie in `state_dir`, reservations in files: those of a database have to be exported first"
        }
        "hooks-libraries" => {
            "what hooks do is told to other programs by [[hook]], or is not needed"
        }
        "control-socket" | "control-sockets" => "commands go over `bootwright`'s own Unix socket",
        "loggers" | "statistic-default-sample-count" | "statistic-default-sample-age" => {
            "log and figures are Bootwright's own: nothing to do"
        }
        "dhcp-ddns" => "DNS is not updated: `bootwright export` writes zone and hosts files",
        "authoritative" => "subnets are authoritative unless `mode` says otherwise: nothing to do",
        "relay" => {
            "a relayed machine is in the subnet that holds its relay's address, or that the relay names: see that it does"
        }
        "reservation-mode"
        | "reservations-global"
        | "reservations-in-subnet"
        | "reservations-out-of-pool"
        | "reservations-lookup-first"
        | "host-reservation-identifiers"
        | "ip-reservations-unique"
        | "early-global-reservations-lookup" => {
            "a reservation holds by the MAC address in whichever subnet its address lies: nothing to do"
        }
        "duid"
        | "client-id"
        | "circuit-id"
        | "flex-id"
        | "match-client-id"
        | "echo-client-id"
        | "store-extended-info" => "a machine is known by its MAC addresses: `mac` of the host",
        "client-class"
        | "client-classes"
        | "require-client-classes"
        | "evaluate-additional-classes" => {
            "there are no classes of machines here: a subnet and its pool are for all"
        }
        "template-test" | "test" | "only-if-required" | "only-in-additional-list" => {
            "there are no classes by what a machine sends: write what the class gives into the hosts or a group"
        }
        "4o6-interface" | "4o6-interface-id" | "4o6-subnet" | "dhcp4o6-port" | "ip-addresses"
        | "prefixes" => "machines are booted over IPv4: DHCP for IPv6 stays where it is",
        "option-data" => "an option that is not carried over",
        "user-context" | "comment" => "a comment: write it where it helps",
        "allocator"
        | "decline-probation-period"
        | "multi-threading"
        | "expired-leases-processing"
        | "server-tag"
        | "parked-packet-limit"
        | "sanity-checks"
        | "dhcp-queue-control"
        | "compatibility"
        | "stash-agent-options"
        | "data-directory"
        | "ddns-conflict-resolution-mode" => "a matter of Kea as a program: nothing to do",
        key if key.starts_with("ddns-") || key.starts_with("hostname-char") => {
            "DNS is not updated: `bootwright export` writes zone and hosts files"
        }
        _ => {
            "a key that is not known here: look it up in Kea's manual, and whether it is still needed"
        }
    }
}
