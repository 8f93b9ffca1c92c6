//! The shipped configuration in a folder of the test's own, and rehearsals run on it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_bootwright");

/// Machines share few processors: one boots at a time, whatever the number of test threads.
pub(crate) fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The shipped configuration, boot files, and a folder for temporary files.
pub(crate) struct Site(TempDir);

/// A rehearsal that has ended.
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    /// Standard output and standard error.
    pub(crate) output: String,
    /// The lines that tell a step or a remark: they begin with a time.
    pub(crate) steps: Vec<String>,
}

impl Site {
    /// With the boot files of the Debian packages.
    pub(crate) fn new() -> Self {
        let site = Self::without_boot_files();
        site.fetch(&["ipxe", "debian-12"]);
        site
    }

    /// Brings boot files.
    pub(crate) fn fetch(&self, what: &[&str]) {
        let mut command = self.command(&["assets", "fetch"]);
        let output = command.args(what).output().unwrap();
        assert!(
            output.status.success(),
            "boot files: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub(crate) fn without_boot_files() -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        copy(&shipped, &site.0.path().join("config"));
        std::fs::create_dir(site.temporary()).unwrap();
        site
    }

    /// Writes a line into the table of a host.
    pub(crate) fn set(&self, host: &str, line: &str) {
        let file = self.0.path().join("config/reservations.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let header = format!("[hosts.{host}]\n");
        assert!(text.contains(&header), "{text}");
        let text = text.replace(&header, &format!("{header}{line}\n"));
        std::fs::write(&file, text).unwrap();
    }

    /// Writes a further configuration file.
    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.path().join("config").join(file), text).unwrap();
    }

    /// Replaces a part of a configuration file.
    pub(crate) fn edit(&self, file: &str, old: &str, new: &str) {
        let file = self.0.path().join("config").join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(old), "{text}");
        std::fs::write(file, text.replacen(old, new, 1)).unwrap();
    }

    /// The size of a boot file as steps tell it: it changes with Debian's point releases.
    pub(crate) fn megabytes(&self, path: &str) -> String {
        let bytes = std::fs::metadata(self.boot_assets().join(path))
            .unwrap()
            .len();
        format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
    }

    pub(crate) fn boot_assets(&self) -> PathBuf {
        self.0.path().join("boot-assets")
    }

    fn temporary(&self) -> PathBuf {
        self.0.path().join("tmp")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--config")
            .arg(self.0.path().join("config/bootwright.toml"))
            .args(args)
            .env("TMPDIR", self.temporary())
            .stdin(Stdio::null());
        command
    }

    /// Rehearses to the end.
    pub(crate) fn rehearse(&self, args: &[&str]) -> Ended {
        let output = self.command(&["rehearse"]).args(args).output().unwrap();
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        let steps: Vec<String> = text.lines().filter_map(step).collect();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        tell(args, &steps);
        Ended {
            status: output.status.code(),
            output: text,
            steps,
        }
    }

    /// Starts a rehearsal and goes on.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut child = self
            .command(&["rehearse"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Running { child, out }
    }

    /// The processes whose command line names this site's temporary files: its virtual machines.
    pub(crate) fn machines(&self) -> Vec<u32> {
        let ours = self.temporary();
        let ours = ours.as_os_str().as_bytes();
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                std::fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.windows(ours.len()).any(|window| window == ours))
            })
            .collect()
    }

    /// What is left in the folder for temporary files.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.temporary())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }

    /// Waits until so many machines of this site run.
    pub(crate) fn wait_for_machines(&self, count: usize) {
        let began = Instant::now();
        while self.machines().len() != count {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "{count} machines were expected, {:?} run",
                self.machines()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Nothing is left: no file, no machine, no interface.
    pub(crate) fn is_clean(&self) {
        assert_eq!(self.leftovers(), Vec::<PathBuf>::new());
        assert_eq!(self.machines(), Vec::<u32>::new());
        let interfaces = std::fs::read_to_string("/proc/net/dev").unwrap();
        assert!(!interfaces.contains("bwtap0"), "{interfaces}");
    }
}

#[expect(
    clippy::print_stderr,
    reason = "for whoever watches minutes of real boots"
)]
fn tell(args: &[&str], steps: &[String]) {
    eprintln!("rehearse {}:", args.join(" "));
    for line in steps {
        eprintln!("{line}");
    }
}

/// A line that begins with a time such as `  3.2s`, which may follow what the console showed.
fn step(line: &str) -> Option<String> {
    let (before, after) = line.split_once("s  ")?;
    let time = before.rsplit(' ').next()?;
    let is_time = time.contains('.') && time.parse::<f32>().is_ok();
    is_time.then(|| format!("{time}s  {after}"))
}

/// A rehearsal under way; killed when the test fails.
pub(crate) struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Reads what it prints up to a line with these words.
    pub(crate) fn wait_for(&mut self, words: &str) {
        let mut seen = String::new();
        loop {
            let from = seen.len();
            let read = self.out.read_line(&mut seen).unwrap();
            assert!(read > 0, "it ended without saying `{words}`:\n{seen}");
            if seen[from..].contains(words) {
                return;
            }
        }
    }

    /// Waits for its end: its status, and what it has printed since.
    pub(crate) fn finish(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }

    /// Sends it a signal and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
        // Read to the end, so that it never waits for a reader.
        let mut rest = Vec::new();
        let _ = self.out.read_to_end(&mut rest);
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
