//! Ranges of IPv4 addresses, as pools are written.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Addresses from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddrRange {
    first: Ipv4Addr,
    last: Ipv4Addr,
}

impl AddrRange {
    /// The first address.
    pub const fn first(&self) -> Ipv4Addr {
        self.first
    }

    /// The last address.
    pub const fn last(&self) -> Ipv4Addr {
        self.last
    }

    /// Whether the address lies in it.
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&ip)
    }
}

impl FromStr for AddrRange {
    type Err = String;

    /// Reads `10.99.0.200-10.99.0.250`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text
            .split_once('-')
            .ok_or("a range is written as FIRST-LAST, such as 10.99.0.200-10.99.0.250")?;
        let address = |text: &str| {
            text.trim()
                .parse::<Ipv4Addr>()
                .map_err(|_| format!("`{}` is no IPv4 address", text.trim()))
        };
        let (first, last) = (address(first)?, address(last)?);
        if first > last {
            return Err(format!("{first} comes after {last}"));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_contains() {
        let range: AddrRange = "10.0.0.5 - 10.0.0.9".parse().unwrap();
        assert!(range.contains(Ipv4Addr::new(10, 0, 0, 5)));
        assert!(range.contains(Ipv4Addr::new(10, 0, 0, 9)));
        assert!(!range.contains(Ipv4Addr::new(10, 0, 0, 10)));
        assert!("10.0.0.9-10.0.0.5".parse::<AddrRange>().is_err());
        assert!("10.0.0.9".parse::<AddrRange>().is_err());
    }
}
