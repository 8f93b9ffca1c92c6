//! The live systems that were served, in memory: their tokens open answers and reports until the next
//! boot script. And the tools that were served for one boot: their hosts are `local` again once the kernel was
//! sent, and their answers are fetched after that.
//!
//! A live profile writes no disk, so that nothing of it has to outlast the daemon (design section 3.2):
//! the life of its boot is a [`Record`] that no store ever sees, advanced by [`record::step`] like any
//! other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::{HostName, Lifecycle, Timestamp, Token};
use crate::config::Snapshot;
use crate::config::snapshot::{Host, InstallPolicy};
use crate::record::{InstallState, Record};

/// How long the answers of a tool are given after its script: for as long as its machine is not started anew, which
/// nobody here sees for certain.
const TOOL: Duration = Duration::from_secs(86_400);

/// Whether what a record was armed with is a tool for one boot, and one with answers.
fn is_tool(snapshot: &Snapshot, record: &Record) -> bool {
    let profile = record.profile.as_ref();
    profile
        .and_then(|name| snapshot.profile(name))
        .is_some_and(|profile| profile.lifecycle == Lifecycle::Once && !profile.answers.is_empty())
}

/// What is served at every boot; cheap to clone. One entry for each host at most.
#[derive(Debug, Clone, Default)]
pub(super) struct LiveSystems {
    records: Arc<Mutex<HashMap<HostName, Record>>>,
}

impl LiveSystems {
    /// Takes note that a live system is about to be served under this token; an earlier one is void.
    pub(super) fn begin(&self, host: &Host, token: Token, now: Timestamp) -> Record {
        let record = Record {
            state: InstallState::Booting,
            profile: host.profile.clone(),
            file_profile: host.profile.clone(),
            macs: host.boot_macs(),
            ip: host.ip,
            token: Some(token),
            attempt: 1,
            script_at: Some(now),
            changed_at: Some(now),
            ..Record::new(host.name.clone())
        };
        self.lock().insert(host.name.clone(), record.clone());
        record
    }

    /// A record has changed. A tool whose kernel was sent runs on under its token; whatever else becomes of a host
    /// ends what was served to it. `armed` is the record before, and `kernel_is_known` tells whether this server sends
    /// its kernel.
    pub(super) fn follow(
        &self,
        snapshot: &Snapshot,
        armed: Option<&Record>,
        next: &Record,
        kernel_is_known: impl Fn(&Record) -> bool,
        now: Timestamp,
    ) {
        let runs = armed.filter(|armed| {
            matches!(
                armed.state,
                InstallState::Booting | InstallState::Installing
            ) && next.state == InstallState::Local
                // Sent just now.
                && next.kernel_at == Some(now)
                && kernel_is_known(armed)
                && is_tool(snapshot, armed)
        });
        match runs {
            Some(armed) => {
                let record = Record {
                    changed_at: Some(now),
                    ..armed.clone()
                };
                self.lock().insert(record.host.clone(), record);
            }
            None => {
                self.lock().remove(&next.host);
            }
        }
    }

    /// The operator wants the disk booted: a tool that runs is given nothing any more.
    pub(super) fn end_tool(&self, snapshot: &Snapshot, host: &HostName) {
        let mut records = self.lock();
        if records
            .get(host)
            .is_some_and(|record| is_tool(snapshot, record))
        {
            records.remove(host);
        }
    }

    /// The boot with this token, while its host is still served that way. All are compared.
    pub(super) fn by_token(
        &self,
        snapshot: &Snapshot,
        token: &Token,
        now: Timestamp,
    ) -> Option<Record> {
        let mut found = None;
        for record in self.lock().values() {
            if record.token.as_ref() == Some(token) {
                found = Some(record.clone());
            }
        }
        found.filter(|record| {
            snapshot.host(&record.host).is_some_and(|host| {
                host.install == InstallPolicy::Always && host.profile == record.profile
                    || is_tool(snapshot, record)
                        && record.script_at.is_some_and(|at| now.since(at) <= TOOL)
            })
        })
    }

    /// Puts down what a boot has become since it was `before`; `false` when it is no longer that, and nothing
    /// is put down: of two that ask at once for what is given once, one is given it.
    pub(super) fn advance(&self, before: &Record, next: Record) -> bool {
        let mut records = self.lock();
        match records.get_mut(&next.host) {
            Some(record) if record == before => {
                *record = next;
                true
            }
            _ => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostName, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_changes_of_one_state_one_is_put_down() {
        let live = LiveSystems::default();
        let before = Record::new("web01".parse().unwrap());
        live.lock().insert(before.host.clone(), before.clone());
        let given = |by: &str| Record {
            by: Some(by.to_owned()),
            ..before.clone()
        };
        assert!(live.advance(&before, given("one")));
        assert!(!live.advance(&before, given("other")));
        assert_eq!(live.lock().get(&before.host), Some(&given("one")));
    }
}
