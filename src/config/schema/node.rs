//! The pieces that schemas are put together from.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::base::time::show_duration;
use crate::config::table::Choice;

/// A schema, or a part of one: what a value may be, and what an editor says of it.
#[derive(Debug, Clone)]
pub(super) struct Node(Map<String, Value>);

impl Node {
    fn new(description: &str) -> Self {
        let mut map = Map::new();
        if !description.is_empty() {
            map.insert("description".to_owned(), description.into());
        }
        Self(map)
    }

    /// Adds or replaces a keyword.
    pub(super) fn with(mut self, keyword: &str, value: impl Into<Value>) -> Self {
        self.0.insert(keyword.to_owned(), value.into());
        self
    }

    /// A value of which nothing is said.
    pub(super) fn anything(description: &str) -> Self {
        Self::new(description)
    }

    /// A text.
    pub(super) fn text(description: &str) -> Self {
        Self::new(description).with("type", "string")
    }

    /// A text of this form.
    pub(super) fn like(description: &str, pattern: &str) -> Self {
        Self::text(description).with("pattern", pattern)
    }

    /// One of several words, each with what it stands for.
    pub(super) fn word<'w>(
        description: &str,
        words: impl IntoIterator<Item = (&'w str, &'w str)>,
    ) -> Self {
        let (words, meanings): (Vec<&str>, Vec<&str>) = words.into_iter().unzip();
        let node = Self::text(description).with("enum", words);
        if meanings.iter().all(|meaning| meaning.is_empty()) {
            return node;
        }
        node.with("x-taplo", json!({ "docs": { "enumValues": meanings } }))
    }

    /// A whole number within bounds.
    pub(super) fn whole(description: &str, bounds: RangeInclusive<i64>) -> Self {
        Self::new(description)
            .with("type", "integer")
            .with("minimum", *bounds.start())
            .with("maximum", *bounds.end())
    }

    /// True or false.
    pub(super) fn flag(description: &str) -> Self {
        Self::new(description).with("type", "boolean")
    }

    /// A list.
    pub(super) fn list(description: &str, of: Self) -> Self {
        Self::new(description)
            .with("type", "array")
            .with("items", of)
    }

    /// A list, or one value in its place.
    pub(super) fn one_or_list(description: &str, of: Self) -> Self {
        let list = Self::list("", of.clone());
        Self::new(description).with("anyOf", vec![Value::from(of), list.into()])
    }

    /// One value, or a list of at least one.
    pub(super) fn one_or_more(description: &str, of: Self) -> Self {
        let list = Self::list("", of.clone()).with("minItems", 1);
        Self::new(description).with("anyOf", vec![Value::from(of), list.into()])
    }

    /// A table that has these keys and no others.
    pub(super) fn table(
        description: &str,
        keys: impl IntoIterator<Item = (&'static str, Self)>,
    ) -> Self {
        let keys: Map<String, Value> = keys
            .into_iter()
            .map(|(key, node)| (key.to_owned(), node.into()))
            .collect();
        Self::new(description)
            .with("type", "object")
            .with("properties", keys)
            .with("additionalProperties", false)
    }

    /// Tables (or what else `each` is) by names that whoever writes the file chooses.
    pub(super) fn named(description: &str, names: &str, each: Self) -> Self {
        Self::new(description)
            .with("type", "object")
            .with("propertyNames", json!({ "pattern": names }))
            .with("additionalProperties", each)
    }

    /// A table with keys of anybody's.
    pub(super) fn open_table(description: &str) -> Self {
        Self::new(description)
            .with("type", "object")
            .with("additionalProperties", true)
    }

    /// The keys that must be there. Editors write them when they write the table.
    pub(super) fn required<const N: usize>(self, keys: [&str; N]) -> Self {
        self.with("required", keys.to_vec())
            .with("x-taplo", json!({ "initKeys": keys.to_vec() }))
    }

    /// What holds where the key is not written.
    pub(super) fn default(self, value: impl Into<Value>) -> Self {
        self.with("default", value)
    }

    /// What it may look like.
    pub(super) fn example(self, value: impl Into<Value>) -> Self {
        self.with("examples", vec![value.into()])
    }

    /// One more condition.
    pub(super) fn also(mut self, condition: Value) -> Self {
        match self.0.get_mut("allOf") {
            Some(Value::Array(all)) => all.push(condition),
            _ => {
                self.0
                    .insert("allOf".to_owned(), Value::Array(vec![condition]));
            }
        }
        self
    }

    /// A key that goes only with another one.
    pub(super) fn needs(self, key: &str, other: &str) -> Self {
        self.also(json!({ "dependencies": { key: [other] } }))
    }

    /// A key that does not go with another one.
    pub(super) fn apart(self, key: &str, other: &str) -> Self {
        self.also(json!({ "not": { "required": [key, other] } }))
    }
}

impl From<Node> for Value {
    fn from(node: Node) -> Self {
        Self::Object(node.0)
    }
}

/// The words of a choice that this version acts on, each with what it stands for.
pub(super) fn words<T: Copy>(
    choices: &[(&'static str, Choice<T>)],
    meaning: impl Fn(&str) -> &'static str,
) -> Vec<(&'static str, &'static str)> {
    choices
        .iter()
        .filter(|(_, choice)| matches!(choice, Choice::Is(_)))
        .map(|(word, _)| (*word, meaning(word)))
        .collect()
}

/// A length of time as the files have it.
pub(super) fn time(duration: Duration) -> String {
    show_duration(duration).replace(' ', "")
}

/// A size as the files have it.
pub(super) fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 30) {
        format!("{}GiB", bytes >> 30)
    } else {
        format!("{}MiB", bytes >> 20)
    }
}
