//! The serial console as text: what a terminal's control sequences leave, for the report of a failure.
//!
//! **Invariant:** any bytes give text; memory is bounded whatever the machine writes.

use std::collections::VecDeque;

/// Bytes read from the console at once.
pub(super) const AT_ONCE: u64 = 1 << 20;
/// Lines kept.
const LINES: usize = 200;
/// Characters of a line kept: dialogs are drawn without line ends.
const WIDTH: usize = 400;

/// The last lines that were written.
#[derive(Debug, Default)]
pub struct Screen {
    lines: VecDeque<String>,
    line: String,
    state: State,
}

/// Where within a control sequence (ECMA-48) the text is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// After ESC [: until a letter.
    Sequence,
    /// After ESC ( or ESC ): one more character.
    Charset,
    /// After ESC ]: until BEL or ESC.
    Command,
}

impl Screen {
    /// Takes in what was written.
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.state = match (self.state, byte) {
                (_, 0x1b) => State::Escape,
                (State::Text, b'\n' | b'\r') => {
                    self.end_line();
                    State::Text
                }
                (State::Text, b'\t') => {
                    self.push(' ');
                    State::Text
                }
                (State::Text, 0x20..=0x7e) => {
                    self.push(char::from(byte));
                    State::Text
                }
                // Bytes above ASCII are drawings or UTF-8; a stand-in is enough for a report.
                (State::Text, 0xc0..=0xff) => {
                    self.push('?');
                    State::Text
                }
                (State::Escape, b'[') | (State::Sequence, 0x00..=0x3f) => State::Sequence,
                (State::Escape, b'(' | b')') => State::Charset,
                (State::Escape, b']') => State::Command,
                (State::Sequence, b'H' | b'f' | b'J' | b'A' | b'B') => {
                    // The cursor went elsewhere: what follows is another line.
                    self.end_line();
                    State::Text
                }
                (State::Command, byte) if byte != 0x07 => State::Command,
                // The end of a sequence, or a control character.
                _ => State::Text,
            };
        }
    }

    /// Whether a text is among the lines.
    pub fn shows(&self, text: &str) -> bool {
        self.lines
            .iter()
            .chain([&self.line])
            .any(|line| line.contains(text))
    }

    /// The last lines that are not empty.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let mut tail: Vec<String> = self
            .lines
            .iter()
            .chain([&self.line])
            .map(|line| line.trim_end().to_owned())
            .filter(|line| !line.trim().is_empty())
            .collect();
        tail.drain(..tail.len().saturating_sub(count));
        tail
    }

    fn push(&mut self, c: char) {
        if self.line.len() < WIDTH {
            self.line.push(c);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        // A progress display writes the same line over and over.
        if line.trim().is_empty() || self.lines.back() == Some(&line) {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_leave_the_text() {
        let mut screen = Screen::default();
        screen.write(b"\x1b[0m\x1b[37miPXE 1.0.0\r\n\x1b[1;36mConfiguring (net0 52:54");
        screen.write(b":00)\x1b[0m... ok\r\n\x1b(0lqqk\x1b(B\x1b]0;title\x07x\n\n");
        assert_eq!(
            screen.tail(9),
            ["iPXE 1.0.0", "Configuring (net0 52:54:00)... ok", "lqqkx"]
        );
        assert_eq!(screen.tail(1), ["lqqkx"]);
        assert!(screen.shows("52:54:00"));
    }

    #[test]
    fn it_is_bounded() {
        let mut screen = Screen::default();
        screen.write(&vec![b'x'; 100_000]);
        for line in 0..10_000 {
            screen.write(format!("line {line}\n").as_bytes());
        }
        assert_eq!(screen.lines.len(), LINES);
        assert_eq!(screen.tail(1), ["line 9999"]);
        assert!(screen.line.capacity() < 2 * WIDTH);
    }

    #[test]
    fn any_bytes_give_text() {
        let mut screen = Screen::default();
        let bytes: Vec<u8> = (0..=255).cycle().take(5_000).collect();
        screen.write(&bytes);
        assert!(screen.tail(3).len() <= 3);
    }
}
