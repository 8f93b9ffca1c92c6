//! Merging a draft into an entry that is there: it gets what it lacks; what it has otherwise is replaced, or kept and told.
//!
//! **Invariant:** all of an entry goes in together with all other entries' edits: merging thousands reads the text once.

use std::collections::VecDeque;

use smol_str::SmolStr;
use toml::Value;

use super::add::Body;
use super::inline;
use super::scan::NodeKind;
use super::set::{Home, Spot, is_same};
use super::{Document, EditError, Entry, Kept, Key, Merged, value};

impl Document {
    /// Adds the keys that an entry lacks, and replaces the values that are told so.
    pub(super) fn merge(
        &mut self,
        entry: &Entry,
        body: &Body,
        replaces: &dyn Fn(&Kept) -> bool,
    ) -> Result<Merged, EditError> {
        self.begin(entry)?;
        let mut merged = Merged::default();
        let mut missing = Vec::new();
        let mut splices = Vec::new();
        let mut pairs = VecDeque::from(body.pairs());
        while let Some((keys, value)) = pairs.pop_front() {
            let path = Self::full(entry, keys.iter().cloned());
            let spot = self.spot(entry, &path);
            let is_table = match &spot {
                Ok(Spot::Is(node)) => matches!(node.kind, NodeKind::Table(_)),
                Ok(Spot::Absent(_)) => false,
                Err(error) => matches!(error, EditError::IsTable { .. }),
            };
            let value = match value {
                // Key by key, so that what else stands in the table stays.
                Value::Table(inner) if is_table => {
                    for (key, value) in inner.into_iter().rev() {
                        let below = keys.iter().cloned().chain([key.into()]);
                        pairs.push_front((below.collect(), value));
                    }
                    continue;
                }
                value => value,
            };
            let key = Key(keys.to_vec());
            let kept = |written: &str, is_value| Kept {
                key: key.to_string(),
                written: written.to_owned(),
                offered: value::write(&value, None),
                is_value,
            };
            match spot {
                Ok(Spot::Absent(_)) => {
                    merged.added.push(key.to_string());
                    missing.push((path, value));
                }
                Ok(Spot::Is(node)) => {
                    let is_mac = key.0.as_slice() == ["mac"];
                    let old = self.read(&node);
                    if !old.is_some_and(|old| is_same(&old, &value, is_mac)) {
                        let written = self.text.get(node.span.clone());
                        let kept = kept(written.unwrap_or_default(), true);
                        if replaces(&kept) {
                            splices.extend(self.replace(&node, &value));
                            merged.replaced.push(kept.key);
                        } else {
                            merged.kept.push(kept);
                        }
                    }
                }
                Err(EditError::IsTable { .. }) => merged.kept.push(kept("a table", false)),
                Err(EditError::InList { .. }) => merged.kept.push(kept("a list of tables", false)),
                Err(error) => return Err(error),
            }
        }
        let nics = self.missing_nics(entry, body);
        let mut below = Vec::new();
        if !nics.is_empty() {
            let path = Self::full(entry, [SmolStr::new("nic")]);
            match self.spot(entry, &path) {
                Ok(Spot::Is(node)) if matches!(node.kind, NodeKind::List(_)) => {
                    below = inline::push(&self.text, &node, &nics);
                }
                Err(EditError::InList { .. }) => below.extend(self.nic_sections(entry, &nics)),
                Ok(Spot::Absent(Home::Section { .. } | Home::NewEntry { .. })) => {
                    below.extend(self.nic_sections(entry, &nics));
                }
                Ok(Spot::Absent(_)) => missing.push((path, Value::Array(nics.clone()))),
                Ok(Spot::Is(node)) => return Err(self.blocked(entry, &path, node.span.start)),
                Err(error) => return Err(error),
            }
            merged.added.extend(nics.iter().map(|nic| {
                let known = nic.get("mac").or_else(|| nic.get("ip"));
                let known = known.map(|value| value::write(value, None));
                format!("nic {}", known.unwrap_or_default())
            }));
        }
        splices.extend(self.insert(entry, &missing)?);
        splices.extend(below);
        self.end(entry, splices);
        Ok(merged)
    }
}
