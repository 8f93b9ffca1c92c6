//! Network namespaces of the test's own, joined by a veth pair.
//!
//! A namespace here is that of a thread: it has no name, collides with nothing, and is gone with the
//! last thread, process and socket in it, however the test ends.

use std::process::Command;
use std::sync::mpsc;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};

type Job = Box<dyn FnOnce() + Send>;

/// A namespace and the thread that holds it.
pub(crate) struct Namespace {
    jobs: mpsc::Sender<Job>,
    tid: Pid,
}

impl Namespace {
    /// A new one, with its loopback up. The error says what is missing to make one.
    pub(crate) fn new() -> Result<Self, String> {
        let (jobs, work) = mpsc::channel::<Job>();
        let (tell, made) = mpsc::channel();
        std::thread::spawn(move || {
            let entered = unshare(CloneFlags::CLONE_NEWNET)
                .map(|()| gettid())
                .map_err(|errno| format!("no network namespace can be made: {errno}"));
            let failed = entered.is_err();
            if tell.send(entered).is_err() || failed {
                return;
            }
            for job in work {
                job();
            }
        });
        let tid = made.recv().map_err(|error| error.to_string())??;
        let namespace = Self { jobs, tid };
        namespace.ip("link set lo up");
        Ok(namespace)
    }

    /// Runs something inside and waits for it. Threads and programs started there stay there.
    pub(crate) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, done) = mpsc::channel();
        let job = Box::new(move || {
            let _ = tell.send(job());
        });
        self.jobs.send(job).expect("the namespace's thread");
        done.recv().expect("the job ends without a panic")
    }

    /// Runs `ip` with these words.
    pub(crate) fn ip(&self, words: &str) {
        let (ok, said) = self.command("ip", words);
        assert!(ok, "ip {words}: {said}");
    }

    /// Runs a program with these words: whether it succeeded, and what it said.
    pub(crate) fn command(&self, program: &str, words: &str) -> (bool, String) {
        let mut command = Command::new(program);
        command.args(words.split_whitespace());
        self.run(move || {
            let output = command.output().expect("the program runs");
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            (output.status.success(), said)
        })
    }

    /// Joins this one's new interface `near` to the other's new interface `far`, both switched on.
    pub(crate) fn join(&self, near: &str, other: &Self, far: &str) {
        let tid = other.tid;
        self.ip(&format!(
            "link add {near} type veth peer name {far} netns {tid}"
        ));
        self.ip(&format!("link set {near} up"));
        other.ip(&format!("link set {far} up"));
    }
}
