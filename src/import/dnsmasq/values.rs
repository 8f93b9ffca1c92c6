//! Options of dnsmasq: its names for them, and the values of `dhcp-option`.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::config::options::{self as known, Form};
use crate::import::options::{self, Value, from_hex, route};

/// dnsmasq's names, as `dnsmasq --help dhcp` lists them.
const NAMES: &[(u8, &str)] = &[
    (1, "netmask"),
    (2, "time-offset"),
    (3, "router"),
    (6, "dns-server"),
    (7, "log-server"),
    (9, "lpr-server"),
    (12, "hostname"),
    (13, "boot-file-size"),
    (15, "domain-name"),
    (16, "swap-server"),
    (17, "root-path"),
    (18, "extension-path"),
    (19, "ip-forward-enable"),
    (20, "non-local-source-routing"),
    (21, "policy-filter"),
    (22, "max-datagram-reassembly"),
    (23, "default-ttl"),
    (26, "mtu"),
    (27, "all-subnets-local"),
    (28, "broadcast"),
    (31, "router-discovery"),
    (32, "router-solicitation"),
    (33, "static-route"),
    (34, "trailer-encapsulation"),
    (35, "arp-timeout"),
    (36, "ethernet-encap"),
    (37, "tcp-ttl"),
    (38, "tcp-keepalive"),
    (40, "nis-domain"),
    (41, "nis-server"),
    (42, "ntp-server"),
    (43, "vendor-encap"),
    (44, "netbios-ns"),
    (45, "netbios-dd"),
    (46, "netbios-nodetype"),
    (47, "netbios-scope"),
    (48, "x-windows-fs"),
    (49, "x-windows-dm"),
    (50, "requested-address"),
    (51, "lease-time"),
    (52, "option-overload"),
    (53, "message-type"),
    (54, "server-identifier"),
    (55, "parameter-request"),
    (56, "message"),
    (57, "max-message-size"),
    (58, "t1"),
    (59, "t2"),
    (60, "vendor-class"),
    (61, "client-id"),
    (64, "nis+-domain"),
    (65, "nis+-server"),
    (66, "tftp-server"),
    (67, "bootfile-name"),
    (68, "mobile-ip-home"),
    (69, "smtp-server"),
    (70, "pop3-server"),
    (71, "nntp-server"),
    (74, "irc-server"),
    (77, "user-class"),
    (80, "rapid-commit"),
    (81, "fqdn"),
    (82, "agent-id"),
    (91, "last-transaction"),
    (92, "associated-ip"),
    (93, "client-arch"),
    (94, "client-interface-id"),
    (97, "client-machine-id"),
    (100, "posix-timezone"),
    (101, "tzdb-timezone"),
    (108, "ipv6-only"),
    (118, "subnet-select"),
    (119, "domain-search"),
    (120, "sip-server"),
    (121, "classless-static-route"),
    (125, "vendor-id-encap"),
    (150, "tftp-server-address"),
];

/// The code of an option: a number, or `option:` and a name.
pub(super) fn code(text: &str) -> Option<u8> {
    let Some(name) = text.strip_prefix("option:") else {
        return text.parse().ok();
    };
    let name = name.to_ascii_lowercase();
    let found = NAMES.iter().find(|(_, own)| *own == name);
    found
        .map(|(code, _)| *code)
        .or_else(|| known::by_name(&name))
}

/// The value of an option, from its fields.
pub(super) fn value(code: u8, fields: &[String]) -> Result<Value, String> {
    let given: Vec<&str> = fields.iter().map(String::as_str).collect();
    if given.iter().all(|field| field.is_empty()) {
        return Err("without a value dnsmasq does not send it: nothing is sent here either unless it is written".to_owned());
    }
    let addresses: Option<Vec<Ipv4Addr>> = given.iter().map(|field| field.parse().ok()).collect();
    if addresses
        .as_ref()
        .is_some_and(|ips| ips.contains(&Ipv4Addr::UNSPECIFIED))
        && !matches!(code, 33 | 121 | 249)
    {
        return Err(
            "0.0.0.0 stands for dnsmasq's own address: write the address that it is".to_owned(),
        );
    }
    let one = match given.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    let text = || given.join(",");
    match (code, options::form(code)) {
        (121 | 249, _) => routes(&given).map(Value::Bytes),
        (119, _) => Ok(Value::Names(
            given.iter().map(|name| (*name).to_owned()).collect(),
        )),
        (_, Form::Ip | Form::Ips) => addresses
            .map(Value::Ips)
            .ok_or_else(|| format!("addresses are expected, this is `{}`", text())),
        (_, Form::U8 | Form::U16 | Form::U32) => one
            .and_then(number)
            .map(Value::Number)
            .ok_or_else(|| format!("a number is expected, this is `{}`", text())),
        (_, Form::Bool) => match one.and_then(number) {
            Some(bit @ 0..=1) => Ok(Value::Flag(bit == 1)),
            _ => Err("0 or 1 is expected".to_owned()),
        },
        (_, Form::Text) => Ok(Value::Text(text())),
        (_, Form::Hex | Form::Any) => Ok(guessed(&given, addresses)),
    }
}

/// A value whose type only its look tells, as dnsmasq takes it: addresses, bytes, a number, a text.
fn guessed(given: &[&str], addresses: Option<Vec<Ipv4Addr>>) -> Value {
    if let Some(addresses) = addresses {
        return Value::Ips(addresses);
    }
    let text = given.join(",");
    if text.contains(':')
        && let Some(bytes) = from_hex(&text)
    {
        return Value::Bytes(bytes);
    }
    let numbers: Option<Vec<Vec<u8>>> = given.iter().map(|field| sized(field)).collect();
    match numbers {
        Some(numbers) => Value::Bytes(numbers.concat()),
        None => Value::Text(text),
    }
}

/// A number without its width.
fn number(text: &str) -> Option<i64> {
    let digits = text.strip_suffix(['b', 's', 'i']).unwrap_or(text);
    digits.parse().ok()
}

/// A number of the width that its suffix says: `b` one byte, `s` two, `i` four; else the least.
fn sized(text: &str) -> Option<Vec<u8>> {
    let (digits, width) = match text.chars().next_back()? {
        'b' => (text.get(..text.len() - 1)?, Some(1)),
        's' => (text.get(..text.len() - 1)?, Some(2)),
        'i' => (text.get(..text.len() - 1)?, Some(4)),
        _ => (text, None),
    };
    let number: u32 = digits.parse().ok()?;
    let width = width.unwrap_or(match number {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        _ => 4,
    });
    let bytes = number.to_be_bytes();
    bytes.get(4 - width..).map(<[u8]>::to_vec)
}

/// Routes as `10.0.0.0/8,192.168.0.1`, or as bytes.
fn routes(given: &[&str]) -> Result<Vec<u8>, String> {
    if let [one] = given
        && let Some(bytes) = from_hex(one)
    {
        return Ok(bytes);
    }
    let mut bytes = Vec::new();
    for pair in given.chunks(2) {
        let [network, router] = pair else {
            return Err("a network and a router are expected by turns".to_owned());
        };
        let network: Option<Ipv4Net> = if network.contains('/') {
            network.parse().ok()
        } else {
            network.parse::<Ipv4Addr>().ok().map(Ipv4Net::from)
        };
        let router: Option<Ipv4Addr> = router.parse().ok();
        let (Some(network), Some(router)) = (network, router) else {
            return Err(format!("`{}` is no route", pair.join(",")));
        };
        if router.is_unspecified() {
            return Err(
                "0.0.0.0 stands for dnsmasq's own address: write the address that it is".to_owned(),
            );
        }
        bytes.extend(route(network, router));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Value, String> {
        let fields = super::super::lines::fields(text);
        let (first, rest) = fields.split_first().unwrap();
        value(code(first).unwrap(), rest)
    }

    #[test]
    fn values_as_they_look() {
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        assert_eq!(of("3,10.0.0.1"), Ok(Value::Ips(vec![ip("10.0.0.1")])));
        assert_eq!(of("option:router,10.0.0.1"), of("3,10.0.0.1"));
        assert_eq!(of("option:mtu,9000"), Ok(Value::Number(9_000)));
        assert_eq!(
            of("option:T1,1m"),
            Err("a number is expected, this is `1m`".to_owned())
        );
        assert_eq!(of("19,0"), Ok(Value::Flag(false)));
        assert_eq!(of("224,1i"), Ok(Value::Bytes(vec![0, 0, 0, 1])));
        assert_eq!(of("224,1,300"), Ok(Value::Bytes(vec![1, 1, 44])));
        assert_eq!(of("224,01:02:ff"), Ok(Value::Bytes(vec![1, 2, 255])));
        assert_eq!(of("224,\"a,b\""), Ok(Value::Text("a,b".to_owned())));
        assert_eq!(
            of("121,10.1.0.0/16,10.0.0.1"),
            Ok(Value::Bytes(vec![16, 10, 1, 10, 0, 0, 1]))
        );
        assert_eq!(
            of("119,a.example,b.example"),
            Ok(Value::Names(vec!["a.example".into(), "b.example".into()]))
        );
        for bad in ["3", "3,0.0.0.0", "3,router", "121,10.1.0.0/16", "19,7"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        assert_eq!(code("option:nonsense"), None);
        assert_eq!(code("300"), None);
    }
}
