//! Whether an address is in use, asked before it is first offered: by ARP on the own link, by ICMP echo
//! behind a relay, where no ARP gets to.
//!
//! What was found free stays so for [`CLEAN`]; as few as [`POOL`] and [`RESERVED`] questions are under way
//! at once, so that neither a flood nor a whole site switched on together takes more than a few tasks and
//! sockets.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::holder::holder_of;
use crate::base::HardwareAddr;
use crate::host::links::Interface;
use crate::wire::icmp::{echo_request, is_echo_reply};

/// How long an address that nobody answered for is taken for free.
const CLEAN: Duration = Duration::from_secs(600);

/// Addresses remembered.
const MAX_CLEAN: usize = 65_536;

/// Questions about addresses of pools under way at once. Each takes 300 ms when nobody answers, while
/// its machine waits: as many new machines as this get their offers three times a second.
const POOL: usize = 64;

/// Questions about reserved addresses under way at once; nobody waits for them, and what finds no room is
/// asked at the machine's next start.
const RESERVED: usize = 16;

/// Leases being written down at once: of what may wait on one interface (256 datagrams), machines without a
/// reservation never take all.
const WRITING: usize = 64;

/// How long an answer from behind a relay is waited for.
const ECHO_WAIT: Duration = Duration::from_millis(300);

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nobody but the machine itself answers, or nobody could be asked.
    Free,
    /// Somebody answers: by ARP its hardware address is known.
    Taken(Option<HardwareAddr>),
    /// Too many questions are under way.
    Busy,
}

/// Asks, and remembers.
#[derive(Debug)]
pub(super) struct Prober {
    pool: Arc<Semaphore>,
    reserved: Arc<Semaphore>,
    /// For machines whose lease is being written down.
    pub(super) writing: Semaphore,
    clean: Mutex<HashMap<Ipv4Addr, Instant>>,
}

impl Default for Prober {
    fn default() -> Self {
        Self {
            pool: Arc::new(Semaphore::new(POOL)),
            reserved: Arc::new(Semaphore::new(RESERVED)),
            writing: Semaphore::new(WRITING),
            clean: Mutex::default(),
        }
    }
}

impl Prober {
    /// Room for a question about a reserved address that was not asked lately.
    pub(super) fn room_for_reserved(&self, ip: Ipv4Addr) -> Option<OwnedSemaphorePermit> {
        // Cheapest first: this is in the way of each DISCOVER of a host.
        let permit = Arc::clone(&self.reserved).try_acquire_owned().ok()?;
        self.begin(ip).then_some(permit)
    }

    /// Asks about an address of a pool; at once when it was asked lately.
    pub(super) async fn ask_for_pool(
        &self,
        interface: &Interface,
        ip: Ipv4Addr,
        asking: HardwareAddr,
        is_relayed: bool,
    ) -> Found {
        let lately = {
            let clean = self.clean.lock().unwrap_or_else(PoisonError::into_inner);
            clean.get(&ip).is_some_and(|at| at.elapsed() < CLEAN)
        };
        if lately {
            return Found::Free;
        }
        let Ok(_permit) = self.pool.try_acquire() else {
            return Found::Busy;
        };
        let found = ask(interface, ip, asking, is_relayed).await;
        if found == Found::Free {
            self.begin(ip);
        }
        found
    }

    /// Notes that an address was asked for now; whether it was not lately.
    fn begin(&self, ip: Ipv4Addr) -> bool {
        let mut clean = self.clean.lock().unwrap_or_else(PoisonError::into_inner);
        if clean.get(&ip).is_some_and(|at| at.elapsed() < CLEAN) {
            return false;
        }
        if clean.len() >= MAX_CLEAN {
            clean.clear();
        }
        clean.insert(ip, Instant::now());
        true
    }

    /// Forgets that an address was free.
    pub(super) fn forget(&self, ip: Ipv4Addr) {
        let mut clean = self.clean.lock().unwrap_or_else(PoisonError::into_inner);
        clean.remove(&ip);
    }
}

/// Asks who has an address. The machine that it is for may have it.
pub(super) async fn ask(
    interface: &Interface,
    ip: Ipv4Addr,
    asking: HardwareAddr,
    is_relayed: bool,
) -> Found {
    if is_relayed {
        return match echo(ip).await {
            Ok(true) => Found::Taken(None),
            Ok(false) => Found::Free,
            Err(error) => {
                tracing::debug!(%ip, %error, "ICMP echo");
                Found::Free
            }
        };
    }
    match holder_of(interface, ip, asking).await {
        Ok(Some(mac)) => Found::Taken(Some(mac)),
        Ok(None) => Found::Free,
        Err(error) => {
            tracing::debug!(%ip, %error, "ARP probe");
            Found::Free
        }
    }
}

/// Whether an ICMP echo (RFC 792) is answered.
async fn echo(ip: Ipv4Addr) -> io::Result<bool> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
    socket.set_nonblocking(true)?;
    // From this address only.
    socket.connect(&SocketAddrV4::new(ip, 0).into())?;
    // Not of UDP, but sent to and received from like one.
    let socket = UdpSocket::from_std(socket.into())?;
    let identifier = u16::try_from(std::process::id() & 0xffff).unwrap_or_default();
    socket.send(&echo_request(identifier, 1)).await?;
    let answered = async {
        let mut packet = [0; 576];
        loop {
            let length = socket.recv(&mut packet).await?;
            if is_echo_reply(packet.get(..length).unwrap_or_default(), identifier) {
                return Ok::<_, io::Error>(());
            }
        }
    };
    match tokio::time::timeout(ECHO_WAIT, answered).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_lately_is_not_asked_again() {
        let prober = Prober::default();
        let ip = Ipv4Addr::new(10, 99, 0, 11);
        let first = prober.room_for_reserved(ip);
        assert!(first.is_some());
        assert!(prober.room_for_reserved(ip).is_none());
        prober.forget(ip);
        assert!(prober.room_for_reserved(ip).is_some());
        let held: Vec<_> = (0..RESERVED)
            .map_while(|n| {
                let last = u8::try_from(20 + n).unwrap();
                prober.room_for_reserved(Ipv4Addr::new(10, 99, 0, last))
            })
            .collect();
        assert_eq!(held.len(), RESERVED - 1, "{first:?} is held");
        for n in 0..70_000_u32 {
            prober.begin(Ipv4Addr::from(0x0a00_0000 + n));
        }
        assert!(prober.clean.lock().unwrap().len() <= MAX_CLEAN);
    }
}
