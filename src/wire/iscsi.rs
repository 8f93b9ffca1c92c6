//! iSCSI root paths (RFC 4173 section 5) and names of initiators and targets (RFC 7143 section 4.2.7).
//!
//! **Invariant:** what a [`RootPath`] writes is read again as the same, by [`RootPath::parse`] and by iPXE.

use std::fmt;

/// Where a disk is: `iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootPath {
    /// Name or IPv4 address, or an IPv6 address in square brackets.
    pub server: String,
    /// `None`: 3260.
    pub port: Option<u16>,
    /// One to four groups of hexadecimal digits; empty for unit 0.
    pub lun: String,
    /// The target's name.
    pub target: String,
}

/// Why a text is no root path, or no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRootPath {
    /// It begins otherwise.
    #[error("it does not begin with `iscsi:`")]
    Scheme,
    /// It has fewer parts.
    #[error("a part is missing: it is written iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET")]
    Parts,
    /// No server.
    #[error("the server `{0}` is no name and no address")]
    Server(String),
    /// Another protocol than TCP.
    #[error("the protocol `{0}` is not TCP, which is 6; leave it empty")]
    Protocol(String),
    /// No port.
    #[error("`{0}` is no port; leave it empty for 3260")]
    Port(String),
    /// No logical unit.
    #[error(
        "`{0}` is no logical unit: up to four groups of four hexadecimal digits with `-` between them"
    )]
    Lun(String),
    /// No name.
    #[error("`{0}` is no iSCSI name: such as iqn.2026-01.example.lab:disk1, in small letters")]
    Name(String),
}

impl RootPath {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, BadRootPath> {
        let rest = text.strip_prefix("iscsi:").ok_or(BadRootPath::Scheme)?;
        // An IPv6 address has colons of its own.
        let (server, rest) = match rest.find(']').filter(|_| rest.starts_with('[')) {
            Some(end) => rest
                .split_at_checked(end + 1)
                .and_then(|(server, rest)| Some((server, rest.strip_prefix(':')?))),
            None => rest.split_once(':'),
        }
        .ok_or(BadRootPath::Parts)?;
        let mut parts = rest.splitn(4, ':');
        let (Some(protocol), Some(port), Some(lun), Some(target)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadRootPath::Parts);
        };
        if !is_server(server) {
            return Err(BadRootPath::Server(server.to_owned()));
        }
        if !matches!(protocol, "" | "6") {
            return Err(BadRootPath::Protocol(protocol.to_owned()));
        }
        let bad_port = || BadRootPath::Port(port.to_owned());
        let port = match port {
            "" => None,
            // iPXE takes a leading zero for octal digits.
            _ if port.starts_with('0') || !port.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(bad_port());
            }
            _ => Some(port.parse().map_err(|_| bad_port())?),
        };
        let group = |group: &str| {
            (1..=4).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_hexdigit())
        };
        if !lun.is_empty() && (lun.split('-').count() > 4 || !lun.split('-').all(group)) {
            return Err(BadRootPath::Lun(lun.to_owned()));
        }
        check_name(target)?;
        Ok(Self {
            server: server.to_owned(),
            port,
            lun: lun.to_owned(),
            target: target.to_owned(),
        })
    }
}

impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "iscsi:{}::", self.server)?;
        if let Some(port) = self.port {
            write!(f, "{port}")?;
        }
        write!(f, ":{}:{}", self.lun, self.target)
    }
}

fn is_server(text: &str) -> bool {
    if let Some(inner) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    !text.is_empty()
        && text.len() <= 255
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
}

/// Whether a text is the name of an initiator or a target: `iqn.YYYY-MM.DOMAIN[:REST]`, `eui.` with 16 or
/// `naa.` with 16 or 32 hexadecimal digits.
pub fn check_name(text: &str) -> Result<(), BadRootPath> {
    /// RFC 7143 section 4.2.7.2.
    const MOST: usize = 223;
    let hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    let good = match text.split_once('.') {
        Some(("iqn", rest)) => {
            let (date, name) = rest.split_once('.').unwrap_or_default();
            let (year, month) = date.split_once('-').unwrap_or_default();
            let digits = |text: &str, count: usize| {
                text.len() == count && text.bytes().all(|b| b.is_ascii_digit())
            };
            let domain = name.split(':').next().unwrap_or_default();
            digits(year, 4)
                && digits(month, 2)
                && (1..=12).contains(&month.parse::<u8>().unwrap_or(0))
                && !domain.is_empty()
        }
        Some(("eui", rest)) => rest.len() == 16 && hex(rest),
        Some(("naa", rest)) => matches!(rest.len(), 16 | 32) && hex(rest),
        _ => false,
    };
    // What RFC 3722 leaves of ASCII; a capital letter would be made small by one side only.
    let letters = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b':'));
    let is_hex = text.starts_with("eui.") || text.starts_with("naa.");
    if good && (letters || is_hex) && text.len() <= MOST {
        Ok(())
    } else {
        Err(BadRootPath::Name(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TARGET: &str = "iqn.2026-01.example.lab:web01";

    #[test]
    fn root_paths_are_those_of_the_rfc() {
        let path = RootPath::parse(&format!("iscsi:10.99.0.5::::{TARGET}")).unwrap();
        assert_eq!((path.port, path.lun.as_str()), (None, ""));
        assert_eq!(path.target, TARGET);
        let path = RootPath::parse(&format!(
            "iscsi:san.lab.example:6:3261:4752-3A4F:{TARGET}:x"
        ))
        .unwrap();
        assert_eq!(path.port, Some(3261));
        assert_eq!(path.lun, "4752-3A4F");
        assert_eq!(
            path.to_string(),
            format!("iscsi:san.lab.example::3261:4752-3A4F:{TARGET}:x")
        );
        let path = RootPath::parse(&format!("iscsi:[fd00::5]::::{TARGET}")).unwrap();
        assert_eq!(path.server, "[fd00::5]");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |rest: &str| RootPath::parse(&rest.replace('T', TARGET)).unwrap_err();
        assert_eq!(with("http://x/T"), BadRootPath::Scheme);
        assert_eq!(with("iscsi:10.0.0.5:T"), BadRootPath::Parts);
        assert_eq!(with("iscsi:10.0.0.5"), BadRootPath::Parts);
        assert_eq!(with("iscsi:[fd00::5]T"), BadRootPath::Parts);
        assert_eq!(with("iscsi:::::T"), BadRootPath::Server(String::new()));
        assert_eq!(
            with("iscsi:[fd00]::::T"),
            BadRootPath::Server("[fd00]".into())
        );
        assert_eq!(with("iscsi:a b::::T"), BadRootPath::Server("a b".into()));
        assert_eq!(with("iscsi:a:17:::T"), BadRootPath::Protocol("17".into()));
        for port in ["0", "65536", "-1", "0x10", "010"] {
            assert_eq!(
                with(&format!("iscsi:a::{port}::T")),
                BadRootPath::Port(port.into())
            );
        }
        for lun in ["x", "12345", "1-2-3-4-5", "1-"] {
            assert_eq!(
                with(&format!("iscsi:a:::{lun}:T")),
                BadRootPath::Lun(lun.into())
            );
        }
        for name in [
            "",
            "iqn.",
            "iqn.2026-13.x",
            "iqn.2026-01.",
            "iqn.26-01.x",
            "iqn.2026-01.X",
            "iqn.2026-01.x y",
            "eui.123",
            "disk",
        ] {
            assert_eq!(check_name(name), Err(BadRootPath::Name(name.into())));
        }
        check_name("eui.02004567A425678D").unwrap();
        check_name("naa.52004567BA64678D").unwrap();
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_is_written_the_same(
            text in "(iscsi:)?[a-z0-9.:\\[\\]-]{0,40}(:iqn\\.2026-01\\.x(:[a-z]{0,4})?)?"
        ) {
            if let Ok(path) = RootPath::parse(&text) {
                prop_assert_eq!(RootPath::parse(&path.to_string()), Ok(path));
            }
        }
    }
}
