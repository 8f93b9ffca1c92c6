//! From which address replies to a relay leave.
//!
//! **Invariant:** nothing is remembered for longer than [`Routes::FRESH`], and the map does not grow beyond its bound.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::FastMap;

/// From which address the kernel would answer a relay; remembered for a second, because a rack behind
/// one relay asks a thousand times.
#[derive(Debug, Default)]
pub(super) struct Routes(Mutex<FastMap<Ipv4Addr, (Instant, Option<Ipv4Addr>)>>);

impl Routes {
    const FRESH: Duration = Duration::from_secs(1);
    const MAX: usize = 1_024;

    pub(super) fn source_for(&self, relay: Ipv4Addr) -> Option<Ipv4Addr> {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, source)) = routes.get(&relay)
            && at.elapsed() < Self::FRESH
        {
            return *source;
        }
        // `giaddr` is what anybody writes into a packet.
        if routes.len() >= Self::MAX {
            routes.clear();
        }
        let source = ask_kernel(relay);
        routes.insert(relay, (Instant::now(), source));
        source
    }
}

/// Connecting a UDP socket sends nothing: it makes the kernel choose a route and a source address.
fn ask_kernel(relay: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((relay, 67)).ok()?;
    match socket.local_addr().ok()? {
        std::net::SocketAddr::V4(address) => Some(*address.ip()).filter(|ip| !ip.is_unspecified()),
        std::net::SocketAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_its_source_address() {
        let routes = Routes::default();
        let loopback = Ipv4Addr::new(127, 0, 0, 7);
        assert_eq!(routes.source_for(loopback), Some(Ipv4Addr::LOCALHOST));
        for n in 0..3_000_u16 {
            let [high, low] = n.to_be_bytes();
            routes.source_for(Ipv4Addr::new(127, 1, high, low));
        }
        assert!(routes.0.lock().unwrap().len() <= Routes::MAX);
    }
}
