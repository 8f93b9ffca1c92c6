//! A server's processes: started where the servers are, counted, stopped.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process and its children. Ended when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
    group: Option<Group>,
}

impl Process {
    /// Starts a command; what it says goes to `log` in this folder.
    pub fn start(command: &mut Command, folder: &Path) -> io::Result<Self> {
        let log = folder.join("log");
        let out = File::create(&log)?;
        let group = Group::new();
        let mut counted;
        let command = if let Some(group) = &group {
            // It moves itself before it becomes the server, so that nothing of it is missed.
            counted = Command::new("sh");
            counted
                .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
                .arg(group.folder.join("cgroup.procs"))
                .arg(command.get_program())
                .args(command.get_args());
            &mut counted
        } else {
            command
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()?;
        Ok(Self { child, log, group })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Why it has ended by itself, if it has.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        Some(format!("it ended, {status}: {}", last.join(" | ")))
    }

    /// It and all that it has started.
    fn pids(&self) -> Vec<u32> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let pid: Option<u32> = text.split(' ').next().and_then(|pid| pid.parse().ok());
            let parent: Option<u32> = text
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
            if let (Some(pid), Some(parent)) = (pid, parent) {
                parents.push((pid, parent));
            }
        }
        let mut pids = vec![self.child.id()];
        let mut at = 0;
        while let Some(&one) = pids.get(at) {
            pids.extend(
                parents
                    .iter()
                    .filter(|(_, parent)| *parent == one)
                    .map(|(pid, _)| *pid),
            );
            at += 1;
        }
        pids
    }

    fn signal(&self, signal: Signal) {
        for pid in self.pids() {
            if let Ok(pid) = i32::try_from(pid) {
                // One that serves a single transfer may just have ended.
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
    }

    /// Lets it run.
    pub fn wake(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Stops it, so that it takes no time from another.
    pub fn sleep(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Processor time so far, that of children that have ended included.
    pub fn cpu(&self) -> io::Result<Duration> {
        if let Some(group) = &self.group {
            return group.cpu();
        }
        // In ticks of 10 ms, by the kernel's guess.
        let mut ticks = 0;
        for pid in self.pids() {
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let fields = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let own = fields.split(' ').skip(11).take(4);
            ticks += own
                .filter_map(|field| field.parse::<u64>().ok())
                .sum::<u64>();
        }
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The largest resident sizes so far of those that still run, in MiB.
    pub fn memory(&self) -> f64 {
        self.pids()
            .into_iter()
            .filter_map(|pid| memory(pid).ok())
            .sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.wake();
        self.signal(Signal::SIGTERM);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A control group that only counts: of a server that forks, nothing else counts what its children took.
struct Group {
    folder: PathBuf,
    /// Whether it is one of version 1, which counts in nanoseconds.
    is_old: bool,
}

impl Group {
    fn new() -> Option<Self> {
        for (root, counts, is_old) in [
            ("/sys/fs/cgroup/cpuacct", "cpuacct.usage", true),
            ("/sys/fs/cgroup", "cpu.stat", false),
        ] {
            let Ok(own) = (0..1_000)
                .map(|n| Path::new(root).join(format!("bootwright-bench-{n}")))
                .map(|folder| fs::create_dir(&folder).map(|()| folder))
                .find(|made| !matches!(made, Err(error) if error.kind() == io::ErrorKind::AlreadyExists))?
            else {
                continue;
            };
            let group = Self {
                folder: own,
                is_old,
            };
            if group.folder.join(counts).exists() {
                return Some(group);
            }
        }
        None
    }

    fn cpu(&self) -> io::Result<Duration> {
        if self.is_old {
            let text = fs::read_to_string(self.folder.join("cpuacct.usage"))?;
            return Ok(Duration::from_nanos(
                text.trim().parse().unwrap_or_default(),
            ));
        }
        let text = fs::read_to_string(self.folder.join("cpu.stat"))?;
        let usage = text
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        let usage = usage.and_then(|usage| usage.trim().parse().ok());
        Ok(Duration::from_micros(usage.unwrap_or_default()))
    }
}

impl Drop for Group {
    /// After its processes have ended; one that has not keeps it.
    fn drop(&mut self) {
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The processor time of a process's threads so far.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let nanos = text.split(' ').next().and_then(|text| text.parse().ok());
        sum += nanos.unwrap_or(0_u64);
    }
    Ok(Duration::from_nanos(sum))
}

/// The largest resident size of a process so far, in MiB.
pub fn memory(pid: u32) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = text.lines().find_map(|line| {
        line.strip_prefix("VmHWM:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<f64>()
            .ok()
    });
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| io::Error::other("no VmHWM"))
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
