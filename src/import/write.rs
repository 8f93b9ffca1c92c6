//! What was read, as the text of our own files.

use std::fmt::Write as _;

use toml::Value;

use super::{Imported, SubnetDraft};
use crate::config::edit::{self, Document, EditError};

impl Imported {
    /// Groups and hosts as a reservations file.
    pub fn reservations(&self) -> Result<String, EditError> {
        let mut document = Document::parse("")?;
        for group in &self.groups {
            document.add_group(group)?;
        }
        for host in &self.hosts {
            document.add_host(host)?;
        }
        Ok(document.text()?.to_owned())
    }
}

/// Subnets as they stand in `bootwright.toml`.
pub fn subnets<'s>(subnets: impl IntoIterator<Item = &'s SubnetDraft>) -> String {
    let mut text = String::new();
    for subnet in subnets {
        if !text.is_empty() {
            text.push('\n');
        }
        subnet.write(&mut text);
    }
    text
}

impl SubnetDraft {
    fn write(&self, text: &mut String) {
        let pairs = self.pairs();
        let width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
        text.push_str("[[subnet]]\n");
        for (key, value) in pairs {
            let _ = writeln!(text, "{key:<width$} = {}", edit::written(&value));
        }
    }

    /// Its keys, in the order in which they are written. What another server's subnet cannot have is left out.
    fn pairs(&self) -> Vec<(&'static str, Value)> {
        let one = |value: String| Value::String(value);
        let list = |values: Vec<String>| {
            (!values.is_empty()).then(|| Value::Array(values.into_iter().map(one).collect()))
        };
        let texts = |addresses: &[std::net::Ipv4Addr]| {
            list(addresses.iter().map(ToString::to_string).collect())
        };
        let own = !self.proxy;
        let name = self.name.to_string();
        let network = self.network.to_string();
        let pool = self.pools.first().filter(|_| own);
        let lease = self.lease_time.filter(|_| own);
        [
            ("name", (name != network).then(|| one(name))),
            ("network", Some(one(network))),
            ("mode", self.proxy.then(|| one("proxy".to_owned()))),
            ("router", self.router.map(|router| one(router.to_string()))),
            ("dns", texts(&self.dns)),
            ("ntp", texts(&self.ntp)),
            ("domain", self.domain.clone().map(one)),
            ("dns_search", list(self.dns_search.clone()).filter(|_| own)),
            (
                "pool",
                pool.map(|(first, last)| one(format!("{first}-{last}"))),
            ),
            (
                "unknown",
                (self.lease_unknown && pool.is_some()).then(|| one("lease".to_owned())),
            ),
            ("lease_time", lease.map(|seconds| one(duration(seconds)))),
            ("options", edit::options(&self.options).filter(|_| own)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

/// Seconds in the largest unit that they are a whole number of.
fn duration(seconds: u32) -> String {
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let found = units
        .into_iter()
        .find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    match found {
        Some((unit, letter)) => format!("{}{letter}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_exact() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (3_600, "1h"),
            (5_400, "90m"),
            (3_601, "3601s"),
            (172_800, "2d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn a_subnet_is_written_as_the_configuration_has_it() {
        let network = "192.0.2.0/24".parse().unwrap();
        let mut subnet = SubnetDraft::new("lab".parse().unwrap(), network);
        subnet.router = Some([192, 0, 2, 1].into());
        subnet.dns = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        subnet.pools = vec![([192, 0, 2, 200].into(), [192, 0, 2, 250].into())];
        subnet.lease_unknown = true;
        subnet.lease_time = Some(7_200);
        assert_eq!(
            subnets([&subnet]),
            "[[subnet]]\nname       = \"lab\"\nnetwork    = \"192.0.2.0/24\"\nrouter     = \"192.0.2.1\"\ndns        = [\"192.0.2.1\", \"192.0.2.2\"]\npool       = \"192.0.2.200-192.0.2.250\"\nunknown    = \"lease\"\nlease_time = \"2h\"\n"
        );
        subnet.proxy = true;
        let text = subnets([&subnet]);
        assert!(text.contains("mode    = \"proxy\""), "{text}");
        assert!(!text.contains("pool") && !text.contains("lease"), "{text}");
    }
}
