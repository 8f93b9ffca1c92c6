//! Which part of a file a request wants: conditions and ranges of RFC 9110 (sections 13 and 14). Pure.
//!
//! **Invariant:** whatever the headers say, the parts lie inside the file, none is empty, no two overlap, and
//! there are at most [`MAX_PARTS`] of them.

use std::time::{Duration, SystemTime};

use hyper::header::{self, HeaderMap};

/// Parts that are sent at once. A request for more is answered with the whole file.
pub const MAX_PARTS: usize = 32;

/// What describes a file to a client.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// Its length in bytes.
    pub len: u64,
    /// Its entity tag, with its quotes.
    pub etag: &'a str,
    /// When it was last changed.
    pub modified: SystemTime,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// 200, all of it.
    Whole,
    /// 206, from the first byte to one past the last.
    Part {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// 206 in several parts: each from its first byte to one past its last.
    Parts(Vec<(u64, u64)>),
    /// 304.
    NotModified,
    /// 412: the condition does not hold.
    PreconditionFailed,
    /// 416: the range begins past the end.
    Unsatisfiable,
}

/// Decides what a GET or HEAD with these headers is sent (RFC 9110 section 13.2.2 gives the order).
pub fn select(headers: &HeaderMap, file: Validators<'_>) -> Selection {
    if let Some(tags) = text(headers, header::IF_MATCH) {
        if !lists(tags, file.etag, false) {
            return Selection::PreconditionFailed;
        }
    } else if let Some(since) = date(headers, header::IF_UNMODIFIED_SINCE)
        && whole_seconds(file.modified) > since
    {
        return Selection::PreconditionFailed;
    }
    if let Some(tags) = text(headers, header::IF_NONE_MATCH) {
        if lists(tags, file.etag, true) {
            return Selection::NotModified;
        }
    } else if let Some(since) = date(headers, header::IF_MODIFIED_SINCE)
        && whole_seconds(file.modified) <= since
    {
        return Selection::NotModified;
    }
    let Some(range) = text(headers, header::RANGE) else {
        return Selection::Whole;
    };
    if let Some(condition) = text(headers, header::IF_RANGE) {
        let holds = if condition.starts_with('"') || condition.starts_with("W/") {
            // A weak tag never matches here (section 13.1.5).
            condition == file.etag && !condition.starts_with("W/")
        } else {
            httpdate::parse_http_date(condition)
                .is_ok_and(|date| date == whole_seconds(file.modified))
        };
        if !holds {
            return Selection::Whole;
        }
    }
    range_of(range, file.len)
}

/// Reads `bytes=` ranges. Other units, more than [`MAX_PARTS`], and what cannot be read are answered with the
/// whole file, as section 14.2 allows; ranges that overlap become one.
fn range_of(range: &str, len: u64) -> Selection {
    let Some((unit, specs)) = range.split_once('=') else {
        return Selection::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Selection::Whole;
    }
    let specs = specs.split(',').map(str::trim);
    let mut parts = Vec::new();
    let mut asked = 0;
    // A list may have empty elements (section 5.6.1).
    for spec in specs.filter(|spec| !spec.is_empty()) {
        asked += 1;
        match one_range(spec, len) {
            _ if asked > MAX_PARTS => return Selection::Whole,
            None => return Selection::Whole,
            Some((start, end)) if start < end => parts.push((start, end)),
            Some(_) => {}
        }
    }
    if asked == 0 {
        return Selection::Whole;
    }
    joined(&mut parts);
    match parts.as_slice() {
        [] => Selection::Unsatisfiable,
        [(start, end)] => Selection::Part {
            start: *start,
            end: *end,
        },
        _ => Selection::Parts(parts),
    }
}

/// One range within a file, empty where it lies past its end; `None`: it cannot be read.
fn one_range(spec: &str, len: u64) -> Option<(u64, u64)> {
    let (first, last) = spec.split_once('-')?;
    let (start, end) = match (first.trim(), last.trim()) {
        ("", suffix) => (len.saturating_sub(number(suffix)?), len),
        (first, "") => (number(first)?, len),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            (first, last.saturating_add(1).min(len))
        }
    };
    Some((start.min(len), end))
}

/// Makes one of those that overlap. Those that do not stay in the order in which they were asked for.
fn joined(parts: &mut Vec<(u64, u64)>) {
    let mut sorted = parts.clone();
    sorted.sort_unstable();
    let overlap = |pair: &[(u64, u64)]| matches!(pair, [(_, end), (start, _)] if start < end);
    if !sorted.windows(2).any(overlap) {
        return;
    }
    parts.clear();
    for (start, end) in sorted {
        match parts.last_mut() {
            Some((_, last)) if start < *last => *last = end.max(*last),
            _ => parts.push((start, end)),
        }
    }
}

/// A number of decimal digits; one that is too large for any file is the largest.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn date(headers: &HeaderMap, name: header::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, name)?).ok()
}

/// A date in a header has no fraction of a second.
fn whole_seconds(at: SystemTime) -> SystemTime {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// Whether a list of entity tags holds this one. `weakly`: `W/` makes no difference.
fn lists(tags: &str, etag: &str, weakly: bool) -> bool {
    tags.trim() == "*"
        || tags.split(',').map(str::trim).any(|tag| {
            if weakly {
                tag.trim_start_matches("W/") == etag.trim_start_matches("W/")
            } else {
                tag == etag && !tag.starts_with("W/")
            }
        })
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const ETAG: &str = "\"1f-2a\"";

    fn file(len: u64) -> Validators<'static> {
        Validators {
            len,
            etag: ETAG,
            modified: SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500),
        }
    }

    fn with(headers: &[(&'static str, &str)], len: u64) -> Selection {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    header::HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect();
        select(&headers, file(len))
    }

    fn part(start: u64, end: u64) -> Selection {
        Selection::Part { start, end }
    }

    #[test]
    fn ranges() {
        for (range, selection) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-99", part(0, 100)),
            ("bytes=90-", part(90, 100)),
            ("bytes=-10", part(90, 100)),
            ("bytes=-1000", part(0, 100)),
            ("bytes=50-1000", part(50, 100)),
            ("Bytes = 5-9", part(5, 10)),
            ("bytes=0-99999999999999999999999", part(0, 100)),
            ("bytes=100-", Selection::Unsatisfiable),
            ("bytes=99999999999999999999999-", Selection::Unsatisfiable),
            ("bytes=-0", Selection::Unsatisfiable),
            ("bytes=9-5", Selection::Whole),
            ("bytes=a-5", Selection::Whole),
            ("bytes=-", Selection::Whole),
            ("bytes=0-1,4-5", Selection::Parts(vec![(0, 2), (4, 6)])),
            (
                "bytes= 90-, 0-1 ,",
                Selection::Parts(vec![(90, 100), (0, 2)]),
            ),
            (
                "bytes=0-1,-1,200-",
                Selection::Parts(vec![(0, 2), (99, 100)]),
            ),
            (
                "bytes=0-5,4-9,20-21",
                Selection::Parts(vec![(0, 10), (20, 22)]),
            ),
            ("bytes=0-5,3-", part(0, 100)),
            ("bytes=5-5,200-300", part(5, 6)),
            ("bytes=200-,300-", Selection::Unsatisfiable),
            ("bytes=0-1,b-5", Selection::Whole),
            ("bytes=,", Selection::Whole),
            (&format!("bytes={}", "0-1,".repeat(40)), Selection::Whole),
            ("lines=1-2", Selection::Whole),
            ("bytes", Selection::Whole),
        ] {
            assert_eq!(with(&[("range", range)], 100), selection, "{range}");
        }
        assert_eq!(with(&[("range", "bytes=0-")], 0), Selection::Unsatisfiable);
        assert_eq!(with(&[], 0), Selection::Whole);
    }

    #[test]
    fn conditions() {
        const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
        const LATER: &str = "Mon, 06 Nov 1995 08:49:37 GMT";
        const EARLIER: &str = "Sat, 06 Nov 1993 08:49:37 GMT";
        let cases: &[(&[(&'static str, &str)], Selection)] = &[
            (&[("if-none-match", ETAG)], Selection::NotModified),
            (&[("if-none-match", "*")], Selection::NotModified),
            (
                &[("if-none-match", "\"x\", W/\"1f-2a\"")],
                Selection::NotModified,
            ),
            (&[("if-none-match", "\"x\"")], Selection::Whole),
            (&[("if-modified-since", SAME)], Selection::NotModified),
            (&[("if-modified-since", LATER)], Selection::NotModified),
            (&[("if-modified-since", EARLIER)], Selection::Whole),
            (&[("if-modified-since", "yesterday")], Selection::Whole),
            // The tag decides where there are both.
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", SAME)],
                Selection::Whole,
            ),
            (&[("if-match", "\"x\"")], Selection::PreconditionFailed),
            (&[("if-match", ETAG)], Selection::Whole),
            (&[("if-unmodified-since", SAME)], Selection::Whole),
            (
                &[("if-unmodified-since", EARLIER)],
                Selection::PreconditionFailed,
            ),
            (&[("range", "bytes=5-9"), ("if-range", ETAG)], part(5, 10)),
            (&[("range", "bytes=5-9"), ("if-range", SAME)], part(5, 10)),
            (
                &[("range", "bytes=5-9"), ("if-range", "\"x\"")],
                Selection::Whole,
            ),
            (
                &[("range", "bytes=5-9"), ("if-range", "W/\"1f-2a\"")],
                Selection::Whole,
            ),
            (
                &[("range", "bytes=5-9"), ("if-range", LATER)],
                Selection::Whole,
            ),
            (
                &[("range", "bytes=5-9"), ("if-none-match", ETAG)],
                Selection::NotModified,
            ),
        ];
        for (headers, selection) in cases {
            assert_eq!(with(headers, 100), *selection, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_inside_the_file(
            range in prop_oneof![
                "bytes=[0-9]{0,22}-[0-9]{0,22}",
                "bytes=([0-9]{0,4}-[0-9]{0,4},){1,40}",
                "[a-z= ,0-9-]{0,30}",
            ],
            len in 0_u64..5_000,
        ) {
            match with(&[("range", &range)], len) {
                Selection::Part { start, end } => prop_assert!(start < end && end <= len),
                Selection::Parts(mut parts) => {
                    prop_assert!((2..=MAX_PARTS).contains(&parts.len()));
                    parts.sort_unstable();
                    prop_assert!(parts.iter().all(|(start, end)| start < end && *end <= len));
                    prop_assert!(parts.windows(2).all(|pair| pair[0].1 <= pair[1].0));
                }
                _ => {}
            }
        }

        #[test]
        fn what_is_asked_for_is_what_is_sent(len in 1_u64..100_000, a in any::<u64>(), b in any::<u64>()) {
            let (first, last) = (a % len, b % len);
            let selection = with(&[("range", &format!("bytes={first}-{last}"))], len);
            if first <= last {
                prop_assert_eq!(selection, part(first, last + 1));
            } else {
                prop_assert_eq!(selection, Selection::Whole);
            }
        }
    }
}
