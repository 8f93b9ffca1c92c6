//! Names by pattern, as shells write it: `*`, `?` and `[…]`.

/// Whether a text is a pattern and no name.
pub fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Whether a name fits a glob of `*`, `?` and `[…]`, upper and lower case alike.
pub fn fits(glob: &str, name: &str) -> bool {
    let glob: Vec<char> = glob.to_lowercase().chars().collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    from(&glob, &name)
}

fn from(glob: &[char], name: &[char]) -> bool {
    let (mut g, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = glob.get(g).and_then(|c| match c {
            '*' => {
                star = Some((g + 1, n));
                Some((g + 1, n))
            }
            '?' => Some((g + 1, n + 1)),
            '[' => class(glob.get(g..)?, *name.get(n)?).map(|len| (g + len, n + 1)),
            c => (name.get(n) == Some(c)).then_some((g + 1, n + 1)),
        });
        match (step, &mut star) {
            (Some(next), _) => (g, n) = next,
            (None, Some((after, from))) => {
                *from += 1;
                (g, n) = (*after, *from);
            }
            (None, None) => return false,
        }
    }
    glob.get(g..)
        .is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

/// Matches one character against the class at the beginning of `glob`; how long the class is when it
/// fits. One without an end fits nothing.
fn class(glob: &[char], c: char) -> Option<usize> {
    let end = glob.iter().skip(2).position(|c| *c == ']')? + 2;
    let body = glob.get(1..end)?;
    let (not, body) = match body.split_first() {
        Some(('!' | '^', rest)) => (true, rest),
        _ => (false, body),
    };
    let mut found = false;
    let mut rest = body;
    while let [first, tail @ ..] = rest {
        rest = if let ['-', last, tail @ ..] = tail {
            found |= (*first..=*last).contains(&c);
            tail
        } else {
            found |= *first == c;
            tail
        };
    }
    (found != not).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[test]
    fn globs() {
        for (glob, name, expected) in [
            ("web*", "web01", true),
            ("WEB*", "web01", true),
            ("*01", "web01", true),
            ("w*b*1", "web01", true),
            ("web?1", "web01", true),
            ("web0[1-3]", "web02", true),
            ("web0[!1-3]", "web02", false),
            ("web0[13]", "web02", false),
            ("web0[", "web0[", false),
            ("web", "web01", false),
            ("*", "", true),
            ("?", "", false),
            ("a*b", "acbc", false),
        ] {
            assert_eq!(super::fits(glob, name), expected, "{glob} {name}");
        }
    }

    proptest! {
        #[test]
        fn any_glob_is_judged(glob in "[a-c*?\\[\\]!-]{0,12}", name in "[a-c]{0,12}") {
            let _ = super::fits(&glob, &name);
            let starred = format!("*{name}*");
            prop_assert!(super::fits(&starred, &name));
        }
    }
}
