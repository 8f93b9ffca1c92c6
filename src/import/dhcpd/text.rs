//! The grammar of dhcpd.conf (dhcpd.conf(5), dhcp-eval(5)): tokens, and statements that may hold others.
//!
//! A statement ends in `;` or holds others between `{` and `}`. What a statement means is not known here.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::import::place::Place;
use crate::import::{ImportError, Source};

/// How deep blocks may lie in each other: deeper ones are nobody's configuration.
const DEEPEST: usize = 64;

/// A word, a text or a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Letters, digits, `-`, `_` and `.`: keywords, names, numbers, addresses.
    Word(String),
    /// What stood between quotation marks, its escapes undone.
    Text(Vec<u8>),
    /// Any other character.
    Mark(char),
}

impl Token {
    /// The word in lower case: keywords are those of any case.
    pub(super) fn keyword(&self) -> Option<String> {
        match self {
            Self::Word(word) => Some(word.to_ascii_lowercase()),
            _ => None,
        }
    }

    /// A word or a text, as text.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Word(word) => Some(word.clone()),
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Mark(_) => None,
        }
    }
}

/// A statement and what it holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    /// Where its first word stands.
    pub at: Place,
    /// What stands before `;` or `{`.
    pub tokens: Vec<Token>,
    /// What stands between `{` and `}`.
    pub body: Option<Vec<Self>>,
}

impl Statement {
    /// The first word, in lower case; empty where the statement begins with something else.
    pub(super) fn keyword(&self) -> String {
        self.tokens
            .first()
            .and_then(Token::keyword)
            .unwrap_or_default()
    }

    /// What follows the first word.
    pub(super) fn rest(&self) -> &[Token] {
        self.tokens.get(1..).unwrap_or_default()
    }

    /// The statement as text, without what it holds.
    pub(super) fn shown(&self) -> String {
        let mut text = shown(&self.tokens);
        if self.body.is_some() {
            text.push_str(" { … }");
        }
        text
    }
}

/// Tokens as text.
pub(super) fn shown(tokens: &[Token]) -> String {
    let mut text = String::new();
    let mut tight = true;
    for token in tokens {
        let mark = match token {
            Token::Mark(c) => Some(*c),
            _ => None,
        };
        let before = !matches!(mark, Some(',' | ':' | ')' | '/' | '?' | '*'));
        if !tight && before {
            text.push(' ');
        }
        tight = matches!(mark, Some(':' | '(' | '/' | '!' | '*'));
        match token {
            Token::Word(word) => text.push_str(word),
            Token::Text(bytes) => {
                let _ = write!(text, "\"{}\"", String::from_utf8_lossy(bytes));
            }
            Token::Mark(c) => text.push(*c),
        }
    }
    text
}

/// Reads a file.
pub(super) fn parse(source: &Source) -> Result<Vec<Statement>, ImportError> {
    let tokens = tokens(source)?;
    let mut parser = Parser {
        file: source.name.as_str().into(),
        tokens: tokens.into_iter().peekable(),
        last: 1,
    };
    parser.statements(None, 0)
}

struct Parser<I: Iterator<Item = (Token, usize)>> {
    file: Arc<str>,
    tokens: std::iter::Peekable<I>,
    last: usize,
}

impl<I: Iterator<Item = (Token, usize)>> Parser<I> {
    fn next(&mut self) -> Option<(Token, usize)> {
        let next = self.tokens.next();
        if let Some((_, line)) = &next {
            self.last = *line;
        }
        next
    }

    fn error(&self, line: usize, what: impl Into<String>) -> ImportError {
        ImportError {
            file: self.file.to_string(),
            line,
            what: what.into(),
        }
    }

    /// Statements up to the `}` of the block that was opened in this line, or to the end of the file.
    fn statements(
        &mut self,
        opened: Option<usize>,
        depth: usize,
    ) -> Result<Vec<Statement>, ImportError> {
        if depth > DEEPEST {
            return Err(self.error(
                self.last,
                format!("more than {DEEPEST} blocks lie in each other"),
            ));
        }
        let mut found = Vec::new();
        loop {
            let Some((token, line)) = self.next() else {
                return match opened {
                    None => Ok(found),
                    Some(line) => {
                        Err(self.error(line, "the `}` of the block that begins here is missing"))
                    }
                };
            };
            match token {
                Token::Mark(';') => {}
                Token::Mark('}') => {
                    return match opened {
                        Some(_) => Ok(found),
                        None => Err(self.error(line, "a `}` without the `{` before it")),
                    };
                }
                Token::Mark('{') => {
                    return Err(self.error(
                        line,
                        "a `{` without the words before it that say what it is",
                    ));
                }
                token => found.push(self.statement(token, line, depth)?),
            }
        }
    }

    fn statement(
        &mut self,
        first: Token,
        line: usize,
        depth: usize,
    ) -> Result<Statement, ImportError> {
        let at = Place::new(&self.file, line);
        let mut tokens = vec![first];
        // The braces of `option NAME code N = { … };` are a type, not a block.
        let mut braces = 0_usize;
        loop {
            let Some((token, here)) = self.next() else {
                return Err(self.error(
                    line,
                    format!("the `;` after `{}` is missing", cut(&shown(&tokens))),
                ));
            };
            let defines = is_definition(&tokens);
            match token {
                Token::Mark(';') if braces == 0 => {
                    return Ok(Statement {
                        at,
                        tokens,
                        body: None,
                    });
                }
                Token::Mark('{') if !defines => {
                    let body = self.statements(Some(here), depth + 1)?;
                    return Ok(Statement {
                        at,
                        tokens,
                        body: Some(body),
                    });
                }
                Token::Mark('}') if braces == 0 => {
                    return Err(self.error(
                        here,
                        format!("the `;` after `{}` is missing", cut(&shown(&tokens))),
                    ));
                }
                token => {
                    match token {
                        Token::Mark('{') => braces += 1,
                        Token::Mark('}') => braces -= 1,
                        _ => {}
                    }
                    tokens.push(token);
                }
            }
        }
    }
}

fn cut(text: &str) -> String {
    crate::import::place::shortened(text)
}

/// Whether these are the beginning of `option NAME code NUMBER = TYPE`.
pub(super) fn is_definition(tokens: &[Token]) -> bool {
    let word = |index: usize| tokens.get(index).and_then(Token::keyword);
    word(0).as_deref() == Some("option")
        && word(2).as_deref() == Some("code")
        && tokens.get(4) == Some(&Token::Mark('='))
}

fn tokens(source: &Source) -> Result<Vec<(Token, usize)>, ImportError> {
    let mut found = Vec::new();
    let mut chars = source.text.chars().peekable();
    let mut line = 1;
    while let Some(c) = chars.next() {
        match c {
            '\n' => line += 1,
            c if c.is_whitespace() || c == '\u{feff}' || c == '\0' => {}
            '#' => while chars.next_if(|c| *c != '\n').is_some() {},
            '"' => {
                let begun = line;
                let text = quoted(&mut chars, &mut line).ok_or_else(|| ImportError {
                    file: source.name.clone(),
                    line: begun,
                    what: "the closing quotation mark is missing".to_owned(),
                })?;
                found.push((Token::Text(text), begun));
            }
            c if in_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = chars.next_if(|c| in_word(*c)) {
                    word.push(c);
                }
                found.push((Token::Word(word), line));
            }
            c => found.push((Token::Mark(c), line)),
        }
    }
    Ok(found)
}

const fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The rest of a text whose opening mark is read: `\t`, `\r`, `\n`, `\b`, three octal digits, `\x` and two hexadecimal
/// ones; any other character after a backslash stands for itself.
fn quoted(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    line: &mut usize,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let push = |bytes: &mut Vec<u8>, c: char| {
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    };
    loop {
        match chars.next()? {
            '"' => return Some(bytes),
            '\\' => match chars.next()? {
                't' => bytes.push(b'\t'),
                'r' => bytes.push(b'\r'),
                'n' => bytes.push(b'\n'),
                'b' => bytes.push(8),
                'x' => {
                    let mut byte = 0_u8;
                    for _ in 0..2 {
                        let Some(digit) = chars.next_if(char::is_ascii_hexdigit) else {
                            break;
                        };
                        let digit = digit
                            .to_digit(16)
                            .and_then(|digit| u8::try_from(digit).ok());
                        byte = (byte << 4) | digit.unwrap_or_default();
                    }
                    bytes.push(byte);
                }
                c @ '0'..='7' => {
                    let octal = |c: char| c.to_digit(8).and_then(|digit| u8::try_from(digit).ok());
                    let mut byte = octal(c).unwrap_or_default();
                    for _ in 0..2 {
                        let Some(digit) = chars.next_if(|c| c.is_digit(8)) else {
                            break;
                        };
                        byte = (byte << 3) | octal(digit).unwrap_or_default();
                    }
                    bytes.push(byte);
                }
                c => {
                    if c == '\n' {
                        *line += 1;
                    }
                    push(&mut bytes, c);
                }
            },
            c => {
                if c == '\n' {
                    *line += 1;
                }
                push(&mut bytes, c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Statement>, ImportError> {
        parse(&Source {
            name: "dhcpd.conf".to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn statements_blocks_comments_and_texts() {
        let found = read(
            "# first\noption domain-name \"a\\\"b\\t\\101\\x42\"; # rest\n\ngroup {\n  host a { hardware ethernet 0:1:2:3:4:5; }\n};\n",
        )
        .unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].at.line, 2);
        assert_eq!(found[0].tokens[2], Token::Text(b"a\"b\tAB".to_vec()));
        assert_eq!(found[1].keyword(), "group");
        let inside = found[1].body.as_deref().unwrap();
        assert_eq!(inside[0].at.line, 5);
        assert_eq!(inside[0].shown(), "host a { … }");
        let inner = inside[0].body.as_deref().unwrap();
        assert_eq!(inner[0].shown(), "hardware ethernet 0:1:2:3:4:5");
    }

    #[test]
    fn types_in_braces_are_no_blocks() {
        let found = read("option a.b code 3 = { integer 8, array of ip-address };\nx;").unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].body.is_none());
        assert_eq!(found[1].at.line, 2);
    }

    #[test]
    fn errors_name_their_line() {
        for (text, line, word) in [
            ("a;\n}\n", 2, "without the `{`"),
            ("a;\nb {\n c;\n", 2, "`}` of the block"),
            ("a;\nb", 2, "`;` after `b`"),
            ("a {\n b }\n", 2, "`;` after `b`"),
            ("a \"\n\n", 1, "quotation mark"),
            ("\n{ }", 2, "`{` without"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.what.contains(word), "{text:?}: {error}");
        }
        assert!(
            read(&"a { ".repeat(100_000)).is_err(),
            "no overflow of the stack"
        );
    }
}
