//! The kernel's neighbour table: which hardware address an address on the link has.

use std::io;
use std::net::Ipv4Addr;

use crate::base::HardwareAddr;

/// The table, as the kernel shows it to this thread's network namespace (proc(5)).
const TABLE: &str = "/proc/thread-self/net/arp";

/// `ATF_COM`: the entry is complete (linux/if_arp.h).
const COMPLETE: u32 = 2;

/// The hardware address that the neighbour table has for an address on the link of an interface.
///
/// Whoever speaks to this machine stands there: it was asked for its hardware address, or asked for this
/// machine's. Reading it asks nobody.
pub fn neighbour(address: Ipv4Addr, interface: &str) -> io::Result<Option<HardwareAddr>> {
    Ok(find(&std::fs::read_to_string(TABLE)?, address, interface))
}

/// The columns: address, hardware type, flags, hardware address, mask, device.
fn find(table: &str, address: Ipv4Addr, interface: &str) -> Option<HardwareAddr> {
    let number = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        if columns.next()?.parse() != Ok(address) {
            return None;
        }
        let _hardware_type = columns.next()?;
        let flags = number(columns.next()?)?;
        let mac = columns.next()?;
        let _mask = columns.next()?;
        let here = columns.next()? == interface && flags & COMPLETE != 0;
        mac.parse().ok().filter(|_| here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
10.99.0.50       0x1         0x2         52:54:00:47:86:8e     *        br0
10.99.0.51       0x1         0x0         00:00:00:00:00:00     *        br0
10.99.0.52       0x1         0x6         52:54:00:00:00:52     *        br0
10.99.0.50       0x1         0x2         52:54:00:00:00:99     *        eth1
rubbish
";

    #[test]
    fn reads_complete_entries_of_the_link() {
        let find = |ip: &str, iface| find(SHOWN, ip.parse().unwrap(), iface);
        let mac = |text: &str| Some(text.parse::<HardwareAddr>().unwrap());
        assert_eq!(find("10.99.0.50", "br0"), mac("52:54:00:47:86:8e"));
        assert_eq!(find("10.99.0.50", "eth1"), mac("52:54:00:00:00:99"));
        // Nobody has answered for it.
        assert_eq!(find("10.99.0.51", "br0"), None);
        // Entered by hand.
        assert_eq!(find("10.99.0.52", "br0"), mac("52:54:00:00:00:52"));
        assert_eq!(find("10.99.0.52", "eth1"), None);
        assert_eq!(find("10.99.0.5", "br0"), None);
    }

    #[test]
    fn the_kernel_shows_its_table() {
        assert_eq!(neighbour(Ipv4Addr::LOCALHOST, "lo").unwrap(), None);
    }
}
