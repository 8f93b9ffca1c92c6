//! The hosts of a configuration, and finding them by a key that they hold themselves: nine bytes for each, where a
//! map with keys takes three times that, twice during a reload.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use hashbrown::HashTable;

use super::snapshot::Host;
use crate::base::{FastHash, HardwareAddr, HostName, pace};

/// All hosts; a configuration that goes out of force lets others work while it goes.
#[derive(Debug, Clone, Default)]
pub(super) struct Hosts(Vec<Arc<Host>>);

impl Drop for Hosts {
    fn drop(&mut self) {
        while let Some(host) = self.0.pop() {
            drop(host);
            pace::give_way(self.0.len());
        }
    }
}

impl Hosts {
    pub(super) fn new(hosts: Vec<impl Into<Arc<Host>>>) -> Self {
        // Not collected: that would keep the room that the hosts themselves had.
        let mut all = Vec::with_capacity(hosts.len());
        all.extend(hosts.into_iter().map(Into::into));
        Self(all)
    }

    /// In the order of the file.
    pub(super) fn all(&self) -> &[Arc<Host>] {
        &self.0
    }

    pub(super) fn at(&self, index: u32) -> Option<&Arc<Host>> {
        self.0.get(usize::try_from(index).ok()?)
    }

    pub(super) fn has_mac(&self, index: u32, mac: HardwareAddr) -> bool {
        self.at(index)
            .is_some_and(|host| host.cards().any(|card| card.macs.contains(&mac)))
    }

    pub(super) fn is_called(&self, index: u32, name: &HostName) -> bool {
        self.at(index).is_some_and(|host| host.name == *name)
    }
}

/// Indexes of hosts by one of their keys. Whoever asks says whether a host has the key.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    table: HashTable<Entry>,
    random: FastHash,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Of its key: kept, because a host may stand here under several.
    hash: u32,
    host: u32,
}

impl Entry {
    /// For the table, which looks at the upper and at the lower bits.
    fn spread(self) -> u64 {
        u64::from(self.hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Index {
    pub(super) fn with_capacity(keys: usize) -> Self {
        Self {
            table: HashTable::with_capacity(keys),
            random: FastHash::default(),
        }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The host that has this key.
    pub(super) fn get(&self, key: &impl Hash, has_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.find(self.entry(key, 0), has_it)
    }

    /// Puts a host in, unless another one has the key.
    pub(super) fn insert(&mut self, key: &impl Hash, host: u32, has_it: impl Fn(u32) -> bool) {
        let entry = self.entry(key, host);
        if self.find(entry, has_it).is_none() {
            self.table
                .insert_unique(entry.spread(), entry, |entry| entry.spread());
        }
    }

    fn entry(&self, key: &impl Hash, host: u32) -> Entry {
        let [a, b, c, d, ..] = self.random.hash_one(key).to_ne_bytes();
        Entry {
            hash: u32::from_ne_bytes([a, b, c, d]),
            host,
        }
    }

    fn find(&self, like: Entry, has_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.table
            .find(like.spread(), |entry| {
                entry.hash == like.hash && has_it(entry.host)
            })
            .map(|entry| entry.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_host_keeps_a_key_and_others_are_found_beside_it() {
        // Host 7 has the keys 70 and 71, and so on; more than there was room for.
        let has = |key: u32| move |host| host == key / 10;
        let mut index = Index::with_capacity(2);
        for key in 0..10_000_u32 {
            index.insert(&key, key / 10, has(key));
        }
        assert_eq!(index.len(), 10_000);
        for key in 0..10_000 {
            assert_eq!(index.get(&key, has(key)), Some(key / 10));
        }
        assert_eq!(index.get(&10_000, has(10_000)), None);
        // Another host with the same key: whoever asks takes both for its holder.
        index.insert(&70, 8, |host| host == 7 || host == 8);
        assert_eq!(index.get(&70, |host| host == 7 || host == 8), Some(7));
        assert_eq!(index.len(), 10_000);
    }
}
