//! Texts that stand for something: addresses, networks, names, sizes, paths.
//!
//! Each function gives the value or a [`Bad`] with the words for the operator.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::Ipv4Net;

use crate::base::names::NameError;
use crate::base::{AddrRange, Architecture, HardwareAddr, Uuid, suggest, time};
use crate::config::problem::quoted;
use crate::config::snapshot::Pool;
use crate::wire::names::is_hidden;

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    /// The problem's code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// A few words beside the place.
    pub label: String,
    /// The remedy.
    pub help: Option<String>,
    /// What to write in its place, as TOML has it.
    pub meant: Option<String>,
}

impl Bad {
    /// A problem without a remedy yet.
    pub(crate) fn new(
        code: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            label: label.into(),
            help: None,
            meant: None,
        }
    }

    /// Adds the remedy.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds the key that was meant.
    pub(crate) fn meant_key(mut self, key: &str) -> Self {
        self.meant = Some(key.to_owned());
        self
    }

    /// Adds the text that was meant.
    pub(crate) fn meant(mut self, text: &str) -> Self {
        self.meant = Some(quoted(text));
        self
    }
}

/// The longest boot file name or URL that option 67 holds (RFC 2132 section 9.5), in bytes.
pub(crate) const MAX_URL: usize = 255;
/// The longest path of a boot loader: with `http://255.255.255.255:65535/assets/` before it, it still fits.
pub(crate) const MAX_PATH: usize = MAX_URL - 37;

/// A MAC address of one network card.
pub(crate) fn mac(text: &str) -> Result<HardwareAddr, Bad> {
    let bad = |label: String, help: &str| {
        Bad::new(
            "bad-mac",
            format!("`{text}` is no usable MAC address"),
            label,
        )
        .help(help)
    };
    let mac: HardwareAddr = text
        .parse()
        .map_err(|error: crate::base::mac::ParseMacError| {
            bad(
                error.to_string(),
                "write twelve hexadecimal digits, such as \"52:54:00:47:86:8e\"",
            )
        })?;
    let octets = mac.octets().unwrap_or_default();
    let real = "write the address that is on the card's label or that the firmware shows";
    if octets == [0; 6] {
        Err(bad("all zeros belong to no network card".to_owned(), real))
    } else if octets == [0xff; 6] {
        Err(bad("this is the broadcast address".to_owned(), real))
    } else if octets.first().is_some_and(|first| first & 1 == 1) {
        Err(bad(
            "a multicast address: the first byte is odd".to_owned(),
            real,
        ))
    } else {
        Ok(mac)
    }
}

/// Any IPv4 address.
pub(crate) fn address(text: &str) -> Result<Ipv4Addr, Bad> {
    text.parse().map_err(|_| {
        let bad = |label: &str| {
            Bad::new("bad-address", format!("`{text}` is no IPv4 address"), label)
                .help("write four numbers from 0 to 255, such as \"10.99.0.11\"")
        };
        if text.parse::<Ipv6Addr>().is_ok() {
            return bad("IPv6").help("machines are booted over IPv4: write an IPv4 address");
        }
        if let Some((address, _)) = text.split_once('/')
            && address.parse::<Ipv4Addr>().is_ok()
        {
            return bad("an address with a prefix length")
                .help(format!("write only the address, \"{address}\""))
                .meant(address);
        }
        let parts: Vec<&str> = text.split('.').collect();
        if parts.len() != 4 {
            return bad("it has four numbers with dots between them");
        }
        if let Some(part) = parts
            .iter()
            .find(|part| part.len() > 1 && part.starts_with('0'))
        {
            return bad(&format!("`{part}` begins with a zero"));
        }
        match parts.iter().find(|part| part.parse::<u8>().is_err()) {
            Some(part) => bad(&format!("`{part}` is no number from 0 to 255")),
            None => bad(""),
        }
    })
}

/// An IPv4 address that one machine can have.
pub(crate) fn machine_address(text: &str) -> Result<Ipv4Addr, Bad> {
    let address = address(text)?;
    let label = if address.is_unspecified() {
        "this stands for \"no address\""
    } else if address.is_broadcast() {
        "this is the broadcast address"
    } else if address.is_multicast() {
        "a multicast address"
    } else {
        return Ok(address);
    };
    Err(Bad::new(
        "bad-address",
        format!("{address} cannot be the address of a machine"),
        label,
    )
    .help("write the machine's own address"))
}

/// A pool as `10.99.0.200-10.99.0.250`.
pub(crate) fn pool(text: &str) -> Result<Pool, Bad> {
    let range: AddrRange = text.parse().map_err(|why: String| {
        Bad::new(
            "bad-pool",
            format!("`{text}` is no pool: {why}"),
            "no range of addresses",
        )
        .help("write its first and last address, such as \"10.99.0.200-10.99.0.250\"")
    })?;
    Ok(Pool {
        first: range.first(),
        last: range.last(),
    })
}

/// A network as `10.99.0.0/24`.
pub(crate) fn network(text: &str) -> Result<Ipv4Net, Bad> {
    let bad = |label: &str, help: String| {
        Bad::new("bad-network", format!("`{text}` is no network"), label).help(help)
    };
    let example = || "write address and prefix length, such as \"10.99.0.0/24\"".to_owned();
    let net: Ipv4Net = text.parse().map_err(|_| {
        if !text.contains('/') {
            bad("the prefix length is missing", example())
        } else if let Some((base, mask)) = text.split_once('/')
            && let Ok(mask) = mask.parse::<Ipv4Addr>()
            && let Ok(net) = base
                .parse()
                .map_err(|_| ())
                .and_then(|base| Ipv4Net::with_netmask(base, mask).map_err(|_| ()))
        {
            bad(
                "a netmask in place of the prefix length",
                format!("write \"{net}\""),
            )
            .meant(&net.to_string())
        } else {
            bad("not an address and a prefix length from 1 to 32", example())
        }
    })?;
    // As of single addresses: some programs read `010` as 8.
    let base = text.split_once('/').map_or(text, |(base, _)| base);
    if base.parse::<Ipv4Addr>().is_err() {
        return Err(bad(
            "a number begins with a zero",
            format!("write \"{net}\" if it is decimal"),
        )
        .meant(&net.to_string()));
    }
    if net.addr() != net.network() {
        return Err(bad(
            "bits are set after the prefix",
            format!(
                "the network that holds {} is \"{}\"",
                net.addr(),
                net.trunc()
            ),
        )
        .meant(&net.trunc().to_string()));
    }
    if net.prefix_len() == 0 || net.addr().octets().first() == Some(&0) {
        return Err(bad("these addresses belong to no machine", example()));
    }
    if net
        .addr()
        .octets()
        .first()
        .is_some_and(|first| *first >= 224)
    {
        return Err(bad("multicast and reserved addresses", example()));
    }
    Ok(net)
}

/// A validated name (host, group, profile, subnet).
pub(crate) fn name<T: std::str::FromStr<Err = NameError>>(
    what: &'static str,
    text: &str,
) -> Result<T, Bad> {
    text.parse().map_err(|error| {
        let label = match &error {
            NameError::Character(c, _) => format!("`{}` must not stand in it", c.escape_default()),
            other => other.to_string(),
        };
        let help = if what == "a host" {
            "a host's name has letters, digits and hyphens, such as \"web01\"; with its domain it stands in `fqdn`"
        } else {
            "use letters, digits, `-`, `_` and `.`"
        };
        Bad::new("bad-name", format!("`{text}` is no name for {what}"), label).help(help)
    })
}

/// A length of time of at least a second that fits DHCP's 32 bits.
pub(crate) fn duration(text: &str) -> Result<Duration, Bad> {
    let help = "write a length of time as \"90s\", \"45m\", \"24h\" or \"7d\"";
    let bad = |label: String| {
        Bad::new(
            "bad-duration",
            format!("`{text}` is no length of time"),
            label,
        )
        .help(help)
    };
    let duration = time::parse_duration(text)
        .map_err(|error| bad(error.split("; ").next().unwrap_or_default().to_owned()))?;
    if duration.is_zero() {
        return Err(bad("must be longer than nothing".to_owned()));
    }
    // 0xffffffff seconds stands for infinity in DHCP (RFC 2131 section 3.3).
    if duration.as_secs() >= u64::from(u32::MAX) {
        return Err(bad("longer than a hundred years".to_owned()));
    }
    Ok(duration)
}

/// A number of bytes as `256MiB`.
pub(crate) fn size(text: &str) -> Result<u64, Bad> {
    let bad = |label: &str| {
        Bad::new("bad-size", format!("`{text}` is no size"), label)
            .help("write a size as \"64MiB\" or \"2GiB\"")
    };
    let trimmed = text.trim();
    let digits = trimmed.len()
        - trimmed
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .len();
    let (number, unit) = trimmed.split_at(digits);
    let unit: u64 = match unit.trim_start() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "" => return Err(bad("the unit is missing")),
        _ => return Err(bad("the unit is none of KiB, MiB, GiB and TiB")),
    };
    if number.is_empty() {
        return Err(bad("the number is missing"));
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| bad("too large"))
}

/// A DNS domain (RFC 1123 section 2.1), one label or several.
pub(crate) fn domain(text: &str) -> Result<String, Bad> {
    let bad = |label: String| {
        Bad::new("bad-domain", format!("`{text}` is no domain"), label)
            .help("write names with dots between them, such as \"lab.example\"")
    };
    if text.ends_with('.') && text.len() > 1 {
        return Err(bad("the dot at the end".to_owned()));
    }
    if text.len() > 253 {
        return Err(bad("longer than 253 characters".to_owned()));
    }
    for label in text.split('.') {
        if label.is_empty() {
            return Err(bad("a part is empty".to_owned()));
        }
        if label.len() > 63 {
            return Err(bad("a part is longer than 63 characters".to_owned()));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(bad(format!("`{label}` begins or ends with `-`")));
        }
        if let Some(c) = label
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_'))
        {
            return Err(bad(format!(
                "`{}` must not stand in it",
                c.escape_default()
            )));
        }
    }
    Ok(text.to_owned())
}

/// A host name with its domain.
pub(crate) fn fqdn(text: &str) -> Result<String, Bad> {
    let bad = |label: String| {
        Bad::new(
            "bad-name",
            format!("`{text}` is no full name of a host"),
            label,
        )
        .help("write host name and domain, such as \"web01.lab.example\"")
    };
    let Some((host, rest)) = text.split_once('.') else {
        return Err(bad("the domain is missing".to_owned()));
    };
    if let Err(error) = host.parse::<crate::base::HostName>() {
        return Err(bad(error.to_string()));
    }
    domain(rest).map_err(|error| bad(error.label))?;
    if text.len() > 253 {
        return Err(bad("longer than 253 characters".to_owned()));
    }
    Ok(text.to_owned())
}

/// A boot loader: a path under `boot_assets`, or a whole URL, that fits into option 67.
pub(crate) fn loader(text: &str) -> Result<String, Bad> {
    if text.contains("{{") || text.contains("{%") {
        return Err(Bad::new(
            "bad-path",
            format!("`{text}` is no path and no URL"),
            "boot loaders are not rendered as templates",
        )
        .help("write the path under boot_assets as it is"));
    }
    let max = if is_url(text) { MAX_URL } else { MAX_PATH };
    if text.len() > max {
        return Err(Bad::new(
            "too-long",
            format!(
                "the boot loader has {} characters, at most {max} fit into a DHCP reply",
                text.len()
            ),
            "too long",
        )
        .help("put the file at a shorter path"));
    }
    boot_file(text)
}

/// A path under `boot_assets`, or a whole URL.
pub(crate) fn boot_file(text: &str) -> Result<String, Bad> {
    if is_url(text) {
        return url(text);
    }
    let bad = |label: &str, help: &str| {
        Bad::new(
            "bad-path",
            format!("`{text}` is no path under boot_assets and no URL"),
            label,
        )
        .help(help)
    };
    let relative = "write the path as it is below the folder boot_assets, without `/` before it";
    if text.is_empty() {
        return Err(bad("empty", relative));
    }
    if text.starts_with('/') {
        return Err(bad("begins with `/`", relative));
    }
    if text.contains('\\') {
        return Err(bad("holds a backslash", "write `/` between folders"));
    }
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err(bad("holds a blank or a control character", relative));
    }
    for part in text.split('/') {
        if part == ".." {
            return Err(bad("leads out of the folder", relative));
        }
        if is_hidden(part) {
            return Err(bad(
                "names that begin with a dot are not served",
                "give the file another name",
            ));
        }
        if part.is_empty() {
            return Err(bad("a part of the path is empty", relative));
        }
    }
    Ok(text.to_owned())
}

/// Whether a text is a whole URL.
pub(crate) fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn url(text: &str) -> Result<String, Bad> {
    let bad = |label: &str, help: &str| {
        Bad::new("bad-url", format!("`{text}` is no usable URL"), label).help(help)
    };
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    if !matches!(scheme, "http" | "https" | "tftp" | "ftp" | "nfs") {
        return Err(bad(
            "firmware and iPXE do not know this scheme",
            "use http, https or tftp",
        ));
    }
    if rest.split('/').next().unwrap_or_default().is_empty() {
        return Err(bad(
            "the server is missing",
            "write such as \"http://boot.example/loader.efi\"",
        ));
    }
    if text.chars().any(|c| c.is_control() || c == ' ') {
        return Err(bad("holds a blank", "write %20 in its place"));
    }
    Ok(text.to_owned())
}

/// A name of a network interface (Linux: at most 15 bytes, no `/`, no white space).
pub(crate) fn interface(text: &str) -> Result<String, Bad> {
    let bad = |label: &str| {
        Bad::new(
            "bad-value",
            format!("`{text}` is no name of an interface"),
            label,
        )
        .help("`ip link` lists the interfaces of this machine")
    };
    if text.is_empty() {
        Err(bad("empty"))
    } else if text.len() > 15 {
        Err(bad("longer than 15 characters"))
    } else if matches!(text, "." | "..")
        || text
            .chars()
            .any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
    {
        Err(bad("a character that no interface has in its name"))
    } else {
        Ok(text.to_owned())
    }
}

/// A path of a file or folder.
pub(crate) fn path(text: &str) -> Result<String, Bad> {
    if text.is_empty() || text.contains('\0') {
        return Err(
            Bad::new("bad-path", "the path is empty", "empty").help("name a file or folder")
        );
    }
    Ok(text.to_owned())
}

/// The name of an answer file, as it stands in the URL.
pub(crate) fn answer_name(text: &str) -> Result<String, Bad> {
    let bad = |label: &str| {
        Bad::new(
            "bad-name",
            format!("`{text}` is no name for an answer file"),
            label,
        )
        .help("it becomes the end of a URL: letters, digits, `-`, `_` and `.`, such as \"preseed.cfg\"")
    };
    if text.is_empty() {
        Err(bad("empty"))
    } else if text.starts_with('.') {
        Err(bad("begins with a dot"))
    } else if text.len() > 64 {
        Err(bad("longer than 64 characters"))
    } else if text
        .chars()
        .any(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
    {
        Err(bad("a character that must not stand in it"))
    } else {
        Ok(text.to_owned())
    }
}

/// A media type, as in Content-Type (RFC 9110 section 8.3.1).
pub(crate) fn content_type(text: &str) -> Result<String, Bad> {
    let shaped = text
        .split_once('/')
        .is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    if shaped && text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(Bad::new(
            "bad-value",
            format!("`{text}` is no media type"),
            "not TYPE/SUBTYPE",
        )
        .help("write such as \"text/plain\" or \"application/xml\""))
    }
}

/// A machine's UUID.
pub(crate) fn uuid(text: &str) -> Result<Uuid, Bad> {
    let bad = |label: String| {
        Bad::new("bad-value", format!("`{text}` is no usable UUID"), label)
            .help("`dmidecode -s system-uuid` shows it; iPXE shows it by `show uuid`")
    };
    let uuid: Uuid = text.parse().map_err(bad)?;
    if uuid.is_placeholder() {
        return Err(bad("firmware that has no UUID shows this one".to_owned()));
    }
    Ok(uuid)
}

/// A text that must say something, on one line.
pub(crate) fn line(text: &str) -> Result<String, Bad> {
    if text.trim().is_empty() {
        return Err(Bad::new("bad-value", "the text is empty", "empty").help("leave the key out"));
    }
    if text.chars().any(char::is_control) {
        return Err(Bad::new(
            "bad-value",
            "the text must be one line",
            "holds a line break or a control character",
        ));
    }
    Ok(text.to_owned())
}

/// The name of an account.
pub(crate) fn account(text: &str) -> Result<String, Bad> {
    let usable = !text.is_empty()
        && !text.starts_with('-')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '$'));
    if usable {
        Ok(text.to_owned())
    } else {
        Err(Bad::new(
            "bad-value",
            format!("`{text}` is no name of an account"),
            "not a user name",
        )
        .help("name an account of this machine, such as \"bootwright\""))
    }
}

/// An architecture.
pub(crate) fn arch(text: &str) -> Result<Architecture, Bad> {
    text.parse().map_err(|_| {
        let bad = Bad::new(
            "unknown-arch",
            format!("`{text}` is no architecture"),
            "unknown architecture",
        );
        let alias = match text.to_lowercase().as_str() {
            "amd64" | "x64" | "x86-64" => Some(Architecture::X86_64),
            "x86" | "i486" | "i586" | "i686" | "ia32" => Some(Architecture::I386),
            "arm64" => Some(Architecture::Aarch64),
            "arm32" | "armhf" | "armv7" | "armv7l" => Some(Architecture::Arm),
            _ => None,
        };
        let names = Architecture::ALL.map(Architecture::as_str);
        match alias
            .map(Architecture::as_str)
            .or_else(|| suggest::nearest(text, names))
        {
            Some(nearest) => bad
                .help(format!("did you mean \"{nearest}\"?"))
                .meant(nearest),
            None => bad.help(format!("write {}", super::table::list_words(names, "or"))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_machines() {
        assert!(machine_address("10.0.0.1").is_ok());
        for bad in [
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "10.0.0.01",
            "10.0.0",
            "::1",
            "10.0.0.1/24",
            "",
        ] {
            let error = machine_address(bad).unwrap_err();
            assert!(error.help.is_some(), "{bad}");
        }
        assert_eq!(
            address("10.0.0.1/24").unwrap_err().help.as_deref(),
            Some("write only the address, \"10.0.0.1\"")
        );
    }

    #[test]
    fn networks_have_no_host_bits() {
        assert!(network("10.99.0.0/24").is_ok());
        assert!(network("10.0.0.8/31").is_ok());
        assert!(network("127.0.0.0/8").is_ok());
        for (bad, word) in [
            ("10.99.0.2/24", "10.99.0.0/24"),
            ("10.99.0.0/255.255.255.0", "10.99.0.0/24"),
            ("010.99.0.0/24", "10.99.0.0/24"),
            ("10.99.0.0", "prefix length"),
            ("0.0.0.0/0", "prefix length"),
            ("224.0.0.0/4", "prefix length"),
        ] {
            let error = network(bad).unwrap_err();
            assert!(error.help.unwrap().contains(word), "{bad}");
        }
    }

    #[test]
    fn macs_that_no_card_has() {
        assert!(mac("52-54-00-47-86-8E").is_ok());
        for bad in [
            "00:00:00:00:00:00",
            "ff:ff:ff:ff:ff:ff",
            "01:00:5e:00:00:01",
            "52:54:00",
        ] {
            assert!(mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size("2 GB"), Ok(2_000_000_000));
        for bad in ["", "256", "MiB", "1XB", "99999999999999999999TiB", "-1MiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_stay_under_boot_assets() {
        assert!(boot_file("debian/12/{{ arch }}/linux").is_err(), "blanks");
        for good in ["debian/12/linux", "rocky/9/.treeinfo", ".discinfo"] {
            assert!(boot_file(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/a",
            "a/../b",
            "a//b",
            "a/.b",
            "a\\b",
            "gopher://x/y",
            "http:///x",
        ] {
            assert!(boot_file(bad).is_err(), "{bad}");
        }
        assert!(loader(&"x".repeat(MAX_PATH)).is_ok());
        assert_eq!(
            loader(&"x".repeat(MAX_PATH + 1)).unwrap_err().code,
            "too-long"
        );
        assert!(loader(&format!("http://a/{}", "x".repeat(MAX_URL - 9))).is_ok());
    }

    #[test]
    fn domains_and_full_names() {
        assert!(domain("lab.example").is_ok());
        assert!(domain("lan").is_ok());
        for bad in ["", ".lab", "lab.", "a..b", "-a.b", "a b", "é.example"] {
            assert!(domain(bad).is_err(), "{bad}");
        }
        assert!(fqdn("web01.lab.example").is_ok());
        assert!(fqdn("web01").is_err());
        assert!(fqdn("web_01.lab").is_err());
    }
}
