//! Tasks that live as long as the daemon: one that panics is journalled and started again.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::journal::event::{Event, Kind, Reason};
use crate::serve::context::Context;
use crate::serve::health::Health;

/// First pause before a task is started again; doubled each time up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// The daemon's tasks.
pub(super) struct Tasks {
    ctx: Context,
    health: Health,
    cancel: CancellationToken,
    running: JoinSet<()>,
}

impl Tasks {
    pub(super) fn new(ctx: Context, health: Health, cancel: CancellationToken) -> Self {
        Self {
            ctx,
            health,
            cancel,
            running: JoinSet::new(),
        }
    }

    /// Starts one. `make` is called again after each unexpected end.
    pub(super) fn start<M, F>(&mut self, name: &'static str, make: M)
    where
        M: FnMut(CancellationToken) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.running.spawn(supervise(
            name,
            self.ctx.clone(),
            self.health.clone(),
            self.cancel.clone(),
            make,
        ));
    }

    /// Waits for all to end; those that do not within this time are cut off.
    pub(super) async fn end(mut self, within: Duration) {
        let all = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!("what was still under way was cut off");
            self.running.shutdown().await;
        }
    }
}

async fn supervise<M, F>(
    name: &'static str,
    ctx: Context,
    health: Health,
    cancel: CancellationToken,
    mut make: M,
) where
    M: FnMut(CancellationToken) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let part = format!("task {name}");
    let mut pause = PAUSE;
    loop {
        let began = tokio::time::Instant::now();
        // Its own token: what a task has left running ends with it.
        let inner = cancel.child_token();
        let _end = inner.clone().drop_guard();
        let task = AbortOnDropHandle::new(tokio::spawn(make(inner)));
        let ended = task.await;
        if cancel.is_cancelled() {
            return;
        }
        let why = match ended {
            Ok(()) => "it ended".to_owned(),
            Err(error) => error.to_string(),
        };
        if began.elapsed() > MAX_PAUSE {
            pause = PAUSE;
        }
        let detail = format!("the task `{name}` failed ({why}) and is started again");
        health.trouble(&part, detail.clone());
        ctx.journal
            .append(Event::new(ctx.now(), Kind::ServerTrouble, Reason::TaskFailed).detail(detail));
        if cancel
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            return;
        }
        pause = (pause * 2).min(MAX_PAUSE);
        health.well(&part);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use arc_swap::ArcSwap;

    use super::*;
    use crate::base::SystemClock;
    use crate::host::links::{LinkTable, Links};
    use crate::journal::{Filter, Journal};
    use crate::render::load::InForce;
    use crate::serve::assets::AssetTree;
    use crate::serve::installs::Installs;
    use crate::serve::memory::Memory;
    use crate::store::AnyStore;

    fn context() -> Context {
        let journal = Journal::in_memory();
        let clock = Arc::new(SystemClock);
        Context {
            in_force: Arc::new(ArcSwap::new(Arc::new(InForce::default()))),
            installs: Installs::new(
                Arc::new(AnyStore::in_memory()),
                journal.clone(),
                clock.clone(),
            ),
            journal,
            clock,
            assets: AssetTree::new("assets"),
            memory: Memory::new(),
            links: Links::fixed(LinkTable::default()),
        }
    }

    #[tokio::test]
    async fn a_task_that_panics_is_told_and_started_again() {
        let (ctx, health, cancel) = (context(), Health::default(), CancellationToken::new());
        let (started, runs) = tokio::sync::watch::channel(0_u32);
        let mut runs = runs;
        let count = AtomicU32::new(0);
        let mut tasks = Tasks::new(ctx.clone(), health.clone(), cancel.clone());
        tasks.start("shaky", move |cancel| {
            let run = count.fetch_add(1, Ordering::Relaxed) + 1;
            started.send_replace(run);
            async move {
                assert!(run > 2, "the first runs fail");
                cancel.cancelled().await;
            }
        });
        runs.wait_for(|run| *run == 3).await.unwrap();
        let told = ctx.journal.query(&Filter::default()).await;
        let failed: Vec<_> = told
            .iter()
            .filter(|event| event.reason == Reason::TaskFailed)
            .collect();
        assert_eq!(failed.len(), 2);
        assert!(failed[0].detail.as_ref().unwrap().contains("shaky"));
        assert_eq!(health.text(), "ok\n");
        cancel.cancel();
        tasks.end(Duration::from_secs(5)).await;
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_cut_off() {
        let (ctx, cancel) = (context(), CancellationToken::new());
        let mut tasks = Tasks::new(ctx, Health::default(), cancel.clone());
        tasks.start("deaf", |_| std::future::pending::<()>());
        cancel.cancel();
        let end = tasks.end(Duration::from_millis(50));
        tokio::time::timeout(Duration::from_secs(5), end)
            .await
            .expect("it is cut off");
    }
}
