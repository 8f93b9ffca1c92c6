//! Running the validators. One that is not there fails the test, saying how to bring it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

/// Where scripts/setup-validators.sh puts what is no package.
pub(crate) fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/validators")
}

/// A tool of the virtual environment.
pub(crate) fn of_venv(name: &str) -> PathBuf {
    place().join("venv/bin").join(name)
}

/// Runs a tool with something on its standard input; the text is what it printed, both streams.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let tool = Path::new(command.get_program()).display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{tool} cannot be run ({error}): scripts/setup.sh validators brings it")
        });
    let mut stdin = child.stdin.take().unwrap();
    // One that has seen enough closes its end.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        Ok(said)
    } else {
        Err(format!("{tool}, {}:\n{said}", output.status))
    }
}

/// Does something for each of several, on two cores, and gives what they complain of.
pub(crate) fn for_each<T: Sync>(
    items: &[T],
    look: impl Fn(&T) -> Result<(), String> + Sync,
) -> Vec<String> {
    let next = Mutex::new(items.iter());
    let complaints = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(item) = next.lock().unwrap().next() else {
                        return;
                    };
                    if let Err(complaint) = look(item) {
                        complaints.lock().unwrap().push(complaint);
                    }
                }
            });
        }
    });
    complaints.into_inner().unwrap()
}

/// Fails when there are complaints, and shows them.
pub(crate) fn assert_none(complaints: &[String]) {
    const SHOWN: usize = 20;
    let shown: Vec<&str> = complaints.iter().take(SHOWN).map(String::as_str).collect();
    assert!(
        complaints.is_empty(),
        "{} complaints (the texts are in {}):\n\n{}\n",
        complaints.len(),
        crate::rendered::folder().display(),
        shown.join("\n\n")
    );
}

/// One of each text: many answers of several hosts are the same.
pub(crate) fn distinct<'a, T, K: Ord>(
    items: impl IntoIterator<Item = &'a T>,
    text: impl Fn(&'a T) -> K,
) -> Vec<&'a T> {
    let mut by_text = BTreeMap::new();
    for item in items {
        by_text.entry(text(item)).or_insert(item);
    }
    by_text.into_values().collect()
}

/// A text without its comments and figures: hosts differ in little more than addresses, which no tool looks
/// at but for their form.
pub(crate) fn alike(text: &str) -> String {
    let lines = text.lines().filter(|line| {
        let line = line.trim_start();
        !line.starts_with('#') || line.starts_with("# shellcheck")
    });
    let mut rest: String = lines.flat_map(|line| [line, "\n"]).collect();
    rest.retain(|c| !c.is_ascii_digit());
    rest
}

/// `program ARG… FILE`.
pub(crate) fn look_at(
    program: impl AsRef<OsStr>,
    args: &[&str],
    file: &Path,
) -> Result<String, String> {
    run(Command::new(program).args(args).arg(file), "")
}
