//! What stands in the way of a start, said with its remedy.

use std::io;

use super::links::LinkTable;
use super::ports::held;
pub use crate::base::Transport;

/// An interface of the configuration that this machine does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no interface {missing}; this machine has {}", .present.join(", "))]
pub struct NoInterface {
    /// What the configuration names.
    pub missing: String,
    /// What there is.
    pub present: Vec<String>,
}

/// Whether every interface of the configuration is there.
pub fn interfaces(wanted: &[String], links: &LinkTable) -> Result<(), NoInterface> {
    match wanted.iter().find(|name| links.interface(name).is_none()) {
        None => Ok(()),
        Some(missing) => Err(NoInterface {
            missing: missing.clone(),
            present: links.iter().map(|link| link.name.to_string()).collect(),
        }),
    }
}

/// A socket that could not be opened: one sentence, and the remedy beside it.
#[derive(Debug, thiserror::Error)]
#[error("{service} cannot listen on {place}, {} port {port}: {}", .transport.as_str(), why(.holder.as_deref(), .error))]
pub struct CannotListen {
    /// `DHCP`, `TFTP`, `HTTP`.
    pub service: &'static str,
    /// The address or interface.
    pub place: String,
    /// The transport.
    pub transport: Transport,
    /// The port.
    pub port: u16,
    /// Who holds the port, where that can be seen.
    pub holder: Option<String>,
    /// What the system says. No source: the sentence has it already.
    pub error: io::Error,
}

fn why(holder: Option<&str>, error: &io::Error) -> String {
    match (error.kind(), holder) {
        (io::ErrorKind::AddrInUse, Some(holder)) => format!("{holder} holds it"),
        (io::ErrorKind::AddrInUse, None) => "another process holds it".to_owned(),
        _ => error.to_string(),
    }
}

impl CannotListen {
    /// Looks up who holds the port, when that is what is in the way.
    pub fn new(
        service: &'static str,
        place: impl Into<String>,
        transport: Transport,
        port: u16,
        error: io::Error,
    ) -> Self {
        let taken = error.kind() == io::ErrorKind::AddrInUse;
        Self {
            service,
            place: place.into(),
            transport,
            port,
            holder: taken.then(|| holder(transport, port)).flatten(),
            error,
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        let key = self.service.to_lowercase();
        match self.error.kind() {
            // Machines ask port 67 and no other: moving the port would help nobody.
            io::ErrorKind::AddrInUse if self.service == "DHCP" => format!(
                "stop it, or keep it off {} (dnsmasq: bind-dynamic)",
                self.place
            ),
            io::ErrorKind::AddrInUse => format!("stop it, or set another [{key}] port"),
            io::ErrorKind::PermissionDenied => {
                "run it with sudo, or give the program cap_net_bind_service and cap_net_raw"
                    .to_owned()
            }
            _ => format!("look at [server] interfaces and [{key}] port"),
        }
    }

    /// Sentence and remedy in one line, for an event.
    pub fn in_one_line(&self) -> String {
        format!("{self}; {}", self.remedy())
    }
}

/// Who holds a port of this machine, as far as /proc tells: `dnsmasq (pid 812)`.
pub fn holder(transport: Transport, port: u16) -> Option<String> {
    held(&[(transport, port)])
        .into_iter()
        .filter_map(|held| held.by)
        .min_by_key(|(_, pid)| *pid)
        .map(|(name, pid)| format!("{name} (pid {pid})"))
}

/// Raises the number of descriptors that this process may open as far as the system lets it: each TFTP
/// transfer needs two, and the usual 1,024 are too few for several hundred machines. The number in
/// force.
pub fn raise_descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return hard;
    }
    soft
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::links::Interface;
    use std::sync::Arc;

    #[test]
    fn a_missing_interface_is_told_beside_those_there_are() {
        let links: LinkTable = ["lo", "eth0"]
            .into_iter()
            .map(|name| Interface {
                name: name.into(),
                index: 1,
                up: true,
                hardware: None,
                addresses: Arc::default(),
                link_local: None,
                link: None,
            })
            .collect();
        assert_eq!(interfaces(&["eth0".into()], &links), Ok(()));
        let error = interfaces(&["eth0".into(), "br0".into()], &links).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no interface br0; this machine has lo, eth0"
        );
    }

    #[test]
    fn a_socket_that_cannot_be_opened_is_one_sentence_and_one_remedy() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = |service, kind: io::ErrorKind| {
            CannotListen::new(service, "br0", Transport::Udp, port, kind.into())
        };
        let held = error("TFTP", io::ErrorKind::AddrInUse);
        let text = held.to_string();
        assert!(
            text.starts_with(&format!("TFTP cannot listen on br0, UDP port {port}: "))
                && text.ends_with(&format!("(pid {}) holds it", std::process::id())),
            "{text}"
        );
        assert_eq!(held.remedy(), "stop it, or set another [tftp] port");
        assert_eq!(held.in_one_line(), format!("{text}; {}", held.remedy()));
        assert!(std::error::Error::source(&held).is_none(), "said twice");
        let dhcp = error("DHCP", io::ErrorKind::AddrInUse).remedy();
        assert!(dhcp.starts_with("stop it, or keep it off br0"), "{dhcp}");
        let denied = error("DHCP", io::ErrorKind::PermissionDenied).remedy();
        assert!(denied.contains("cap_net_bind_service"), "{denied}");
    }
}
