//! The network interfaces of this machine and their IPv4 addresses, read again each second.
//!
//! **Invariant:** a [`LinkTable`] is one consistent reading and never changes; whoever follows them
//! is woken only when something is different.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{LinkAddr, SockaddrStorage};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::base::HardwareAddr;
use crate::base::mac::ETHERNET;

/// How often the interfaces are read.
const INTERVAL: Duration = Duration::from_secs(1);

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: Arc<str>,
    /// Its index; another one when it was taken away and put back.
    pub index: u32,
    /// Whether it is switched on (`IFF_UP`).
    pub up: bool,
    /// Its own hardware address; `None` when it has none.
    pub hardware: Option<HardwareAddr>,
    /// Its IPv4 addresses, the first one first.
    pub addresses: Arc<[Ipv4Net]>,
    /// Its IPv6 address on the link; `None` without IPv6.
    pub link_local: Option<Ipv6Addr>,
    /// The address for packet sockets.
    pub link: Option<LinkAddr>,
}

impl Interface {
    /// The six octets of its hardware address, when it is an Ethernet.
    pub fn ethernet(&self) -> Option<[u8; 6]> {
        self.hardware.and_then(|address| address.octets())
    }

    /// Whether one of its addresses is this one.
    pub fn has(&self, ip: Ipv4Addr) -> bool {
        self.addresses.iter().any(|net| net.addr() == ip)
    }

    /// The VLAN that it is, or that is the one below it where it is a bridge over one; `None` elsewhere, and where the
    /// name of the interface does not tell.
    pub fn vlan(&self) -> Option<u16> {
        vlan_of(Path::new("/sys/class/net"), &self.name)
    }

    /// The largest IP datagram that it sends, in bytes, where the kernel tells.
    pub fn mtu(&self) -> Option<u32> {
        std::fs::read_to_string(format!("/sys/class/net/{}/mtu", self.name))
            .ok()?
            .trim()
            .parse()
            .ok()
    }
}

/// All interfaces at one moment, by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkTable(Vec<Interface>);

impl LinkTable {
    /// Reads them from the kernel.
    pub fn read() -> io::Result<Self> {
        let mut found: Vec<Interface> = Vec::new();
        // The packet addresses come first: they alone tell index and hardware type.
        let entries: Vec<_> = nix::ifaddrs::getifaddrs()?.collect();
        for entry in &entries {
            let Some(link) = entry
                .address
                .as_ref()
                .and_then(SockaddrStorage::as_link_addr)
            else {
                continue;
            };
            found.push(Interface {
                name: entry.interface_name.as_str().into(),
                index: u32::try_from(link.ifindex()).unwrap_or_default(),
                up: entry.flags.contains(InterfaceFlags::IFF_UP),
                hardware: hardware_address(link),
                addresses: Arc::default(),
                link_local: None,
                link: Some(*link),
            });
        }
        for interface in &mut found {
            let mut addresses: Vec<Ipv4Net> = Vec::new();
            for entry in &entries {
                // An alias such as `eth0:1` is an address of `eth0`.
                let device = entry.interface_name.split(':').next().unwrap_or_default();
                if device != &*interface.name {
                    continue;
                }
                if let Some(address) = ipv6(entry.address.as_ref())
                    && interface.link_local.is_none()
                    && address.is_unicast_link_local()
                {
                    interface.link_local = Some(address);
                }
                let Some(address) = ipv4(entry.address.as_ref()) else {
                    continue;
                };
                let prefix = ipv4(entry.netmask.as_ref())
                    .and_then(|mask| ipnet::ipv4_mask_to_prefix(mask).ok())
                    .unwrap_or(32);
                if let Ok(net) = Ipv4Net::new(address, prefix)
                    && !addresses.contains(&net)
                {
                    addresses.push(net);
                }
            }
            interface.addresses = addresses.into();
        }
        found.sort_by_key(|interface| interface.index);
        Ok(Self(found))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Interface> {
        self.0.iter()
    }

    /// The interface of this name.
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.0.iter().find(|interface| &*interface.name == name)
    }

    /// The interface of this index.
    pub fn by_index(&self, index: u32) -> Option<&Interface> {
        self.0.iter().find(|interface| interface.index == index)
    }

    /// The interface that has this address.
    pub fn owner_of(&self, ip: Ipv4Addr) -> Option<&Interface> {
        self.0.iter().find(|interface| interface.has(ip))
    }
}

impl FromIterator<Interface> for LinkTable {
    fn from_iter<I: IntoIterator<Item = Interface>>(interfaces: I) -> Self {
        Self(interfaces.into_iter().collect())
    }
}

/// The number at the end of a VLAN interface's name (`eth0.12`, `vlan12`): whoever is not root is not told it
/// otherwise but by netlink.
fn vlan_of(interfaces: &Path, name: &str) -> Option<u16> {
    let is_vlan = |name: &str| {
        let told = std::fs::read_to_string(interfaces.join(name).join("uevent"));
        told.is_ok_and(|told| told.lines().any(|line| line == "DEVTYPE=vlan"))
    };
    let number = |name: &str| {
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let number = name.get(name.len() - digits..)?.parse().ok()?;
        (1..4_095).contains(&number).then_some(number)
    };
    if is_vlan(name) {
        return number(name);
    }
    let below = std::fs::read_dir(interfaces.join(name)).ok()?;
    let mut vlans = below.flatten().filter_map(|entry| {
        let entry = entry.file_name();
        let below = entry.to_str()?.strip_prefix("lower_")?;
        is_vlan(below).then(|| number(below))
    });
    // A bridge over several belongs to none.
    let only = vlans.next()?;
    vlans.next().is_none().then_some(only).flatten()
}

fn ipv4(address: Option<&SockaddrStorage>) -> Option<Ipv4Addr> {
    Some(address?.as_sockaddr_in()?.ip())
}

fn ipv6(address: Option<&SockaddrStorage>) -> Option<Ipv6Addr> {
    Some(address?.as_sockaddr_in6()?.ip())
}

fn hardware_address(link: &LinkAddr) -> Option<HardwareAddr> {
    // `LinkAddr` shows six octets; longer addresses (InfiniBand) are no Ethernet and are not used.
    let octets = link.addr()?;
    (link.hatype() == u16::from(ETHERNET) && link.halen() == octets.len())
        .then(|| HardwareAddr::ethernet(octets))
}

/// The interfaces as they are now, and word of their changes; cheap to clone.
#[derive(Debug, Clone)]
pub struct Links {
    table: Arc<watch::Sender<Arc<LinkTable>>>,
}

impl Links {
    /// Reads the interfaces of this machine.
    pub fn read() -> io::Result<Self> {
        LinkTable::read().map(Self::fixed)
    }

    /// These interfaces, until [`Links::refresh`] is called.
    pub fn fixed(table: LinkTable) -> Self {
        Self {
            table: Arc::new(watch::channel(Arc::new(table)).0),
        }
    }

    /// The interfaces at the last reading.
    pub fn current(&self) -> Arc<LinkTable> {
        Arc::clone(&self.table.borrow())
    }

    /// The interface of this name.
    pub fn for_interface(&self, name: &str) -> Option<Interface> {
        self.table.borrow().interface(name).cloned()
    }

    /// The interface on whose link this address is.
    pub fn on_link(&self, ip: Ipv4Addr) -> Option<Interface> {
        self.table
            .borrow()
            .iter()
            .find(|interface| interface.addresses.iter().any(|own| own.contains(&ip)))
            .cloned()
    }

    /// The interface that has this address.
    pub fn owner_of(&self, ip: Ipv4Addr) -> Option<Interface> {
        self.table.borrow().owner_of(ip).cloned()
    }

    /// Wakes whenever something is different.
    pub fn watch(&self) -> watch::Receiver<Arc<LinkTable>> {
        self.table.subscribe()
    }

    /// Reads them again; whether something is different.
    pub fn refresh(&self) -> io::Result<bool> {
        let read = LinkTable::read()?;
        Ok(self.table.send_if_modified(|table| {
            let changed = **table != read;
            if changed {
                *table = Arc::new(read);
            }
            changed
        }))
    }

    /// Keeps reading until cancelled. A reading that fails is tried again: the last one stays.
    pub async fn follow(self, cancel: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {
                    if let Err(error) = self.refresh() {
                        tracing::debug!(%error, "the interfaces could not be read");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_there() {
        let links = Links::read().unwrap();
        let lo = links.for_interface("lo").expect("an interface `lo`");
        assert!(lo.index > 0);
        assert_eq!(lo.ethernet(), None);
        assert!(lo.link.is_some());
        if lo.up {
            assert!(lo.has(Ipv4Addr::LOCALHOST));
            assert_eq!(
                links.owner_of(Ipv4Addr::LOCALHOST).map(|i| i.index),
                Some(lo.index)
            );
            assert_eq!(lo.addresses[0].prefix_len(), 8);
        }
    }

    #[test]
    fn the_vlan_of_an_interface_and_of_a_bridge_over_one() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, is_vlan: bool, below: &[&str]| {
            let interface = folder.path().join(name);
            std::fs::create_dir_all(&interface).unwrap();
            let told = if is_vlan { "DEVTYPE=vlan\n" } else { "" };
            std::fs::write(
                interface.join("uevent"),
                format!("INTERFACE={name}\n{told}"),
            )
            .unwrap();
            for below in below {
                std::fs::create_dir_all(interface.join(format!("lower_{below}"))).unwrap();
            }
        };
        put("eth0.12", true, &["eth0"]);
        put("vlan7", true, &["eth0"]);
        put("eth0.9999", true, &[]);
        put("named", true, &[]);
        put("eth0", false, &[]);
        put("br12", false, &["eth0.12", "tap0"]);
        put("br0", false, &["eth0.12", "vlan7"]);
        let vlan = |name| vlan_of(folder.path(), name);
        assert_eq!((vlan("eth0.12"), vlan("vlan7")), (Some(12), Some(7)));
        assert_eq!((vlan("br12"), vlan("br0")), (Some(12), None));
        for none in ["eth0", "named", "eth0.9999", "gone", "tap0"] {
            assert_eq!(vlan(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn only_a_change_wakes() {
        let links = Links::fixed(LinkTable::default());
        let mut watch = links.watch();
        assert!(links.refresh().unwrap());
        assert!(watch.has_changed().unwrap());
        watch.mark_unchanged();
        assert!(!links.refresh().unwrap());
        assert!(!watch.has_changed().unwrap());
    }
}
