//! `host` of dhcpd.conf.

use std::net::Ipv4Addr;

use super::scopes::{Level, Scope};
use super::text::{Statement, Token};
use super::{Reader, refused, values};
use crate::base::HardwareAddr;
use crate::config::draft::{HostDraft, NicDraft};
use crate::config::values as checked;
use crate::import::options::Value;

impl Reader<'_> {
    pub(super) fn host(&mut self, scope: &Scope, statement: &Statement, body: &[Statement]) {
        let shown = statement.shown();
        let mut inner = scope.inner();
        self.parameters(&mut inner, Level::Host, body);
        self.declarations(&inner, body);
        let declared = statement
            .rest()
            .first()
            .and_then(Token::text)
            .unwrap_or_default();
        let told = match inner.own.remove(&12) {
            Some(set) => match &set.value {
                Value::Text(name) => Some((name.clone(), set.clone())),
                _ => None,
            },
            None => None,
        };
        // What a machine was told is what it calls itself; where two were told the same, the declarations differ.
        let label = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let wanted = match &told {
            Some((name, _)) if !self.gather.has_host(&label(name)) => name.clone(),
            _ => declared.clone(),
        };
        let (name, fqdn) = self.gather.host_name(&statement.at, &wanted);
        let Some(name) = name else {
            self.gather
                .left(&statement.at, &shown, "its name cannot be made one of ours");
            return;
        };
        if let Some((told, set)) = &told
            && wanted == declared
            && label(told) != label(&declared)
        {
            let why = format!(
                "another host has this name already: `{name}` keeps the name of its declaration"
            );
            self.gather.left(&set.at, &set.what, why);
        }
        if wanted != declared && !label(&wanted).eq_ignore_ascii_case(&label(&declared)) {
            let why = format!("called `{name}`, as the machine is told by its host-name");
            self.gather.left(&statement.at, &shown, why);
        }
        let mut draft = HostDraft::new(name);
        draft.group.clone_from(&scope.group);
        draft.loader = inner.loader.take();
        draft.fqdn = fqdn;
        let own_domain = match inner.own.get(&15).map(|set| &set.value) {
            Some(Value::Text(domain)) => Some(domain.clone()),
            _ => None,
        };
        if draft.fqdn.is_none()
            && let Some(domain) = own_domain.as_ref().or(inner.domain.as_ref())
        {
            draft.fqdn =
                checked::fqdn(&format!("{}.{}", draft.name, domain.trim_end_matches('.'))).ok();
        }
        // The full name says it.
        if let (Some(fqdn), Some(domain)) = (&draft.fqdn, &own_domain)
            && fqdn.split_once('.').map(|(_, rest)| rest) == Some(domain.trim_end_matches('.'))
        {
            inner.own.remove(&15);
        }
        let own = std::mem::take(&mut inner.own);
        self.gather.options(&mut draft.options, &own);
        let mut addresses = Vec::new();
        for inner in body.iter().filter(|inner| inner.body.is_none()) {
            match inner.keyword().as_str() {
                "hardware" => match hardware(inner.rest()) {
                    Ok(mac) => draft.macs.push(mac),
                    Err(why) => self.gather.left(&inner.at, &inner.shown(), why),
                },
                "fixed-address" => self.fixed_address(inner, &mut addresses),
                "dynamic" => self
                    .gather
                    .left(&inner.at, &inner.shown(), refused::why("dynamic")),
                _ => {}
            }
        }
        let mut addresses = addresses.into_iter();
        draft.ip = addresses.next();
        draft.nics = addresses
            .map(|ip| NicDraft {
                macs: draft.macs.clone(),
                ip: Some(ip),
                name: None,
            })
            .collect();
        if draft.macs.is_empty() {
            self.gather.left(
                &statement.at,
                &shown,
                format!("without a MAC address: the name is held, and `bootwright bind {} MAC` gives it one", draft.name),
            );
        }
        self.gather.host(draft, statement.at.clone(), shown);
    }

    fn fixed_address(&mut self, statement: &Statement, addresses: &mut Vec<Ipv4Addr>) {
        for token in statement
            .rest()
            .iter()
            .filter(|token| **token != Token::Mark(','))
        {
            match values::addresses(std::slice::from_ref(token), self.bring) {
                Ok(found) => {
                    for ip in found {
                        if !addresses.contains(&ip) {
                            addresses.push(ip);
                        }
                    }
                }
                Err(why) => self.gather.left(&statement.at, &statement.shown(), why),
            }
        }
    }
}

/// `ethernet 52:54:00:47:86:8e`.
fn hardware(tokens: &[Token]) -> Result<HardwareAddr, String> {
    let (kind, address) = tokens
        .split_first()
        .ok_or("a kind of hardware and its address are expected")?;
    let kind = kind.keyword().unwrap_or_default();
    if kind != "ethernet" {
        return Err(format!("only Ethernet boots here, this is `{kind}`"));
    }
    let bytes = values::colon_bytes(address);
    let octets: Option<[u8; 6]> = bytes.and_then(|bytes| bytes.try_into().ok());
    octets
        .map(HardwareAddr::ethernet)
        .ok_or_else(|| "a MAC address has six bytes with colons between them".to_owned())
}
