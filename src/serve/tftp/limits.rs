//! How many transfers run at once: in all, and to one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Transfers at once. Each holds two descriptors and at most about 160 kB.
pub(super) const MAX_TRANSFERS: usize = 1_000;

/// Transfers to one address at once: many, because the engine holds one that a client has given up for
/// five seconds, and because several machines may stand behind one address.
pub(super) const MAX_PER_CLIENT: usize = 128;

/// Counts running transfers, for all engines together.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    running: Arc<Mutex<Running>>,
    /// Those of one engine.
    own: TaskTracker,
}

#[derive(Debug, Default)]
struct Running {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// The right to one transfer; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    running: Arc<Mutex<Running>>,
    client: IpAddr,
    _own: TaskTrackerToken,
}

impl Limits {
    /// The same count for all, and another one's own transfers.
    pub(super) fn for_engine(&self) -> Self {
        Self {
            running: Arc::clone(&self.running),
            own: TaskTracker::new(),
        }
    }

    /// Waits until none of its own transfers runs. No more are begun meanwhile.
    pub(super) async fn idle(&self) {
        self.own.close();
        self.own.wait().await;
    }

    /// Whether no more transfers can be begun, to whomever.
    pub(super) fn is_full(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.all >= MAX_TRANSFERS
    }

    /// One more transfer to this client; the error says why not.
    pub(super) fn take(&self, client: IpAddr) -> Result<Permit, String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.all >= MAX_TRANSFERS {
            return Err(format!("{MAX_TRANSFERS} transfers are running"));
        }
        let count = running.by_client.entry(client).or_default();
        if *count >= MAX_PER_CLIENT {
            return Err(format!(
                "{MAX_PER_CLIENT} transfers to {client} are running"
            ));
        }
        *count += 1;
        running.all += 1;
        Ok(Permit {
            running: Arc::clone(&self.running),
            client,
            _own: self.own.token(),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.all = running.all.saturating_sub(1);
        if let Some(count) = running.by_client.get_mut(&self.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                running.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_waits_for_its_own_transfers_only() {
        let limits = Limits::default();
        let client = IpAddr::from([10, 0, 0, 1]);
        let (one, other) = (limits.for_engine(), limits.for_engine());
        let held = one.take(client).unwrap();
        other.idle().await;
        let waiting = one.idle();
        tokio::pin!(waiting);
        assert!(
            futures_lite::future::poll_once(&mut waiting)
                .await
                .is_none()
        );
        drop(held);
        waiting.await;
    }

    #[test]
    fn one_client_cannot_take_all_and_gives_back() {
        let limits = Limits::default();
        let client = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut held: Vec<_> = (0..MAX_PER_CLIENT)
            .map(|_| limits.take(client(1)).unwrap())
            .collect();
        assert!(limits.take(client(1)).is_err());
        assert!(limits.take(client(2)).is_ok());
        held.pop();
        assert!(limits.take(client(1)).is_ok());
        drop(held);
        assert_eq!(limits.running.lock().unwrap().all, 0);
        assert!(limits.running.lock().unwrap().by_client.is_empty());
        let all: Vec<_> = (0..MAX_TRANSFERS)
            .map(|n| limits.take(client(u8::try_from(n % 250).unwrap())).unwrap())
            .collect();
        assert!(limits.take(client(251)).is_err());
        drop(all);
        assert!(limits.take(client(251)).is_ok());
    }
}
