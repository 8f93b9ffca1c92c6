//! The lines that have another DHCP server send its machines here, in that server's own language, with this server's
//! addresses and every architecture filled in.
//!
//! All say the same: iPXE (by its user class) gets the URL of the script that leads any machine to its own; firmware
//! gets its loader, by its number of option 93 or its vendor class; HTTP Boot the loader's URL. Installers and
//! systems get nothing. What a server cannot tell apart is said in the comments of its lines.
//!
//! **Invariant:** nothing here names a file of another architecture to a machine whose architecture the server can see.

mod appliances;
mod servers;

use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;

use super::{Exported, Left, Text};
use crate::base::{Firmware, SubnetName};
use crate::config::Snapshot;
use crate::config::snapshot::Subnet;
use crate::render::base_url;
use crate::render::paths::encode;

/// Another DHCP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    /// EdgeOS of Ubiquiti, and VyOS up to 1.3.
    EdgeOs,
    /// RouterOS 7 of MikroTik.
    Mikrotik,
    /// OPNsense.
    OpnSense,
    /// Windows Server, in PowerShell.
    MsDhcp,
    /// dnsmasq.
    Dnsmasq,
    /// Kea.
    Kea,
    /// ISC dhcpd.
    Dhcpd,
}

impl Router {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 7] = [
        Self::EdgeOs,
        Self::Mikrotik,
        Self::OpnSense,
        Self::MsDhcp,
        Self::Dnsmasq,
        Self::Kea,
        Self::Dhcpd,
    ];

    /// As it is typed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdgeOs => "edgeos",
            Self::Mikrotik => "mikrotik",
            Self::OpnSense => "opnsense",
            Self::MsDhcp => "msdhcp",
            Self::Dnsmasq => "dnsmasq",
            Self::Kea => "kea",
            Self::Dhcpd => "dhcpd",
        }
    }
}

impl fmt::Display for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Router {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|router| router.as_str() == text)
            .ok_or_else(|| {
                let names = Self::ALL.map(Self::as_str).join(", ");
                format!("`{text}` is no DHCP server that lines are written for; there are {names}")
            })
    }
}

/// Why there are no lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// No such subnet.
    #[error("there is no subnet {asked}; there are {known}")]
    NoSubnet {
        /// What was asked for.
        asked: SubnetName,
        /// Those that there are.
        known: String,
    },
    /// None at all.
    #[error("there is no [[subnet]] in the configuration")]
    NoSubnets,
    /// Subnets that see this server by different addresses.
    #[error(
        "machines reach this server by different addresses ({0}): name one subnet by --subnet, for the server of that one"
    )]
    Several(String),
}

/// What the lines say.
struct Lines<'a> {
    /// The subnets that they are for.
    subnets: Vec<&'a Subnet>,
    /// This server.
    server: Ipv4Addr,
    /// The URL of the script for any iPXE.
    script: String,
    /// What firmware loads by TFTP.
    pxe: Vec<Loader>,
    /// What HTTP Boot loads.
    http: Vec<Loader>,
}

/// A loader for some numbers of option 93.
struct Loader {
    firmware: Firmware,
    codes: &'static [u16],
    /// A path for TFTP, a URL for HTTP Boot.
    file: String,
}

impl Loader {
    /// A word for names in configurations.
    fn word(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.firmware)
    }
}

/// The numbers of option 93 by which PXE firmware tells its architecture: both for x64, RFC 4578 and its erratum.
const fn pxe_codes(firmware: Firmware) -> &'static [u16] {
    match firmware {
        Firmware::Bios => &[0],
        Firmware::UefiX64 => &[7, 9],
        Firmware::UefiIa32 => &[6],
        Firmware::UefiArm32 => &[10],
        Firmware::UefiArm64 => &[11],
    }
}

const fn http_codes(firmware: Firmware) -> &'static [u16] {
    match firmware {
        Firmware::Bios => &[],
        Firmware::UefiX64 => &[16],
        Firmware::UefiIa32 => &[15],
        Firmware::UefiArm32 => &[18],
        Firmware::UefiArm64 => &[19],
    }
}

/// Writes the lines for a server, for one subnet, else for those in which another server gives the addresses, else for
/// all.
pub fn router_config(
    snapshot: &Snapshot,
    router: Router,
    subnet: Option<&SubnetName>,
) -> Result<Exported, RouterError> {
    let subnets = subnets(snapshot, subnet)?;
    let mut servers: Vec<Ipv4Addr> = subnets.iter().map(|subnet| address(subnet)).collect();
    servers.sort_unstable();
    servers.dedup();
    let [server] = servers.as_slice() else {
        let told: Vec<String> = subnets
            .iter()
            .map(|subnet| format!("{} in {}", address(subnet), subnet.name))
            .collect();
        return Err(if told.is_empty() {
            RouterError::NoSubnets
        } else {
            RouterError::Several(told.join(", "))
        });
    };
    let mut left = Vec::new();
    let lines = Lines::new(snapshot, subnets, *server, &mut left);
    let text = match router {
        Router::Dnsmasq => servers::dnsmasq(&lines),
        Router::Dhcpd => servers::dhcpd(&lines),
        Router::Kea => servers::kea(&lines),
        Router::EdgeOs => appliances::edgeos(&lines),
        Router::Mikrotik => appliances::mikrotik(&lines),
        Router::OpnSense => appliances::opnsense(&lines),
        Router::MsDhcp => appliances::msdhcp(&lines),
    };
    let name = router.as_str().to_owned();
    Ok(Exported {
        texts: vec![Text { name, text }],
        left,
    })
}

fn address(subnet: &Subnet) -> Ipv4Addr {
    subnet.server.unwrap_or(subnet.example_server)
}

fn subnets<'a>(
    snapshot: &'a Snapshot,
    asked: Option<&SubnetName>,
) -> Result<Vec<&'a Subnet>, RouterError> {
    let all = &snapshot.subnets;
    if let Some(asked) = asked {
        let found = all
            .iter()
            .find(|subnet| subnet.name == *asked || subnet.network.to_string() == asked.as_str());
        let known = || {
            let names: Vec<&str> = all.iter().map(|subnet| subnet.name.as_str()).collect();
            names.join(", ")
        };
        return found
            .map(|subnet| vec![subnet])
            .ok_or_else(|| RouterError::NoSubnet {
                asked: asked.clone(),
                known: known(),
            });
    }
    let elsewhere: Vec<&Subnet> = all
        .iter()
        .filter(|subnet| !subnet.mode.gives_addresses())
        .collect();
    Ok(if elsewhere.is_empty() {
        all.iter().collect()
    } else {
        elsewhere
    })
}

impl<'a> Lines<'a> {
    fn new(
        snapshot: &Snapshot,
        subnets: Vec<&'a Subnet>,
        server: Ipv4Addr,
        left: &mut Vec<Left>,
    ) -> Self {
        let base = base_url(server, snapshot.server.http_port);
        let secure = subnets
            .iter()
            .any(|subnet| subnet.secure_boot == Some(true));
        let (mut pxe, mut http) = (Vec::new(), Vec::new());
        for firmware in Firmware::ALL {
            let signed = snapshot.server.secure.get(&firmware).filter(|_| secure);
            let Some(file) = signed.or_else(|| snapshot.server.loaders.get(&firmware)) else {
                continue;
            };
            let is_url = file.contains("://");
            // Nothing else than a path can stand in a boot file's name by TFTP.
            let is_odd = file.contains(|c: char| {
                c.is_control() || matches!(c, '"' | '\'' | '\\' | ',' | '$' | '`')
            });
            if is_odd {
                left.push(Left {
                    what: format!("loader for {firmware}"),
                    why: format!(
                        "`{}` cannot be written in every server's language",
                        file.escape_debug()
                    ),
                });
                continue;
            }
            if is_url {
                left.push(Left {
                    what: format!("loader for {firmware}"),
                    why: format!("{file} is no path of this server's TFTP: PXE firmware of this kind is not told it"),
                });
            } else {
                pxe.push(Loader {
                    firmware,
                    codes: pxe_codes(firmware),
                    file: file.trim_start_matches('/').to_owned(),
                });
            }
            let url = if is_url {
                Some(file.clone()).filter(|file| file.starts_with("http"))
            } else {
                let path = encode(file.trim_start_matches('/'));
                Some(format!("{base}/assets/{path}"))
            };
            if let Some(url) = url.filter(|_| firmware.is_uefi()) {
                http.push(Loader {
                    firmware,
                    codes: http_codes(firmware),
                    file: url,
                });
            }
        }
        if !snapshot.server.loaders_by_code.is_empty() {
            left.push(Left {
                what: "[boot] loaders".to_owned(),
                why: "those for single numbers of option 93 are not written: add lines for them"
                    .to_owned(),
            });
        }
        let hosts = snapshot
            .hosts()
            .iter()
            .filter(|host| host.loader.is_some() || host.secure_boot == Some(true))
            .count();
        if hosts > 0 {
            left.push(Left {
                what: format!("{hosts} {}", if hosts == 1 { "host" } else { "hosts" }),
                why: "a loader of their own (`loader`, `secure_boot`) is not told by another server: mode = \"proxy\" lets this one tell it".to_owned(),
            });
        }
        Self {
            subnets,
            server,
            script: format!("{base}/boot/boot.ipxe"),
            pxe,
            http,
        }
    }

    /// The comment that every text begins with.
    fn head(&self, sign: &str, place: &[&str]) -> String {
        let names: Vec<&str> = self
            .subnets
            .iter()
            .map(|subnet| subnet.name.as_str())
            .collect();
        let mut text = format!(
            "{sign} Sends machines that boot from the network to {}: {}.\n{sign} Written by `bootwright router-config`; what it says holds for {} {}.\n",
            self.server,
            self.script,
            if names.len() == 1 {
                "the subnet"
            } else {
                "the subnets"
            },
            names.join(", ")
        );
        for line in place {
            let _ = writeln!(text, "{sign} {line}");
        }
        text
    }

    /// The loader of BIOS machines, which is the usual one where a server knows only one.
    fn bios(&self) -> Option<&Loader> {
        self.pxe
            .iter()
            .find(|loader| loader.firmware == Firmware::Bios)
    }

    fn networks(&self) -> Vec<Ipv4Net> {
        self.subnets.iter().map(|subnet| subnet.network).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ClientSystemArchitecture;

    #[test]
    fn numbers_are_those_that_this_server_knows() {
        for firmware in Firmware::ALL {
            for code in pxe_codes(firmware) {
                let code = ClientSystemArchitecture(*code);
                assert_eq!((code.firmware(), code.is_http()), (Some(firmware), false));
            }
            for code in http_codes(firmware) {
                let code = ClientSystemArchitecture(*code);
                assert_eq!((code.firmware(), code.is_http()), (Some(firmware), true));
            }
        }
        for router in Router::ALL {
            assert_eq!(router.as_str().parse(), Ok(router));
        }
    }
}
