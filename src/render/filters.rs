//! What templates may call beside minijinja's own filters and functions: quoting for the formats
//! that answer files are written in.
//!
//! **Invariant:** whatever the value, the output of a quoting filter is one word, string or text of
//! its format. A value that has no such form (a list for `shq`, a NUL byte for a shell) is an error,
//! never something half quoted.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::cmdline;

/// Adds the filters.
pub(super) fn add_to(env: &mut Environment<'static>) {
    env.add_filter("shq", shq);
    env.add_filter("cmd", cmd);
    env.add_filter("e", xml);
    env.add_filter("escape", xml);
    env.add_filter("tojson", tojson);
    env.add_filter("b64encode", b64encode);
    env.add_filter("line", line);
    env.add_filter("args", args);
    // minijinja's own take an undefined value for an empty list, also where undefined is an error.
    let lenient = [
        ("join", Value::from_function(minijinja::filters::join)),
        ("groupby", Value::from_function(minijinja::filters::groupby)),
        ("chain", Value::from_function(minijinja::filters::chain)),
        ("zip", Value::from_function(minijinja::filters::zip)),
        ("pprint", Value::from_function(minijinja::filters::pprint)),
    ];
    for (name, original) in lenient {
        env.add_filter(
            name,
            move |state: &mut State<'_, '_>, value: &Value, rest: Rest<Value>, named: Kwargs| {
                if value.is_undefined() {
                    value.get_attr("")?;
                }
                let mut args = vec![value.clone()];
                args.extend(rest.iter().cloned());
                if named.args().next().is_some() {
                    args.push(named.into());
                }
                original.call(state, &args)
            },
        );
    }
}

/// The text of a string, number or boolean.
fn text_of(value: &Value, filter: &str) -> Result<String, Error> {
    match value.kind() {
        // The attribute of an undefined value is minijinja's own error, which names the variable.
        ValueKind::Undefined => Err(value
            .get_attr("")
            .err()
            .unwrap_or_else(|| ErrorKind::UndefinedError.into())),
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        kind => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("`{filter}` takes a text or a number, this is a {kind}"),
        )),
    }
}

fn shq(value: &Value) -> Result<String, Error> {
    let text = text_of(value, "shq")?;
    if text.contains('\0') {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "a shell word cannot hold a NUL byte",
        ));
    }
    Ok(shell_quote(&text))
}

/// One word of a POSIX shell (XCU section 2.2.2): within single quotes nothing is special but the
/// quote itself.
pub fn shell_quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn cmd(value: &Value) -> Result<String, Error> {
    let text = text_of(value, "cmd")?;
    if text.contains(char::is_control) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "a word in a script of cmd.exe cannot hold a line break or another control character",
        ));
    }
    Ok(cmd_quote(&text))
}

/// One word of a batch script of Windows: within double quotes cmd.exe looks at `%` alone, which is written twice.
/// A quote is written twice and a backslash before the last quote too, as programs read their arguments.
pub fn cmd_quote(text: &str) -> String {
    let backslashes = text.len() - text.trim_end_matches('\\').len();
    format!(
        "\"{}{}\"",
        text.replace('%', "%%").replace('"', "\"\""),
        "\\".repeat(backslashes)
    )
}

fn xml(value: &Value) -> Result<String, Error> {
    let text = text_of(value, "e")?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML 1.0 section 2.2: no other control character may stand in a document at all.
            c if c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r') => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    format!(
                        "XML cannot hold the control character U+{:04X}",
                        u32::from(c)
                    ),
                ));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// minijinja's own, which escapes `<>&'` as `\u00XX`: legal in JSON, in double-quoted YAML and in
/// TOML's basic strings. TOML forbids a bare DEL besides, and YAML 1.1 folds NEL, LS and PS.
fn tojson(value: &Value, indent: Option<Value>, kwargs: Kwargs) -> Result<String, Error> {
    if value.is_undefined() {
        text_of(value, "tojson")?;
    }
    let json = minijinja::filters::tojson(value, indent, kwargs)?.to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// Base64 with padding (RFC 4648 section 4).
fn b64encode(value: &Value) -> Result<String, Error> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = text_of(value, "b64encode")?;
    let mut out = String::with_capacity(text.len().div_ceil(3) * 4);
    for chunk in text.as_bytes().chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            if i <= chunk.len() {
                let six = (bits >> (18 - 6 * i)) & 0x3f;
                let letter = usize::try_from(six).ok().and_then(|at| ALPHABET.get(at));
                out.push(char::from(letter.copied().unwrap_or(b'A')));
            } else {
                out.push('=');
            }
        }
    }
    Ok(out)
}

/// The value itself, if it is one line: for formats such as preseed files where a line break in a
/// value would begin another statement.
fn line(value: &Value) -> Result<String, Error> {
    let text = text_of(value, "line")?;
    if text.contains(['\n', '\r', '\0']) {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "this place takes one line, and the value has a line break in it",
        ));
    }
    if text.ends_with('\\') {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "a backslash at its end would join the value with the next line",
        ));
    }
    Ok(text)
}

/// Several arguments for a list of them in `cmdline`: the elements of a list, or the words of a text, in which
/// the kernel's own quotes keep words together.
fn args(value: &Value) -> Result<String, Error> {
    let texts = match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => value
            .try_iter()?
            .map(|element| text_of(&element, "args"))
            .collect::<Result<Vec<_>, _>>()?,
        _ => vec![text_of(value, "args")?],
    };
    let mut args = Vec::new();
    for text in texts {
        if text.contains(cmdline::SEPARATOR) {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "an argument cannot hold the control character U+001F",
            ));
        }
        args.extend(cmdline::split(&text));
    }
    Ok(args.join(&cmdline::SEPARATOR.to_string()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    /// As programs of Windows split their command line (CommandLineToArgvW), after cmd.exe has made one `%` of two.
    fn as_windows_reads(word: &str) -> String {
        let line = word.replace("%%", "%");
        let inner = line.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
        let halved = inner.len() - inner.trim_end_matches('\\').len();
        inner[..inner.len() - halved / 2].replace("\"\"", "\"")
    }

    #[test]
    fn words_of_batch_scripts() {
        assert_eq!(cmd_quote("C:\\a b"), "\"C:\\a b\"");
        assert_eq!(cmd_quote("100% \"x\" & y"), "\"100%% \"\"x\"\" & y\"");
        assert_eq!(cmd_quote("d:\\"), "\"d:\\\\\"");
        for text in ["a", "", "x\\", "%PATH%", "^&|<>!", "ü'\""] {
            assert_eq!(as_windows_reads(&cmd_quote(text)), text);
        }
        assert!(cmd(&Value::from("a\nb")).is_err());
        assert!(cmd(&Value::from(vec![1])).is_err());
    }

    use super::*;

    fn apply(expression: &str, value: impl Into<Value>) -> Result<String, Error> {
        let mut env = Environment::new();
        env.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        env.set_debug(true);
        add_to(&mut env);
        env.render_str(
            &format!("{{{{ {expression} }}}}"),
            minijinja::context! { x => value.into() },
        )
    }

    /// What a real shell makes of a word.
    fn through_sh(words: &str) -> Vec<u8> {
        let out = Command::new("sh")
            .arg("-c")
            .arg(format!("printf %s {words}"))
            .output()
            .unwrap();
        assert!(out.status.success(), "{words:?}");
        out.stdout
    }

    #[test]
    fn shq_of_nasty_values_comes_back_from_a_real_shell() {
        for text in [
            "",
            "plain",
            "o'brien@host",
            "a b\tc",
            "line one\nline two\n",
            "$(reboot) `id` $HOME ${x}",
            "ünïcödé ß €",
            "-n",
            "\\",
            "'",
            "''\"''",
            "* ? [a] ~ ! # ; & | < > ( )",
        ] {
            let quoted = apply("x | shq", text).unwrap();
            assert_eq!(through_sh(&quoted), text.as_bytes(), "{quoted}");
        }
        assert_eq!(apply("x | shq", 42).unwrap(), "42");
        assert_eq!(apply("x | shq", true).unwrap(), "true");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Many words in one call: a real shell each is what costs time.
        #[test]
        fn shq_is_the_inverse_of_sh(words in prop::collection::vec("[^\0]{0,40}", 1..40)) {
            let quoted: Vec<String> =
                words.iter().map(|word| apply("x | shq", word.as_str()).unwrap()).collect();
            let out = Command::new("sh")
                .arg("-c")
                .arg(format!("printf '%s\\0' {}", quoted.join(" ")))
                .output()
                .unwrap();
            let expected: Vec<u8> =
                words.iter().flat_map(|word| word.bytes().chain([0])).collect();
            prop_assert_eq!(out.stdout, expected);
        }

        #[test]
        fn tojson_is_one_string_in_json_and_toml(text in any::<String>()) {
            let json = apply("x | tojson", text.as_str()).unwrap();
            let back: String = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&back, &text);
            let table: toml::Table = format!("x = {json}").parse().unwrap();
            prop_assert_eq!(table["x"].as_str(), Some(text.as_str()));
            let bare = ['<', '>', '&', '\'', '\n', '\u{7f}', '\u{85}', '\u{2028}'];
            let escaped = !json.contains(bare);
            prop_assert!(escaped);
        }

        #[test]
        fn base64_has_the_right_length_and_alphabet(text in any::<String>()) {
            let encoded = apply("x | b64encode", text.as_str()).unwrap();
            prop_assert_eq!(encoded.len(), text.len().div_ceil(3) * 4);
        }
    }

    #[test]
    fn base64_of_rfc_4648_section_10() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(apply("x | b64encode", text).unwrap(), encoded);
        }
    }

    #[test]
    fn xml_escapes_and_refuses_what_xml_cannot_hold() {
        assert_eq!(
            apply("x | e", "<a b=\"c\">&'ä</a>").unwrap(),
            "&lt;a b=&quot;c&quot;&gt;&amp;&#39;ä&lt;/a&gt;"
        );
        assert!(apply("x | e", "\u{1}").is_err());
    }

    #[test]
    fn what_has_no_quoted_form_is_refused() {
        let detail = |result: Result<String, Error>| result.unwrap_err().to_string();
        assert!(detail(apply("x | shq", vec!["a", "b"])).contains("this is a sequence"));
        assert!(detail(apply("x | shq", "a\0b")).contains("NUL"));
        assert!(detail(apply("x | line", "a\nb")).contains("line break"));
        assert!(detail(apply("x | line", "a\\")).contains("backslash"));
        assert_eq!(apply("x | line", "ünï $x 'q'").unwrap(), "ünï $x 'q'");
        for filter in ["shq", "e", "tojson", "b64encode", "line"] {
            let error = detail(apply(
                &format!("x.y | {filter}"),
                Value::from_iter([("a", 1)]),
            ));
            assert!(error.contains("`x.y` is undefined"), "{filter}: {error}");
        }
    }

    #[test]
    fn join_takes_what_it_took() {
        let list = vec!["a", "b"];
        assert_eq!(apply("x | join(', ')", list.clone()).unwrap(), "a, b");
        assert_eq!(apply("x | join(d='-')", list).unwrap(), "a-b");
        assert!(apply("x.y | join(',')", Value::from_iter([("a", 1)])).is_err());
    }
}
