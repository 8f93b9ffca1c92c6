//! Kea's configuration of its DHCPv4 server (JSON).

use serde_json::{Map, Value, json};

use super::{Entry, Left, entries, options_of, seconds, without_dhcp};
use crate::config::Snapshot;
use crate::config::option_value::OptionValue;
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::Subnet;

/// Options of Kea's standard space whose type takes text that is separated by commas, in the form that [`OptionValue`]
/// gives them; the others are written as bytes, which Kea takes for all of them.
const BY_TEXT: [u8; 34] = [
    2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 22, 23, 24, 26, 28, 32, 35, 37,
    38, 40, 41, 42, 44, 45, 46, 119,
];

/// Options that have no definition in Kea and are declared as bytes.
fn is_standard(code: u8) -> bool {
    matches!(
        code,
        2..=49 | 58..=76 | 77..=79 | 85..=87 | 88 | 89 | 93 | 94 | 97..=101 | 108 | 112..=114 | 116..=119 | 124 | 125 | 136..=138 | 141 | 146 | 159 | 212
    )
}

pub(super) fn write(snapshot: &Snapshot, left: &mut Vec<Left>) -> String {
    let entries = entries(snapshot);
    let shares = entries
        .iter()
        .any(|entry| entry.ip.is_some() && entry.macs.len() > 1);
    let subnets: Vec<Value> = snapshot
        .subnets
        .iter()
        .enumerate()
        .map(|(index, subnet)| {
            let within = |entry: &&Entry<'_>| {
                entry.subnet.is_some_and(|of| std::ptr::eq(of, subnet))
                    && (entry.is_first || entry.ip.is_some())
            };
            let entries: Vec<&Entry<'_>> = entries.iter().filter(within).collect();
            self::subnet(index, subnet, &entries, left)
        })
        .collect();
    let mut dhcp4 = Map::new();
    dhcp4.insert(
        "interfaces-config".to_owned(),
        json!({ "interfaces": snapshot.server.interfaces }),
    );
    dhcp4.insert("lease-database".to_owned(), json!({ "type": "memfile" }));
    dhcp4.insert(
        "valid-lifetime".to_owned(),
        json!(seconds(snapshot.server.lease_time)),
    );
    if shares {
        // Ports of a bond have one address.
        dhcp4.insert("ip-reservations-unique".to_owned(), json!(false));
    }
    let definitions = definitions(snapshot);
    if !definitions.is_empty() {
        dhcp4.insert("option-def".to_owned(), Value::Array(definitions));
    }
    dhcp4.insert("subnet4".to_owned(), Value::Array(subnets));
    let whole = json!({ "Dhcp4": dhcp4 });
    // Values made of texts and numbers are always written.
    let mut text = serde_json::to_string_pretty(&whole).unwrap_or_default();
    text.push('\n');
    text
}

fn definitions(snapshot: &Snapshot) -> Vec<Value> {
    let of_hosts = snapshot.hosts().iter().flat_map(|host| host.options.iter());
    let of_subnets = snapshot
        .subnets
        .iter()
        .flat_map(|subnet| subnet.options.iter());
    let mut codes: Vec<u8> = of_hosts
        .chain(of_subnets)
        .map(|option| option.code)
        .filter(|code| !is_standard(*code))
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes
        .into_iter()
        .map(|code| json!({ "name": format!("bootwright-{code}"), "code": code, "type": "binary", "space": "dhcp4" }))
        .collect()
}

fn subnet(index: usize, subnet: &Subnet, entries: &[&Entry<'_>], left: &mut Vec<Left>) -> Value {
    let options: Vec<Value> = options_of(subnet).iter().map(option).collect();
    let pools: Vec<Value> = subnet
        .leases()
        .map(|pool| json!({ "pool": format!("{} - {}", pool.first, pool.last) }))
        .into_iter()
        .collect();
    let mut reservations = Vec::new();
    for entry in entries {
        if without_dhcp(entry, left) {
            continue;
        }
        let Some(ip) = entry.ip else { continue };
        for mac in entry.macs {
            if mac.octets().is_none() {
                left.push(Left {
                    what: entry.told(),
                    why: format!(
                        "{mac} is no Ethernet address, and Kea knows reservations by those"
                    ),
                });
                continue;
            }
            let mut one = Map::new();
            one.insert("hw-address".to_owned(), json!(mac.to_string()));
            one.insert("ip-address".to_owned(), json!(ip.to_string()));
            one.insert(
                "hostname".to_owned(),
                json!(entry.fqdn().unwrap_or_else(|| entry.label.clone())),
            );
            let options: Vec<Value> = entry.host.options.iter().map(option).collect();
            if !options.is_empty() {
                one.insert("option-data".to_owned(), Value::Array(options));
            }
            reservations.push(Value::Object(one));
        }
    }
    json!({
        "id": index + 1,
        "subnet": subnet.network.to_string(),
        "user-context": { "name": subnet.name.as_str() },
        "valid-lifetime": seconds(subnet.lease_time),
        "option-data": options,
        "pools": pools,
        "reservations": reservations,
    })
}

fn option(option: &ConfiguredOption) -> Value {
    let ConfiguredOption { code, data, force } = option;
    let mut one = Map::new();
    one.insert("code".to_owned(), json!(code));
    let value = OptionValue::of(*code, data);
    let text = match &value {
        OptionValue::Bytes(_) | OptionValue::Routes(_) => None,
        // A comma would divide it.
        OptionValue::Text(text) if text.contains([',', '\\']) || text.trim() != text => None,
        value => Some(value.to_string()),
    };
    if let Some(text) = text.filter(|_| BY_TEXT.contains(code)) {
        one.insert("data".to_owned(), json!(text));
    } else {
        one.insert("csv-format".to_owned(), json!(false));
        one.insert("data".to_owned(), json!(OptionValue::hex(data, "")));
    }
    if *force {
        one.insert("always-send".to_owned(), json!(true));
    }
    Value::Object(one)
}
