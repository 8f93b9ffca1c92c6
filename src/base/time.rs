//! Time as a value. Decisions are handed a [`Timestamp`]; only the edges hold a [`Clock`].

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01 UTC. Written as RFC 3339 in JSON and text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(
    /// With the sign turned round, so that zero, the earliest of all, is left for `Option`: what is remembered of
    /// a hundred thousand machines is mostly times that may be missing.
    NonZeroU64,
);

/// The bit by which signed and unsigned numbers of the same order differ.
const SIGN: u64 = 1 << 63;

impl Timestamp {
    /// From microseconds since 1970-01-01 UTC. The earliest of all numbers is taken for the next one.
    pub const fn from_micros(micros: i64) -> Self {
        match NonZeroU64::new(micros.cast_unsigned() ^ SIGN) {
            Some(turned) => Self(turned),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// From seconds since 1970-01-01 UTC.
    pub const fn from_secs(secs: i64) -> Self {
        Self::from_micros(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970-01-01 UTC.
    pub const fn as_micros(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// The time from `earlier` to this; zero when `earlier` is later (a clock set back is no error).
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(
            u64::try_from(self.as_micros().saturating_sub(earlier.as_micros())).unwrap_or(0),
        )
    }

    /// The form that names of files have: `20261121T085238Z`, to the second (ISO 8601, basic format).
    pub fn compact(self) -> String {
        match jiff::Timestamp::from_microsecond(self.as_micros()) {
            Ok(timestamp) => timestamp.strftime("%Y%m%dT%H%M%SZ").to_string(),
            Err(_) => self.as_micros().to_string(),
        }
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_micros(
            self.as_micros()
                .saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }

    /// This much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_micros(
            self.as_micros()
                .saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.as_micros()) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{}us", self.as_micros()),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            match jiff::Timestamp::from_microsecond(self.as_micros()) {
                Ok(timestamp) => serializer.collect_str(&format_args!("{timestamp:.6}")),
                Err(error) => Err(serde::ser::Error::custom(error)),
            }
        } else {
            serializer.serialize_i64(self.as_micros())
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?
                .parse::<jiff::Timestamp>()
                .map(|timestamp| Self::from_micros(timestamp.as_microsecond()))
                .map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self::from_micros)
        }
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the clock"
        )]
        Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// A clock that shows `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_micros()))
    }

    /// Moves it on.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

/// Reads a length of time as the configuration writes it: `45m`, `24h`, `7d`, `1h30m`, `90s`.
///
/// Days are 24 hours. The error is a sentence for the operator.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let remedy = "write a length of time as \"90s\", \"45m\", \"24h\" or \"7d\"";
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("the length of time is empty; {remedy}"));
    }
    let mut total = Duration::ZERO;
    let mut number = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(format!("`{c}` is no unit of time; {remedy}")),
        };
        let count: u64 = number
            .parse()
            .map_err(|_| format!("a number is missing before `{c}`; {remedy}"))?;
        number.clear();
        total = count
            .checked_mul(unit)
            .and_then(|secs| total.checked_add(Duration::from_secs(secs)))
            .ok_or_else(|| format!("{text} is too long"))?;
    }
    if !number.is_empty() {
        return Err(format!("a unit is missing after {number}; {remedy}"));
    }
    Ok(total)
}

/// Writes a length of time as people read it: `2h 5m`, `45m`, `12.3s`, `840ms`.
pub fn show_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    match secs {
        0 => format!("{}ms", duration.as_millis()),
        1..60 if duration.subsec_nanos() == 0 => format!("{secs}s"),
        1..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3_600 => match secs % 60 {
            0 => format!("{}m", secs / 60),
            rest => format!("{}m {rest}s", secs / 60),
        },
        3_600..172_800 => match secs / 60 % 60 {
            0 => format!("{}h", secs / 3_600),
            rest => format!("{}h {rest}m", secs / 3_600),
        },
        _ => match secs / 3_600 % 24 {
            0 => format!("{}d", secs / 86_400),
            rest => format!("{}d {rest}h", secs / 86_400),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_show() {
        assert_eq!(parse_duration("45m"), Ok(Duration::from_secs(2_700)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "45", "m", "4x", "99999999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(show_duration(Duration::from_secs(86_400)), "24h");
        assert_eq!(show_duration(Duration::from_secs(125)), "2m 5s");
        assert_eq!(show_duration(Duration::from_millis(840)), "840ms");
    }

    #[test]
    fn timestamps_round_trip_as_text_and_as_bytes() {
        let at = Timestamp::from_micros(1_790_000_000_123_456);
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
        let bytes = postcard::to_stdvec(&at).unwrap();
        assert_eq!(postcard::from_bytes::<Timestamp>(&bytes).unwrap(), at);
    }

    #[test]
    fn a_time_that_may_be_missing_takes_no_more_room_and_the_order_is_that_of_the_numbers() {
        assert_eq!(size_of::<Option<Timestamp>>(), size_of::<i64>());
        let numbers = [i64::MIN + 1, -5, -1, 0, 1, 1_790_000_000_123_456, i64::MAX];
        let times = numbers.map(Timestamp::from_micros);
        assert_eq!(times.map(Timestamp::as_micros), numbers);
        assert!(times.is_sorted());
        let earliest = Timestamp::from_micros(i64::MIN);
        assert_eq!(earliest, times[0]);
        assert_eq!(
            postcard::to_stdvec(&times[2]).unwrap(),
            postcard::to_stdvec(&-1_i64).unwrap()
        );
    }

    #[test]
    fn the_compact_form_fits_into_a_file_name() {
        assert_eq!(
            Timestamp::from_secs(1_795_251_158).compact(),
            "20261121T085238Z"
        );
    }

    #[test]
    fn a_clock_set_back_is_no_error() {
        assert_eq!(
            Timestamp::from_secs(5).since(Timestamp::from_secs(9)),
            Duration::ZERO
        );
    }
}
