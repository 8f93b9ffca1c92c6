//! The lines of dnsmasq's files: options, with or without `--`, and the fields of their values (dnsmasq(8)).

use std::sync::Arc;

use crate::import::Source;
use crate::import::place::Place;

/// One option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub at: Place,
    /// The long name.
    pub key: String,
    /// What follows `=`, as it stands.
    pub value: String,
}

impl Directive {
    /// The option as text.
    pub(super) fn shown(&self) -> String {
        if self.value.is_empty() {
            self.key.clone()
        } else {
            format!("{}={}", self.key, self.value)
        }
    }

    /// The value's fields, between commas.
    pub(super) fn fields(&self) -> Vec<String> {
        fields(&self.value)
    }
}

/// The options of a configuration file. A line that begins with `--` or `dnsmasq` is a command line.
pub(super) fn directives(source: &Source) -> Vec<Directive> {
    let file: Arc<str> = source.name.as_str().into();
    let mut found = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        let line = without_comment(line);
        if line.is_empty() {
            continue;
        }
        let at = Place::new(&file, index + 1);
        if line.starts_with('-') || line.starts_with("dnsmasq ") {
            command_line(line, &at, &mut found);
        } else {
            found.push(directive(line, at));
        }
    }
    found
}

/// The lines of a file that has one value of `key` in each.
pub(super) fn values(source: &Source, key: &str) -> Vec<Directive> {
    let file: Arc<str> = source.name.as_str().into();
    let lines = source.text.lines().enumerate();
    lines
        .map(|(index, line)| (index, without_comment(line)))
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            // The same lines may stand in a configuration file.
            let value = line
                .strip_prefix(key)
                .and_then(|rest| rest.trim_start().strip_prefix('='))
                .unwrap_or(line);
            Directive {
                at: Place::new(&file, index + 1),
                key: key.to_owned(),
                value: value.trim().to_owned(),
            }
        })
        .collect()
}

fn directive(text: &str, at: Place) -> Directive {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let key = key.trim().trim_start_matches('-').to_ascii_lowercase();
    Directive {
        at,
        key: long_name(&key).to_owned(),
        value: value.trim().to_owned(),
    }
}

/// Options as a shell would hand them over.
fn command_line(line: &str, at: &Place, found: &mut Vec<Directive>) {
    let words = words(line);
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            let mut directive = directive(long, at.clone());
            if !long.contains('=')
                && let Some(value) = words.next_if(|next| !next.starts_with('-'))
            {
                value.clone_into(&mut directive.value);
            }
            found.push(directive);
        } else if let Some(short) = word.strip_prefix('-') {
            let (key, rest) = short.split_at(short.chars().next().map_or(0, char::len_utf8));
            let mut value = rest.to_owned();
            if value.is_empty()
                && let Some(next) = words.next_if(|next| !next.starts_with('-'))
            {
                next.clone_into(&mut value);
            }
            found.push(Directive {
                at: at.clone(),
                key: long_name(key).to_owned(),
                value,
            });
        } else if !word.ends_with("dnsmasq") {
            found.push(directive(word, at.clone()));
        }
    }
}

/// The long name of an option of one letter.
fn long_name(key: &str) -> &str {
    match key {
        "F" => "dhcp-range",
        "G" => "dhcp-host",
        "O" => "dhcp-option",
        "M" => "dhcp-boot",
        "s" => "domain",
        "i" => "interface",
        "j" => "dhcp-userclass",
        "J" => "dhcp-ignore",
        "U" => "dhcp-vendorclass",
        "Z" => "read-ethers",
        "K" => "dhcp-authoritative",
        "C" => "conf-file",
        "H" => "addn-hosts",
        "h" => "no-hosts",
        "A" => "address",
        "S" => "server",
        "X" => "dhcp-lease-max",
        "l" => "dhcp-leasefile",
        key => key,
    }
}

/// A line without the comment that a `#` at its beginning or behind a blank opens.
fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    let mut escaped = false;
    let mut blank = true;
    for (at, c) in line.char_indices() {
        if c == '#' && blank && !quoted {
            return line.get(..at).unwrap_or_default().trim();
        }
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        blank = c.is_whitespace();
    }
    line.trim().trim_start_matches('\u{feff}')
}

/// The words of a command line: blanks divide them, quotation marks of both kinds hold them together.
fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut mark = None;
    for c in line.chars() {
        match mark {
            Some(open) if c == open => mark = None,
            None if matches!(c, '"' | '\'') => {
                mark = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() || c == '\\' => found.extend(word.take()),
            Some(_) | None => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    found
}

/// The parts between commas, quotation marks and escapes undone.
pub(super) fn fields(value: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quoted = false;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let Some(last) = found.last_mut() else {
            break;
        };
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                let trimmed = last.trim().to_owned();
                *last = trimmed;
                found.push(String::new());
            }
            '\\' if quoted => match chars.next() {
                Some('t') => last.push('\t'),
                Some('n') => last.push('\n'),
                Some('r') => last.push('\r'),
                Some('b') => last.push('\u{8}'),
                Some('e') => last.push('\u{1b}'),
                Some(c) => last.push(c),
                None => {}
            },
            c => last.push(c),
        }
    }
    if let Some(last) = found.last_mut() {
        let trimmed = last.trim().to_owned();
        *last = trimmed;
    }
    found
}

/// A length of time as dnsmasq has it: seconds, or a number with `m`, `h`, `d` or `w`. [`u32::MAX`] is `infinite`.
pub(super) fn seconds(text: &str) -> Option<u32> {
    if text.eq_ignore_ascii_case("infinite") {
        return Some(u32::MAX);
    }
    let unit = text.chars().next_back()?;
    let (digits, factor) = match unit.to_ascii_lowercase() {
        's' => (1, 1),
        'm' => (1, 60),
        'h' => (1, 3_600),
        'd' => (1, 86_400),
        'w' => (1, 604_800),
        '0'..='9' => (0, 1),
        _ => return None,
    };
    let number = text.get(..text.len() - digits)?;
    if number.is_empty() || !number.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let secs = number.parse::<u64>().ok()?.checked_mul(factor)?;
    // Two minutes at least, as dnsmasq has it.
    u32::try_from(secs).ok().map(|secs| secs.max(120))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String, String)> {
        let source = Source {
            name: "f".to_owned(),
            text: text.to_owned(),
        };
        let found = directives(&source);
        found
            .into_iter()
            .map(|one| (one.at.line, one.key, one.value))
            .collect()
    }

    #[test]
    fn lines_comments_and_command_lines() {
        let found = read(
            "# c\ndomain-needed # why\n dhcp-range = 10.0.0.1,10.0.0.2\nserver=/a/1.2.3.4#53\ndhcp-option=15,\"a # b\"\ndnsmasq --dhcp-boot=x,y -F 10.0.0.3,static --dhcp-host '00:00:00:00:00:01, n'\n",
        );
        let want = [
            (2, "domain-needed", ""),
            (3, "dhcp-range", "10.0.0.1,10.0.0.2"),
            (4, "server", "/a/1.2.3.4#53"),
            (5, "dhcp-option", "15,\"a # b\""),
            (6, "dhcp-boot", "x,y"),
            (6, "dhcp-range", "10.0.0.3,static"),
            (6, "dhcp-host", "00:00:00:00:00:01, n"),
        ];
        let want: Vec<_> = want
            .map(|(line, key, value)| (line, key.to_owned(), value.to_owned()))
            .to_vec();
        assert_eq!(found, want);
    }

    #[test]
    fn fields_between_commas() {
        assert_eq!(fields("a, b ,\"c,\\\"d\""), ["a", "b", "c,\"d"]);
        assert_eq!(fields(""), [""]);
    }

    #[test]
    fn lengths_of_time() {
        for (text, want) in [
            ("3600", Some(3_600)),
            ("45m", Some(2_700)),
            ("12h", Some(43_200)),
            ("2d", Some(172_800)),
            ("1w", Some(604_800)),
            ("5", Some(120)),
            ("infinite", Some(u32::MAX)),
            ("web", None),
            ("h", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(seconds(text), want, "{text}");
        }
    }
}
