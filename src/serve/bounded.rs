//! What is remembered of machines, by hardware address, of so many at most.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;

use crate::base::{FastHash, HardwareAddr};

/// Values that lie side by side: this many, then the next ones elsewhere.
const CHUNK: usize = 1_024;

/// A map that forgets what came first when it is full. What is in it lies in chunks, in the order in which it
/// came, and the table beside it holds places only: it grows without being there twice, and without a copy that packets
/// would wait for.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    places: HashTable<u32>,
    values: Chunks<(HardwareAddr, T)>,
    /// The place that is given away next, once all are taken.
    oldest: usize,
    random: FastHash,
}

/// A list that grows by chunks.
#[derive(Debug)]
struct Chunks<T> {
    /// Of [`CHUNK`] values each, but for the last one.
    chunks: Vec<Vec<T>>,
}

impl<T> Chunks<T> {
    fn len(&self) -> usize {
        let whole = self.chunks.len().saturating_sub(1) * CHUNK;
        self.chunks.last().map_or(0, |last| whole + last.len())
    }

    fn get(&self, place: usize) -> Option<&T> {
        self.chunks.get(place / CHUNK)?.get(place % CHUNK)
    }

    fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.chunks.get_mut(place / CHUNK)?.get_mut(place % CHUNK)
    }

    fn push(&mut self, value: T) {
        if let Some(last) = self.chunks.last_mut().filter(|last| last.len() < CHUNK) {
            last.push(value);
        } else {
            let mut last = Vec::with_capacity(CHUNK);
            last.push(value);
            self.chunks.push(last);
        }
    }
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self {
            places: HashTable::new(),
            values: Chunks { chunks: Vec::new() },
            oldest: 0,
            random: FastHash::default(),
        }
    }
}

impl<T> Bounded<T> {
    fn place(&self, mac: HardwareAddr) -> Option<usize> {
        let is_it = |place: &u32| self.mac_at(*place) == Some(mac);
        let place = self.places.find(self.random.hash_one(mac), is_it)?;
        usize::try_from(*place).ok()
    }

    fn mac_at(&self, place: u32) -> Option<HardwareAddr> {
        let (mac, _) = self.values.get(usize::try_from(place).ok()?)?;
        Some(*mac)
    }

    pub(super) fn get(&self, mac: HardwareAddr) -> Option<&T> {
        let (_, value) = self.values.get(self.place(mac)?)?;
        Some(value)
    }

    pub(super) fn get_mut(&mut self, mac: HardwareAddr) -> Option<&mut T> {
        let place = self.place(mac)?;
        let (_, value) = self.values.get_mut(place)?;
        Some(value)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.places.len(), self.values.len());
        self.places.len()
    }

    /// Puts in what was not there; what came first goes when there are as many as `max`.
    pub(super) fn insert(&mut self, mac: HardwareAddr, value: T, max: usize) {
        let place = if self.values.len() < max {
            self.values.push((mac, value));
            self.values.len() - 1
        } else {
            let place = self.oldest;
            self.oldest = (place + 1) % max;
            let Some(slot) = self.values.get_mut(place) else {
                return;
            };
            let (gone, _) = std::mem::replace(slot, (mac, value));
            let hash = self.random.hash_one(gone);
            let is_it = |found: &u32| usize::try_from(*found) == Ok(place);
            if let Ok(entry) = self.places.find_entry(hash, is_it) {
                entry.remove();
            }
            place
        };
        let Ok(place) = u32::try_from(place) else {
            return;
        };
        let (values, random) = (&self.values, &self.random);
        let hash_at = |place: &u32| {
            let place = usize::try_from(*place).unwrap_or(usize::MAX);
            values.get(place).map_or(0, |(mac, _)| random.hash_one(mac))
        };
        self.places
            .insert_unique(random.hash_one(mac), place, hash_at);
    }

    /// What there is of a machine, or a beginning of it.
    pub(super) fn entry(&mut self, mac: HardwareAddr, max: usize) -> Option<&mut T>
    where
        T: Default,
    {
        let place = if let Some(place) = self.place(mac) {
            place
        } else {
            self.insert(mac, T::default(), max);
            self.place(mac)?
        };
        let (_, value) = self.values.get_mut(place)?;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(n: u32) -> HardwareAddr {
        let [_, a, b, c] = n.to_be_bytes();
        HardwareAddr::ethernet([2, 0, 0, a, b, c])
    }

    #[test]
    fn more_than_a_chunk_is_found() {
        let most = 3 * u32::try_from(CHUNK).unwrap() + 7;
        let mut bounded = Bounded::default();
        for n in 0..2 * most {
            bounded.insert(mac(n), n, usize::try_from(most).unwrap());
        }
        for n in 0..2 * most {
            let kept = (n >= most).then_some(n);
            assert_eq!(bounded.get(mac(n)).copied(), kept, "{n}");
        }
        assert_eq!(bounded.len(), usize::try_from(most).unwrap());
    }

    #[test]
    fn what_came_first_goes_first_and_the_rest_is_found() {
        let mut bounded = Bounded::default();
        for n in 0..1_000 {
            assert_eq!(bounded.get(mac(n)), None);
            bounded.insert(mac(n), n, 300);
            *bounded.get_mut(mac(n)).unwrap() += 1;
            assert_eq!(bounded.len(), usize::try_from(n + 1).unwrap().min(300));
            assert_eq!(bounded.entry(mac(n), 300), Some(&mut (n + 1)));
        }
        for n in 0..1_000 {
            let kept = (n >= 700).then_some(n + 1);
            assert_eq!(bounded.get(mac(n)).copied(), kept, "{n}");
        }
        // Who was forgotten begins anew, and another one goes.
        assert_eq!(bounded.entry(mac(0), 300), Some(&mut 0));
        assert_eq!(bounded.get(mac(700)), None);
        assert_eq!(bounded.get(mac(701)), Some(&702));
    }
}
