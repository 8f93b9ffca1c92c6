//! How a transfer has ended: in the words of its event, and judged from what was read of it where its engine
//! does not tell.

use std::time::Duration;

use super::tap::{End, Note};
use crate::journal::event::{Kind, Reason};

/// How long the engine waits for an acknowledgement before it repeats.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);

/// How often it repeats.
pub(super) const RETRIES: u32 = 4;

/// Silence after which it gives a client up.
const PATIENCE: Duration = Duration::from_secs(5);

/// All that is known of a transfer that is over.
#[derive(Debug)]
pub(super) struct Ended {
    /// What the server itself could not do.
    pub(super) failure: Option<(Reason, String)>,
    /// What the engine said; `None` when nobody listens to it.
    pub(super) note: Option<Note>,
    /// Bytes that the engine has read.
    pub(super) read: u64,
    /// Bytes in one block; 0 before the first read.
    pub(super) block: u64,
    /// It has read to the end.
    pub(super) eof: bool,
    /// Since its last read.
    pub(super) since_read: Duration,
}

/// What the event says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) kind: Kind,
    pub(super) reason: Reason,
    pub(super) bytes: u64,
    pub(super) detail: Option<String>,
}

/// Judges a transfer.
///
/// A client that asks for the size only (PXE ROMs and EDK2 do before the real transfer) takes the
/// option acknowledgement and sends ERROR 8, which the engine does not read: it repeats the
/// acknowledgement until it gives up. That is no failure. A client that has seen the option
/// acknowledgement of a transfer without `tsize` and says nothing is one.
pub(super) fn judge(ended: &Ended) -> Outcome {
    if let Some((reason, text)) = &ended.failure {
        return failed(*reason, text.clone());
    }
    let first_block_only = ended.read <= ended.block;
    let Some(note) = &ended.note else {
        return if ended.eof && ended.since_read < PATIENCE {
            sent(ended.read, None)
        } else if first_block_only {
            aborted()
        } else {
            failed(
                Reason::Timeout,
                format!("the client fell silent after {} bytes", ended.read),
            )
        };
    };
    match &note.end {
        Some(End::Served) => sent(ended.read, repeated(note.repeats.into())),
        // Block numbers wrap: 0 is the option acknowledgement only while nothing else was read.
        Some(End::Unacknowledged(0)) if note.oack && first_block_only => {
            if note.told_size {
                aborted()
            } else {
                failed(
                    Reason::Timeout,
                    "the client did not acknowledge the options".to_owned(),
                )
            }
        }
        Some(End::Unacknowledged(block)) => failed(
            Reason::Timeout,
            format!(
                "block {block} of {} bytes was not acknowledged, {} bytes in all",
                ended.block, ended.read
            ),
        ),
        Some(End::Error(text)) => failed(Reason::SendFailed, text.clone()),
        None if note.told_size && note.repeats > 0 && first_block_only => aborted(),
        None => failed(Reason::Incomplete, "the server stopped".to_owned()),
    }
}

/// What is said of packets that were sent again.
pub(super) fn repeated(packets: u64) -> Option<String> {
    match packets {
        0 => None,
        1 => Some("1 packet repeated".to_owned()),
        n => Some(format!("{n} packets repeated")),
    }
}

pub(super) fn sent(bytes: u64, detail: Option<String>) -> Outcome {
    Outcome {
        kind: Kind::TftpSent,
        reason: Reason::Done,
        bytes,
        detail,
    }
}

pub(super) fn aborted() -> Outcome {
    Outcome {
        kind: Kind::TftpSent,
        reason: Reason::Aborted,
        bytes: 0,
        detail: Some("the client asked for the size only".to_owned()),
    }
}

pub(super) fn failed(reason: Reason, detail: String) -> Outcome {
    Outcome {
        kind: Kind::TftpFailed,
        reason,
        bytes: 0,
        detail: Some(detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(note: impl Into<Option<Note>>) -> Ended {
        Ended {
            failure: None,
            note: note.into(),
            read: 10_000,
            block: 1_468,
            eof: true,
            since_read: Duration::from_millis(1),
        }
    }

    fn says(end: End, oack: bool, told_size: bool) -> Note {
        Note {
            oack,
            told_size,
            repeats: 4,
            end: Some(end),
        }
    }

    fn short(ended: &Ended) -> (Kind, Reason) {
        let outcome = judge(ended);
        (outcome.kind, outcome.reason)
    }

    const SENT: (Kind, Reason) = (Kind::TftpSent, Reason::Done);
    const PROBE: (Kind, Reason) = (Kind::TftpSent, Reason::Aborted);
    const SILENT: (Kind, Reason) = (Kind::TftpFailed, Reason::Timeout);

    #[test]
    fn by_the_engines_word() {
        assert_eq!(short(&ended(says(End::Served, true, true))), SENT);
        assert_eq!(
            judge(&ended(says(End::Served, true, true)))
                .detail
                .as_deref(),
            Some("4 packets repeated")
        );
        let first = |note| Ended {
            read: 1_468,
            eof: false,
            ..ended(note)
        };
        assert_eq!(
            short(&first(says(End::Unacknowledged(0), true, true))),
            PROBE
        );
        assert_eq!(
            short(&first(says(End::Unacknowledged(0), true, false))),
            SILENT
        );
        assert_eq!(
            short(&first(says(End::Unacknowledged(1), true, true))),
            SILENT
        );
        // Block 65,536 bears the number 0 as well.
        assert_eq!(
            short(&ended(says(End::Unacknowledged(0), true, true))),
            SILENT
        );
        assert_eq!(
            short(&ended(says(End::Error("no route".into()), true, true))),
            (Kind::TftpFailed, Reason::SendFailed)
        );
        assert_eq!(
            short(&ended(Some(Note::default()))),
            (Kind::TftpFailed, Reason::Incomplete)
        );
    }

    #[test]
    fn by_the_clock_when_nobody_listens() {
        assert_eq!(short(&ended(None)), SENT);
        assert_eq!(
            short(&Ended {
                since_read: Duration::from_secs(5),
                ..ended(None)
            }),
            SILENT
        );
        assert_eq!(
            short(&Ended {
                eof: false,
                ..ended(None)
            }),
            SILENT
        );
        assert_eq!(
            short(&Ended {
                read: 1_468,
                eof: false,
                since_read: Duration::from_secs(5),
                ..ended(None)
            }),
            PROBE
        );
    }

    #[test]
    fn what_the_server_could_not_do_comes_first() {
        let outcome = judge(&Ended {
            failure: Some((Reason::Changed, "it shrank".into())),
            ..ended(says(End::Served, true, true))
        });
        assert_eq!(
            (outcome.kind, outcome.reason, outcome.bytes),
            (Kind::TftpFailed, Reason::Changed, 0)
        );
    }
}
