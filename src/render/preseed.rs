//! The line grammar of preseed files, as `debconf-set-selections` reads it: `owner question type
//! value`, with a backslash at a line's end joining it to the next one. Questions and their types are
//! not known to it, nor are they here.

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct LineError {
    /// The line, from 1; the first one of lines that are joined.
    pub line: usize,
    /// One sentence.
    pub message: String,
}

const TYPES: &[&str] = &[
    "select",
    "boolean",
    "string",
    "multiselect",
    "note",
    "password",
    "text",
    "title",
    "error",
    "seen",
];

/// Whether a text is a preseed file: by its first line, or by a line for `d-i`.
pub fn looks_like(text: &str) -> bool {
    text.starts_with("#_preseed")
        || text
            .lines()
            .any(|line| line.starts_with("d-i ") || line.starts_with("d-i\t"))
}

/// Checks the lines of a preseed file.
pub fn check(text: &str) -> Vec<LineError> {
    let mut errors = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let mut joined = first.to_owned();
        while joined.ends_with('\\') {
            joined.pop();
            match lines.next() {
                Some((_, next)) => joined.push_str(next),
                None => break,
            }
        }
        if let Err(message) = statement(&joined) {
            errors.push(LineError {
                line: index + 1,
                message,
            });
        }
    }
    errors
}

fn statement(text: &str) -> Result<(), String> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(());
    }
    let mut words = text.split_whitespace();
    let (Some(_owner), question, kind) = (words.next(), words.next(), words.next()) else {
        return Ok(());
    };
    let Some(question) = question.filter(|question| question.contains('/')) else {
        return Err(format!(
            "`{}` is no statement of a preseed file: owner, question, type and value",
            shortened(text)
        ));
    };
    let Some(kind) = kind else {
        return Err(format!("`{question}` has no type and no value"));
    };
    if !TYPES.contains(&kind) {
        return Err(format!(
            "`{kind}` after `{question}` is no type; one of string, boolean, select, multiselect, password, note is"
        ));
    }
    if kind == "boolean" {
        let value = words.collect::<Vec<_>>().join(" ");
        if value != "true" && value != "false" {
            return Err(format!(
                "`{question}` is a boolean, and `{}` is neither true nor false",
                shortened(&value)
            ));
        }
    }
    Ok(())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_lines() {
        let text = "#_preseed_V1\n\n  # a comment\nd-i time/zone string Europe/Oslo\n\
            d-i passwd/make-user boolean false\nd-i mirror/http/proxy string\n\
            d-i preseed/late_command string one; \\\n   two; \\\n  three\n\
            d-i finish-install/reboot_in_progress note\n";
        assert_eq!(check(text), []);
        assert!(looks_like(text));
        assert!(!looks_like("#cloud-config\n"));
    }

    #[test]
    fn bad_lines_are_told_with_their_numbers() {
        let errors = check(
            "d-i time/zone string Oslo\nd-i passwd/make-user false\n\
             # a \\\n joined comment\nsecond line of a value\nd-i a/b boolean maybe\nd-i a/b\n",
        );
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "line 2: `false` after `passwd/make-user` is no type; one of string, boolean, select, multiselect, password, note is",
                "line 5: `second line of a value` is no statement of a preseed file: owner, question, type and value",
                "line 6: `a/b` is a boolean, and `maybe` is neither true nor false",
                "line 7: `a/b` has no type and no value",
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            check(&text);
        }
    }
}
