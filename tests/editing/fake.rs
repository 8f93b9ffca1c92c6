//! Somebody who answers on the operators' socket with what he was told to.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

type Answers = Arc<Mutex<HashMap<String, (u16, String)>>>;

/// Answers until it is dropped.
pub(crate) struct Fake {
    socket: PathBuf,
    answers: Answers,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn new(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let answers: Answers = Arc::default();
        let known = Arc::clone(&answers);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if !serve(&mut stream.unwrap(), &known) {
                    return;
                }
            }
        });
        Self {
            socket: socket.to_owned(),
            answers,
            thread: Some(thread),
        }
    }

    /// From now on to what begins like this.
    pub(crate) fn says(&self, request: &str, status: u16, body: &str) {
        let mut answers = self.answers.lock().unwrap();
        answers.insert(request.to_owned(), (status, body.to_owned()));
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = UnixStream::connect(&self.socket).and_then(|mut stream| stream.write_all(b"end"));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Answers one request; false: it is to end.
fn serve(stream: &mut UnixStream, answers: &Answers) -> bool {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).unwrap_or(0);
        request.extend_from_slice(&buffer[..count]);
        if request == b"end" {
            return false;
        }
        // Bodies of these requests are `null` or nothing, and come with the head or right behind it.
        if count == 0 || request.windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    if request.is_empty() {
        // Only looked whether anybody is there.
        return true;
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let answers = answers.lock().unwrap();
    let known = answers
        .iter()
        .find(|(start, _)| request.starts_with(start.as_str()));
    let (status, body) = known.map_or((500, request.as_str()), |(_, (status, body))| {
        (*status, body.as_str())
    });
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    true
}
