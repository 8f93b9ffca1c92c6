//! Commands that edit the reservations: `host add`, `host set`, `host remove`, `bind`.

mod add;
mod bind;
mod remove;
mod report;
mod set;

pub use self::add::{Add, add};
pub use self::bind::{Bind, bind};
pub use self::remove::{Remove, remove};
pub use self::report::finish;
pub use self::set::{Set, set};

use std::str::FromStr;

use toml::Value;

use crate::config::edit::{EditError, Entry, Key, typed};
use crate::edits::{Error, Mode, Reservations};

/// `KEY=VALUE`, `KEY+=ELEMENT` or `KEY-=ELEMENT`, as it is typed.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    key: Key,
    how: How,
    value: Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Set,
    Push,
    Pull,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((key, value)) = text.split_once('=') else {
            return Err("write KEY=VALUE, such as ip=10.99.0.31 or vars.disk=/dev/sda".to_owned());
        };
        let (key, how) = if let Some(key) = key.strip_suffix('+') {
            (key, How::Push)
        } else if let Some(key) = key.strip_suffix('-') {
            (key, How::Pull)
        } else {
            (key, How::Set)
        };
        let key = Key::parse(key.trim()).map_err(|error| error.to_string())?;
        let parts: Vec<&str> = key.parts().collect();
        let value = typed(&parts, value);
        Ok(Self { key, how, value })
    }
}

impl Assignment {
    fn make(&self, reservations: &mut Reservations, entry: &Entry) -> Result<(), Error> {
        match self.how {
            How::Set => reservations.set(entry, &self.key, &self.value),
            How::Push => reservations.push(entry, &self.key, &self.value),
            How::Pull => reservations.pull(entry, &self.key, &self.value),
        }
    }
}

/// A key that is typed alone.
fn key(text: &str) -> Result<Key, EditError> {
    Key::parse(text)
}

const fn mode(dry_run: bool) -> Mode {
    if dry_run { Mode::DryRun } else { Mode::Write }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_set_add_and_take_out() {
        let read = |text: &str| text.parse::<Assignment>();
        let one = |key: &str, how, value: Value| {
            Ok(Assignment {
                key: Key::parse(key).unwrap(),
                how,
                value,
            })
        };
        assert_eq!(read("ip=10.0.0.1"), one("ip", How::Set, "10.0.0.1".into()));
        assert_eq!(
            read("vars.a-b=c=d"),
            one("vars.a-b", How::Set, "c=d".into())
        );
        assert_eq!(read("vars.n = 3"), one("vars.n", How::Set, 3.into()));
        assert_eq!(
            read("vars.p+=nginx"),
            one("vars.p", How::Push, "nginx".into())
        );
        assert_eq!(
            read("mac-=52:54:00:00:00:01"),
            one("mac", How::Pull, "52:54:00:00:00:01".into())
        );
        assert!(read("ip").unwrap_err().contains("KEY=VALUE"));
        assert!(read("=1").is_err());
        assert!(read("a b=1").is_err());
    }
}
