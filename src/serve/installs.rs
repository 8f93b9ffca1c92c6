//! The one door to the records: read, judge, step, commit, tell.
//!
//! **Invariant:** an event of a change is in the journal only after the change is on disk, and there is
//! one for each change. A change that meets somebody else's is made anew from what is there now; no
//! lock is held.
//!
//! The passing of time is judged in a step of its own before each input, so that a stall is told even
//! when the report that follows makes it good.

mod untold;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::leases::Leases;
use super::live::LiveSystems;
use crate::base::{
    AfterEvent, Clock, FastMap, HardwareAddr, HostName, Lifecycle, ProfileName, Timestamp, Token,
};
use crate::config::Snapshot;
use crate::config::snapshot::{Boot, Host};
use crate::journal::event::{Event, Kind, Reason, Standing};
use crate::journal::{Filter, Journal};
use crate::record::{self, Input, InstallState, Policy, Record, Refusal, Step, Transition};
use crate::store::{AnyStore, Change, CommitError, Remembered, StoreError, Stored, Versioned};

/// How often a change is made anew when somebody else's came between. Each time somebody got on, so
/// that this many in a row are a fault and no contention.
const TRIES: usize = 100;

/// Hosts that one change of the store remembers: it holds all that it writes in memory, and whoever reads a
/// record waits while it is put beside the others.
const REMEMBERED_AT_ONCE: usize = 1_024;

/// At most one event about the store's trouble in this time: every machine that boots meets it.
const TROUBLE_EVERY: Duration = Duration::from_secs(30);

/// Reads and changes records; cheap to clone.
#[derive(Clone)]
pub struct Installs {
    store: Arc<AnyStore>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    live: LiveSystems,
    leases: Leases,
    /// When the store's trouble was last told; microseconds, `i64::MIN`: never.
    trouble_told: Arc<AtomicI64>,
}

/// Who a change is about and where it came from, for its event.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The machine.
    pub mac: Option<HardwareAddr>,
    /// The peer.
    pub ip: Option<Ipv4Addr>,
    /// The configuration in force.
    pub generation: u64,
    /// The file, for scripts, answers and boot files.
    pub file: Option<String>,
    /// Why, where nobody asked for it by a command or a request.
    pub because: Option<Reason>,
}

/// What became of an input.
#[derive(Debug, Clone)]
pub enum Applied {
    /// The record was changed and is on disk; its event is in the journal.
    Changed(Arc<Record>),
    /// It stays as it was, for this reason. No event was written.
    Same(Arc<Record>, Reason),
}

impl Applied {
    /// The record as it is now.
    pub fn into_record(self) -> Arc<Record> {
        match self {
            Self::Changed(record) | Self::Same(record, _) => record,
        }
    }

    /// The record as it is now.
    pub fn record(&self) -> &Record {
        match self {
            Self::Changed(record) | Self::Same(record, _) => record,
        }
    }
}

/// Why an input could not be applied.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApplyError {
    /// The command is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Installs {
    /// Over this store.
    pub fn new(store: Arc<AnyStore>, journal: Journal, clock: Arc<dyn Clock>) -> Self {
        Self {
            leases: Leases::new(Arc::clone(&store)),
            store,
            journal,
            clock,
            live: LiveSystems::default(),
            trouble_told: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// The leases in the same store.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The limits for a host: of the profile it is armed with, else of the server.
    pub fn policy(snapshot: &Snapshot, record: Option<&Record>) -> Policy {
        Self::policy_of(snapshot, record.and_then(|record| record.profile.as_ref()))
    }

    /// The limits of a profile.
    fn policy_of(snapshot: &Snapshot, name: Option<&ProfileName>) -> Policy {
        let profile = name.and_then(|name| snapshot.profile(name));
        Policy {
            max_attempts: snapshot.server.max_attempts,
            stalled_after: snapshot.stalled_after(name),
            lifecycle: profile.map_or(Lifecycle::Install, |profile| profile.lifecycle),
            kernel_is_known: profile.is_none_or(|profile| match &profile.boot {
                // A template that begins with a variable may be a whole URL.
                Boot::Linux { kernel: first, .. }
                | Boot::Image { image: first, .. }
                | Boot::Chain { url: first, .. } => {
                    let text = first.text.trim_start();
                    !text.contains("://") && !text.starts_with("{{")
                }
                // A disk over the network is read in pieces, and from no server of ours.
                Boot::San(_) | Boot::Local { .. } | Boot::Script { .. } => false,
            }),
        }
    }

    /// The record of a host, judged at the present time; `None`: nothing is known of it. A stall or a
    /// lapse found here is stored and told; should that fail, the judged record is returned all the same.
    pub async fn known(
        &self,
        snapshot: &Snapshot,
        host: &HostName,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let found = self.told(snapshot, self.store.record(host).await)?;
        self.judged_each(snapshot, found)
            .await
            .map(|mut records| records.pop())
    }

    /// The record of a host with its version, as it is stored: not judged at the present time.
    pub async fn stored(&self, host: &HostName) -> Option<Stored> {
        self.store.record(host).await.ok().flatten()
    }

    /// The version of a host's record, where that can be told without waiting; `None`: there is none, or it
    /// cannot be read.
    pub fn version(&self, host: &HostName) -> Option<u64> {
        self.store.version(host)
    }

    /// Whether nothing is known of a host, where that can be told without waiting: of most machines that
    /// ask for their address.
    pub fn surely_lacks(&self, host: &HostName) -> bool {
        self.store.surely_lacks(host)
    }

    /// All records, judged at the present time.
    pub async fn all(&self, snapshot: &Snapshot) -> Result<Vec<Arc<Record>>, StoreError> {
        let found = self.told(snapshot, self.store.records().await)?;
        self.judged_each(snapshot, found).await
    }

    /// The record whose token this is, judged at the present time.
    pub async fn by_token(
        &self,
        snapshot: &Snapshot,
        token: &Token,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        if let Some(record) = self.live.by_token(snapshot, token, self.clock.now()) {
            return Ok(Some(Arc::new(record)));
        }
        let found = self.told(snapshot, self.store.by_token(token).await)?;
        let records = self.judged_each(snapshot, found).await?;
        // A lapse voids the token.
        Ok(records
            .into_iter()
            .find(|record| record.token.as_ref() == Some(token)))
    }

    /// Judges every record at the present time, stores and tells what time has changed: for a timer, so
    /// that a stall is told although nobody asks. Also takes back what no longer fits the configuration:
    /// it may have changed while no daemon ran, or while the store could not be written.
    pub async fn judge_all(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.reload(snapshot).await?;
        self.all(snapshot).await.map(|_| ())
    }

    /// Why nothing can be recorded at present; `None`: as far as is known, everything can.
    pub fn cannot_record(&self) -> Option<StoreError> {
        self.store.trouble().map(StoreError::Unavailable)
    }

    /// Applies an input that came under a token: only to the arming that the token was made for. When
    /// somebody has armed the host anew since the token was looked up, or taken the arming back, nothing
    /// is changed (`Same` with [`Reason::VoidToken`]). `input` is made from the record as it is then.
    pub async fn apply_under(
        &self,
        snapshot: &Snapshot,
        token: &Token,
        host: &HostName,
        input: impl Fn(&Record) -> Input + Sync,
        context: &Context,
    ) -> Result<Applied, ApplyError> {
        while let Some(record) = self.live.by_token(snapshot, token, self.clock.now()) {
            if let Some(applied) = self.live_step(snapshot, record, &input, context) {
                return Ok(applied);
            }
        }
        let make = |record: &Record| {
            if record.token.as_ref() == Some(token) {
                Ok(input(record))
            } else {
                Err(Reason::VoidToken)
            }
        };
        self.run(snapshot, &[(host, &make)], context)
            .await
            .and_then(only)
    }

    /// Takes note that the live system of a host is about to be served under a new token: nothing of it
    /// is stored.
    pub fn begin_live(&self, host: &Host, token: Token) -> Record {
        self.live.begin(host, token, self.clock.now())
    }

    /// `None`: the boot has become another one meanwhile.
    fn live_step(
        &self,
        snapshot: &Snapshot,
        record: Record,
        input: &(impl Fn(&Record) -> Input + Sync),
        context: &Context,
    ) -> Option<Applied> {
        let now = self.clock.now();
        let policy = Self::policy(snapshot, Some(&record));
        let input = input(&record);
        Some(match record::step(&record, &input, policy, now) {
            Step::Change(transition) => {
                if !self.live.advance(&record, transition.next.clone()) {
                    return None;
                }
                if let Some(event) = event_of(&record, &transition, policy, now, context) {
                    self.journal.append(event);
                }
                Applied::Changed(Arc::new(transition.next))
            }
            Step::Same(reason) => Applied::Same(Arc::new(record), reason),
            Step::Refused(_) => Applied::Same(Arc::new(record), Reason::NoChange),
        })
    }

    /// Remembers the hosts of a configuration for good. Gives those of which nothing was known before.
    pub async fn remember(&self, snapshot: &Snapshot) -> Result<Vec<HostName>, StoreError> {
        let mut all_new = Vec::new();
        for part in snapshot.hosts().chunks(REMEMBERED_AT_ONCE) {
            let hosts: Vec<Remembered> = part
                .iter()
                .map(|host| Remembered {
                    host: host.name.clone(),
                    macs: host.all_macs(),
                })
                .collect();
            let new = self.told(snapshot, self.store.remember(&hosts).await)?;
            all_new.extend(
                hosts
                    .into_iter()
                    .zip(new)
                    .filter_map(|(host, new)| new.then_some(host.host)),
            );
        }
        Ok(all_new)
    }

    /// Applies one input to one host. When this returns `Changed`, the change is on disk.
    pub async fn apply(
        &self,
        snapshot: &Snapshot,
        host: &HostName,
        input: &Input,
        context: &Context,
    ) -> Result<Applied, ApplyError> {
        let make = |_: &Record| Ok(input.clone());
        self.run(snapshot, &[(host, &make)], context)
            .await
            .and_then(only)
    }

    /// Applies inputs to several hosts in one change of the store: all of them or none. An operator's
    /// command that is refused for one host is refused for all; what time alone has changed meanwhile is
    /// stored and told in any case.
    pub async fn apply_all(
        &self,
        snapshot: &Snapshot,
        inputs: &[(HostName, Input)],
        context: &Context,
    ) -> Result<Vec<Applied>, ApplyError> {
        let makes: Vec<_> = inputs
            .iter()
            .map(|(_, input)| move |_: &Record| Ok(input.clone()))
            .collect();
        let inputs: Vec<(&HostName, Make<'_>)> = inputs
            .iter()
            .zip(&makes)
            .map(|((host, _), make)| (host, make as Make<'_>))
            .collect();
        self.run(snapshot, &inputs, context).await
    }

    async fn run(
        &self,
        snapshot: &Snapshot,
        inputs: &[(&HostName, Make<'_>)],
        context: &Context,
    ) -> Result<Vec<Applied>, ApplyError> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let mut work = Work::default();
            // As they were before the first change of each.
            let mut before: FastMap<&HostName, Arc<Record>> = FastMap::default();
            for &(host, make) in inputs {
                let current = match work.latest(host) {
                    Some(current) => current,
                    None => self
                        .told(snapshot, self.store.record(host).await)?
                        .unwrap_or_else(|| Versioned {
                            version: 0,
                            value: Arc::new(Record::new(host.clone())),
                        }),
                };
                before
                    .entry(host)
                    .or_insert_with(|| Arc::clone(&current.value));
                work.take(snapshot, current, make, now, context);
            }
            let refused = work.refused.take();
            if refused.is_some() {
                work.keep_judgements();
            } else {
                self.release(snapshot, &mut work, now).await?;
            }
            match self.commit(&work.changes).await {
                Ok(()) => {}
                Err(CommitError::Conflict(_)) => continue,
                // A refusal stands even when the lapse beside it cannot be stored.
                Err(CommitError::Store(error)) => {
                    let error = self.trouble(snapshot, error);
                    return Err(refused.map_or(ApplyError::Store(error), ApplyError::Refused));
                }
            }
            for change in &work.changes {
                let armed = before.get(&change.next.host).map(|record| &**record);
                let known = |armed: &Record| Self::policy(snapshot, Some(armed)).kernel_is_known;
                self.live.follow(snapshot, armed, &change.next, known, now);
            }
            if refused.is_none() {
                for host in &work.local_again {
                    self.live.end_tool(snapshot, host);
                }
            }
            work.events
                .into_iter()
                .for_each(|event| self.journal.append(event));
            return match refused {
                Some(refusal) => Err(ApplyError::Refused(refusal)),
                None => Ok(work.applied),
            };
        }
        let error = StoreError::Unavailable(format!("{TRIES} changes in a row met another one"));
        Err(ApplyError::Store(self.trouble(snapshot, error)))
    }

    /// Arms the hosts that have waited for what this work brings about, in the same change of the store.
    async fn release(
        &self,
        snapshot: &Snapshot,
        work: &mut Work,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if !work.may_release {
            return Ok(());
        }
        // Of thousands that boot at once mostly none waits: nothing is read but that.
        let mut waiting = self.told(snapshot, self.store.waiting().await)?;
        let own = work.changes.iter().map(|change| &change.next);
        waiting.extend(
            own.filter(|record| record.state == InstallState::Waiting)
                .map(|record| record.host.clone()),
        );
        waiting.sort();
        waiting.dedup();
        for host in waiting {
            let Some(current) = self.latest(snapshot, work, &host).await? else {
                continue;
            };
            let came = match &current.value.after {
                Some(after) if current.value.state == InstallState::Waiting => self
                    .latest(snapshot, work, &after.host)
                    .await?
                    .is_some_and(|other| record::reached(&other.value, after.event)),
                _ => false,
            };
            if came {
                work.release(snapshot, &current, now);
            }
        }
        Ok(())
    }

    /// The record of a host as this work leaves it, or else as it is stored.
    async fn latest(
        &self,
        snapshot: &Snapshot,
        work: &Work,
        host: &HostName,
    ) -> Result<Option<Stored>, StoreError> {
        match work.latest(host) {
            Some(record) => Ok(Some(record)),
            None => self.told(snapshot, self.store.record(host).await),
        }
    }

    /// Brings the records in line with a configuration that has taken effect: armings that no longer
    /// fit go back to `local`, and nothing stays known of hosts that are gone. Arms nothing but what has
    /// waited for an event that has come.
    pub async fn reload(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let records = self.told(snapshot, self.store.records().await)?;
        let context = Context {
            generation: snapshot.generation,
            ..Context::default()
        };
        for Versioned { value: record, .. } in &records {
            let mut inputs = Vec::new();
            match (record.state, snapshot.host(&record.host)) {
                (InstallState::Local, None) if record::has_come_to_something(record) => {
                    inputs.push(reload_of(snapshot, &record.host));
                }
                (InstallState::Local, _) => {}
                (InstallState::Armed | InstallState::Waiting, _) | (_, None) => {
                    inputs.push(reload_of(snapshot, &record.host));
                }
                _ => {}
            }
            if let (InstallState::Waiting, Some(after)) = (record.state, &record.after)
                && records.iter().any(|other| {
                    other.value.host == after.host && record::reached(&other.value, after.event)
                })
            {
                inputs.push(Input::Released);
            }
            for input in inputs {
                match self.apply(snapshot, &record.host, &input, &context).await {
                    Err(ApplyError::Store(error)) => return Err(error),
                    Ok(_) | Err(ApplyError::Refused(_)) => {}
                }
            }
        }
        Ok(())
    }

    /// Tells of each host whose last change a kill has kept out of the journal. To be called before
    /// anything new happens.
    pub async fn make_up(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let Some(end) = self.journal.earlier_end().await else {
            return Ok(());
        };
        for found in self.told(snapshot, self.store.records().await)? {
            let record = found.value;
            if !untold::may_be_untold(&record, end) {
                continue;
            }
            let of_host = Filter {
                host: Some(record.host.clone()),
                ..Filter::default()
            };
            let told = self.journal.query(&of_host).await;
            if let Some(mut event) = untold::untold(&record, &told, self.clock.now()) {
                event.generation = snapshot.generation;
                self.journal.append(event);
            }
        }
        Ok(())
    }

    /// Judges what was read at the present time, and stores and tells what time has changed.
    async fn judged_each(
        &self,
        snapshot: &Snapshot,
        found: impl IntoIterator<Item = Stored>,
    ) -> Result<Vec<Arc<Record>>, StoreError> {
        let mut records = Vec::new();
        for found in found {
            records.push(self.judged(snapshot, found).await);
        }
        Ok(records)
    }

    async fn judged(&self, snapshot: &Snapshot, mut found: Stored) -> Arc<Record> {
        let context = Context {
            generation: snapshot.generation,
            ..Context::default()
        };
        for _ in 0..TRIES {
            let mut work = Work::default();
            let host = found.value.host.clone();
            let look = |_: &Record| Ok(Input::Look);
            let now = self.clock.now();
            work.take(snapshot, found, &look, now, &context);
            // Should the store fail here, a later look makes it good.
            let _ = self.release(snapshot, &mut work, now).await;
            let judged = work.applied.pop().map(Applied::into_record);
            match self.commit(&work.changes).await {
                Ok(()) => work
                    .events
                    .into_iter()
                    .for_each(|event| self.journal.append(event)),
                Err(CommitError::Conflict(_)) => {
                    if let Ok(Some(again)) = self.store.record(&host).await {
                        found = again;
                        continue;
                    }
                }
                Err(CommitError::Store(error)) => {
                    self.trouble(snapshot, error);
                }
            }
            return judged.unwrap_or_else(|| Arc::new(Record::new(host)));
        }
        // It changed under every attempt: it is as fresh as can be.
        found.value
    }

    async fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.store.commit(changes).await
    }

    fn told<T>(&self, snapshot: &Snapshot, read: Result<T, StoreError>) -> Result<T, StoreError> {
        read.map_err(|error| self.trouble(snapshot, error))
    }

    /// Tells that the store is in trouble, not more often than [`TROUBLE_EVERY`].
    fn trouble(&self, snapshot: &Snapshot, error: StoreError) -> StoreError {
        let now = self.clock.now();
        let last = self.trouble_told.load(Ordering::Relaxed);
        let due = last == i64::MIN
            || now.since(Timestamp::from_micros(last)) >= TROUBLE_EVERY
            || now < Timestamp::from_micros(last);
        let mine = due
            && self
                .trouble_told
                .compare_exchange(last, now.as_micros(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if mine {
            let mut event = Event::new(now, Kind::ServerTrouble, Reason::StoreUnavailable).detail(
                format!("{error}; addresses are given and disks booted, nothing is installed"),
            );
            event.generation = snapshot.generation;
            self.journal.append(event);
        }
        error
    }
}

/// Makes the input for a record as it is when it is changed, or says why there is none.
type Make<'a> = &'a (dyn Fn(&Record) -> Result<Input, Reason> + Sync);

/// What a configuration says of a host now.
fn reload_of(snapshot: &Snapshot, host: &HostName) -> Input {
    let host = snapshot.host(host);
    Input::Reload {
        macs: host.map(|host| host.boot_macs()).unwrap_or_default(),
        ip: host.and_then(|host| host.ip),
        profile: host.and_then(|host| host.profile.clone()),
    }
}

/// The event that tells a change.
fn event_of(
    before: &Record,
    transition: &Transition,
    policy: Policy,
    now: Timestamp,
    context: &Context,
) -> Option<Event> {
    let (kind, reason) = transition.event?;
    let next = &transition.next;
    let mac = context.mac.or_else(|| next.macs.first().copied());
    let mut event = Event::new(now, kind, context.because.unwrap_or(reason))
        .host(next.host.clone())
        .mac(mac)
        .ip(context.ip.or(next.ip));
    event.file.clone_from(&context.file);
    event.generation = context.generation;
    event.detail = record::describe(before, transition, policy);
    event.install = Some(Box::new(standing(next)));
    Some(event)
}

/// The outcome of one input.
fn only(mut applied: Vec<Applied>) -> Result<Applied, ApplyError> {
    applied
        .pop()
        .ok_or_else(|| ApplyError::Store(StoreError::Unavailable("nothing was applied".to_owned())))
}

/// What a set of inputs leads to, before any of it is stored.
#[derive(Default)]
struct Work {
    changes: Vec<Change>,
    events: Vec<Event>,
    applied: Vec<Applied>,
    refused: Option<Refusal>,
    /// Whether a host may have waited for one of the changes, or waits by one of them.
    may_release: bool,
    /// For each change, how many events there were after it, and whether time alone made it.
    marks: Vec<(usize, bool)>,
    /// The place of each host's last change.
    last: FastMap<HostName, usize>,
    /// The hosts that an operator wants to be `local`, and that are.
    local_again: Vec<HostName>,
}

impl Work {
    /// The record of a host as these changes leave it, when they have one of it.
    fn latest(&self, host: &HostName) -> Option<Stored> {
        let change = self.changes.get(*self.last.get(host)?)?;
        Some(Versioned {
            version: change.expect.saturating_add(1),
            value: Arc::clone(&change.next),
        })
    }

    fn take(
        &mut self,
        snapshot: &Snapshot,
        mut current: Stored,
        make: Make<'_>,
        now: Timestamp,
        context: &Context,
    ) {
        let mut looked = false;
        let policy = Installs::policy(snapshot, Some(&current.value));
        if let Step::Change(judgement) = record::step(&current.value, &Input::Look, policy, now) {
            current = self.change(
                &current,
                *judgement,
                policy,
                now,
                &Context::of_time(snapshot),
            );
            looked = true;
        }
        let input = match make(&current.value) {
            Ok(input) => input,
            Err(reason) => {
                let same = Applied::Same(current.value, reason);
                return self.applied.push(same);
            }
        };
        if input == Input::Look {
            self.applied.push(if looked {
                Applied::Changed(current.value)
            } else {
                Applied::Same(current.value, Reason::NoChange)
            });
            return;
        }
        let policy = match &input {
            Input::Install { with, .. } => Installs::policy_of(snapshot, Some(&with.profile)),
            _ => policy,
        };
        match record::step(&current.value, &input, policy, now) {
            Step::Change(transition) => {
                let next = self.change(&current, *transition, policy, now, context);
                if let Some(mark) = self.marks.last_mut() {
                    mark.1 = false;
                }
                self.applied.push(Applied::Changed(next.value));
            }
            Step::Same(reason) => {
                if matches!(input, Input::Local { .. }) {
                    self.local_again.push(current.value.host.clone());
                }
                self.applied.push(Applied::Same(current.value, reason));
            }
            Step::Refused(refusal) => {
                self.refused.get_or_insert(refusal);
            }
        }
    }

    /// Puts a change down; as one of time's.
    fn change(
        &mut self,
        current: &Stored,
        transition: Transition,
        policy: Policy,
        now: Timestamp,
        context: &Context,
    ) -> Stored {
        self.events
            .extend(event_of(&current.value, &transition, policy, now, context));
        let (before, after) = (&current.value, &transition.next);
        self.may_release |= after.state == InstallState::Waiting
            || AfterEvent::ALL
                .into_iter()
                .any(|event| record::reached(after, event) && !record::reached(before, event));
        let next = Arc::new(transition.next);
        self.last.insert(next.host.clone(), self.changes.len());
        self.changes.push(Change {
            expect: current.version,
            next: Arc::clone(&next),
        });
        self.marks.push((self.events.len(), true));
        Versioned {
            version: current.version.saturating_add(1),
            value: next,
        }
    }

    /// Arms a host that has waited, or takes its order back when it no longer fits.
    fn release(&mut self, snapshot: &Snapshot, current: &Stored, now: Timestamp) {
        let policy = Installs::policy(snapshot, Some(&current.value));
        let host = current.value.host.clone();
        let step = |input| record::step(&current.value, &input, policy, now);
        let ((Step::Change(transition), _) | (_, Step::Change(transition))) =
            (step(reload_of(snapshot, &host)), step(Input::Released))
        else {
            return;
        };
        let next = self.change(
            current,
            *transition,
            policy,
            now,
            &Context::of_time(snapshot),
        );
        if let Some(mark) = self.marks.last_mut() {
            mark.1 = false;
        }
        for applied in &mut self.applied {
            if applied.record().host == host {
                *applied = Applied::Changed(Arc::clone(&next.value));
            }
        }
    }

    /// Drops all but the changes of time that came before any other of the same host.
    fn keep_judgements(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        self.last.clear();
        let mut events = std::mem::take(&mut self.events).into_iter();
        let mut taken = 0;
        for (change, (after, of_time)) in changes.into_iter().zip(&self.marks) {
            let own: Vec<Event> = events.by_ref().take(after - taken).collect();
            taken = *after;
            // A judgement made from a dropped change cannot be: time was judged at its beginning.
            if *of_time {
                self.changes.push(change);
                self.events.extend(own);
            }
        }
    }
}

/// What an event tells of the record beside the change.
fn standing(record: &Record) -> Standing {
    Standing {
        state: record.state.as_str().into(),
        profile: record.profile.clone(),
        attempt: record.attempt,
        percent: record.percent,
        message: record.message.clone(),
    }
}

impl Context {
    fn of_time(snapshot: &Snapshot) -> Self {
        Self {
            generation: snapshot.generation,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests;
