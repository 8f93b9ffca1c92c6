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
    /// What the console showed: without the steps told between, and without control sequences.
    console: String,
}

impl Ended {
    /// Something that was printed, or shown on the console, wherever a step or the cursor came between.
    #[track_caller]
    pub(crate) fn assert_shows(&self, all: &[&str]) {
        for words in all {
            let shown = self.output.contains(words) || self.console.contains(words);
            assert!(shown, "{words}: {}", self.output);
        }
    }
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

    /// The folder of the configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.0.path().join("config")
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
        let console = console(&text);
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        tell(args, &steps);
        Ended {
            status: output.status.code(),
            output: text,
            steps,
            console,
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
        Running {
            child,
            out,
            seen: Vec::new(),
        }
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
    line.match_indices("s  ").find_map(|(at, _)| {
        let time = line.get(..at)?.rsplit(' ').next()?;
        let is_time = time.contains('.') && time.parse::<f32>().is_ok();
        is_time.then(|| format!("{time}{}", &line[at..]))
    })
}

/// The console's part of what was printed. Steps are told wherever the console happens to be, in the middle of
/// a word too; a cursor is set within a line.
fn console(text: &str) -> String {
    let mut shown = String::new();
    for line in text.split_inclusive('\n') {
        match step(line) {
            Some(step) => {
                let before = &line[..line.len() - step.len()];
                let time = step.find('s').unwrap_or_default();
                // Times are padded to six characters.
                let pad = before.len() - before.trim_end_matches(' ').len();
                let padding = 6_usize.saturating_sub(time).min(pad);
                shown.push_str(&before[..before.len() - padding]);
            }
            None => shown.push_str(line),
        }
    }
    let mut plain = String::new();
    let mut rest = shown.as_str();
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = sequence.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        rest = rest.get(1..).unwrap_or_default();
    }
    plain + rest
}

#[test]
fn a_console_is_read_around_steps_and_cursors() {
    let text = "  1.2s  offered\nfiles  of   1.2s  taken\n\r\nBootwright: web01 is debia\x1b[14;47H\x1b[14;48Hn-12 (x)\r\n\
                Loading a/li   5.8s  kernel sent\nnux... 123456.1s  sent\nok\n";
    assert_eq!(
        console(text),
        "files  of\r\nBootwright: web01 is debian-12 (x)\r\nLoading a/linux... ok\n"
    );
}

/// A rehearsal under way; killed when the test fails.
pub(crate) struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    /// All that was read of it.
    seen: Vec<u8>,
}

impl Running {
    /// Reads what it prints up to a line with these words.
    pub(crate) fn wait_for(&mut self, words: &str) {
        loop {
            let from = self.seen.len();
            self.read_line(words);
            if String::from_utf8_lossy(&self.seen[from..]).contains(words) {
                return;
            }
        }
    }

    /// Reads what it prints until its console has shown these words, whatever steps came between.
    pub(crate) fn wait_for_console(&mut self, words: &str) {
        while !console(&String::from_utf8_lossy(&self.seen)).contains(words) {
            self.read_line(words);
        }
    }

    fn read_line(&mut self, words: &str) {
        let read = self.out.read_until(b'\n', &mut self.seen).unwrap();
        let seen = String::from_utf8_lossy(&self.seen);
        assert!(read > 0, "it ended without saying `{words}`:\n{seen}");
    }

    /// The steps told so far.
    pub(crate) fn steps(&self) -> Vec<String> {
        let seen = String::from_utf8_lossy(&self.seen);
        seen.lines().filter_map(step).collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits for its end: its status, and what it has printed since.
    pub(crate) fn finish(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }

    /// Sends it a signal and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
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
