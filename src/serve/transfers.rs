//! The transfers under way: who gets which file, how far it is, and how fast.
//!
//! **Invariant:** a transfer is listed exactly as long as its [`Listing`] lives. Counting bytes takes no lock.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::base::{HardwareAddr, HostName, Timestamp};

/// All transfers under way; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Transfers {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    running: BTreeMap<u64, Arc<Running>>,
}

/// By what a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// TFTP.
    Tftp,
    /// HTTP.
    Http,
}

/// What is known of a transfer when it begins.
#[derive(Debug, Clone)]
pub struct Begun {
    /// By what it is sent.
    pub by: By,
    /// The client's address and port.
    pub peer: SocketAddr,
    /// Its host, where it is one's.
    pub host: Option<HostName>,
    /// Its hardware address, where that is known.
    pub mac: Option<HardwareAddr>,
    /// The name that was asked for, fit to be shown.
    pub file: String,
    /// Bytes in all, where that is known.
    pub size: Option<u64>,
    /// When it began.
    pub since: Timestamp,
}

struct Running {
    begun: Begun,
    at: Instant,
    bytes: Bytes,
}

/// How many bytes have arrived.
enum Bytes {
    /// As was said last.
    Said(AtomicU64),
    /// As whoever knows it says when asked.
    Asked(Box<dyn Fn() -> u64 + Send + Sync>),
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

/// One transfer in the list; it leaves it when this is dropped.
#[derive(Debug)]
pub struct Listing {
    number: u64,
    running: Arc<Running>,
    list: Transfers,
}

/// A transfer under way, as operators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferView {
    /// By what it is sent.
    pub by: By,
    /// The client's address and port.
    pub peer: SocketAddr,
    /// Its host.
    pub host: Option<HostName>,
    /// Its hardware address.
    pub mac: Option<HardwareAddr>,
    /// What was asked for.
    pub file: String,
    /// Bytes that have arrived; by HTTP those that the system has taken to send them.
    pub bytes: u64,
    /// Bytes in all, of a part of a file those of that part; none where that is not known.
    pub size: Option<u64>,
    /// When it began.
    pub since: Timestamp,
    /// Bytes per second since it began.
    pub rate: u64,
}

impl Transfers {
    /// Lists one more, of which is told how many bytes have arrived ([`Listing::arrived`]).
    pub fn begin(&self, begun: Begun) -> Listing {
        self.list(begun, Bytes::Said(AtomicU64::new(0)))
    }

    /// Lists one more, of which is asked how many bytes have arrived.
    pub fn begin_counted(
        &self,
        begun: Begun,
        count: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Listing {
        self.list(begun, Bytes::Asked(count))
    }

    fn list(&self, begun: Begun, bytes: Bytes) -> Listing {
        let running = Arc::new(Running {
            begun,
            at: Instant::now(),
            bytes,
        });
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let number = inner.next;
        inner.next += 1;
        inner.running.insert(number, Arc::clone(&running));
        Listing {
            number,
            running,
            list: self.clone(),
        }
    }

    /// All of them, the oldest first.
    pub fn views(&self) -> Vec<TransferView> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.running.values().map(|one| one.view()).collect()
    }
}

impl Running {
    fn view(&self) -> TransferView {
        let bytes = match &self.bytes {
            Bytes::Said(bytes) => bytes.load(Ordering::Relaxed),
            Bytes::Asked(count) => count(),
        };
        let begun = self.begun.clone();
        TransferView {
            by: begun.by,
            peer: begun.peer,
            host: begun.host,
            mac: begun.mac,
            file: begun.file,
            bytes,
            size: begun.size,
            since: begun.since,
            rate: rate(bytes, self.at.elapsed()),
        }
    }
}

/// Bytes per second; what has just begun is counted as a millisecond old.
fn rate(bytes: u64, took: Duration) -> u64 {
    let millis = took.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1_000 / millis).unwrap_or(u64::MAX)
}

impl Listing {
    /// So many bytes have arrived.
    pub fn arrived(&self, bytes: u64) {
        if let Bytes::Said(said) = &self.running.bytes {
            said.store(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let inner = &self.list.inner;
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.running.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(port: u16) -> Begun {
        Begun {
            by: By::Tftp,
            peer: ([10, 0, 0, 1], port).into(),
            host: None,
            mac: None,
            file: "ipxe/undionly.kpxe".to_owned(),
            size: Some(74_000),
            since: Timestamp::from_secs(1),
        }
    }

    #[test]
    fn a_transfer_is_listed_while_it_lasts() {
        let list = Transfers::default();
        let (first, second) = (list.begin(begun(1)), list.begin(begun(2)));
        first.arrived(1_468);
        let views = list.views();
        assert_eq!(
            views.iter().map(|view| view.bytes).collect::<Vec<_>>(),
            [1_468, 0]
        );
        assert_eq!(views[0].peer.port(), 1);
        assert!(views[0].rate > 0 && views[1].rate == 0);
        drop(first);
        assert_eq!(list.views().len(), 1);
        drop(second);
        assert!(list.views().is_empty());
    }

    #[test]
    fn who_knows_it_is_asked_how_far_it_is() {
        let list = Transfers::default();
        let sent = Arc::new(AtomicU64::new(0));
        let asked = Arc::clone(&sent);
        let count = Box::new(move || asked.load(Ordering::Relaxed));
        let transfer = list.begin_counted(begun(1), count);
        sent.store(37_000, Ordering::Relaxed);
        transfer.arrived(5);
        assert_eq!(list.views()[0].bytes, 37_000);
    }

    #[test]
    fn rates() {
        assert_eq!(rate(1_000, Duration::from_secs(2)), 500);
        assert_eq!(rate(1_000, Duration::ZERO), 1_000_000);
        assert_eq!(rate(u64::MAX, Duration::ZERO), u64::MAX);
    }
}
