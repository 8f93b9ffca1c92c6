//! Maps that are asked for each packet.
//!
//! Their hash is begun anew at each start, but it is quick rather than strong: what strangers choose may only be a
//! key where their number is bounded by some thousands.

use std::collections::{HashMap, HashSet};

/// The hash.
pub type FastHash = hashbrown::DefaultHashBuilder;

/// A map by it.
pub type FastMap<K, V> = HashMap<K, V, FastHash>;

/// A set by it.
pub type FastSet<K> = HashSet<K, FastHash>;
