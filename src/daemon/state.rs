//! The state folder at the start, and the operators' socket in it.
//!
//! **Invariant:** a disk that refuses (full, read-only, failing) keeps no machine from its address: the
//! daemon starts without store, journal and socket, says so, and opens them when it can.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::SOCKET;
use super::error::StartError;
use crate::serve::admin::{self, Admin};

/// How often the operators' socket is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the operators' socket is called in `/healthz`.
const OPERATORS: &str = "operators";

/// The operators' socket; its file goes with it.
pub(super) struct AdminSocket {
    listener: UnixListener,
    _file: SocketFile,
}

/// The file of the operators' socket; removed when dropped.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether it is the disk that refuses: what time or room mends, and no mistake of the configuration.
fn disk_refuses(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(
        error.kind(),
        ReadOnlyFilesystem | StorageFull | QuotaExceeded
    ) || error.raw_os_error() == Some(nix::libc::EIO)
}

/// The folder and those above it, for the daemon's user only. A folder that is there on a disk that
/// refuses is no error: machines get their addresses and boot their disks meanwhile.
pub(super) fn prepare(path: &Path) -> Result<(), StartError> {
    let failed = |error| StartError::StateDir {
        path: path.to_owned(),
        error,
    };
    if path.is_dir() {
        // Whether it can be written is better told now than by the store.
        let probe = path.join(".writable");
        let written = std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe));
        return match written {
            Err(error) if !disk_refuses(&error) => Err(failed(error)),
            _ => Ok(()),
        };
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    std::fs::DirBuilder::new()
        .mode(0o750)
        .create(path)
        .map_err(failed)
}

/// Opens the operators' socket. One that is left over is taken away only if nobody answers on it.
fn open_admin(path: &Path) -> Result<AdminSocket, StartError> {
    let failed = |error| StartError::Socket {
        path: path.to_owned(),
        error,
    };
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else than a socket is there",
            )));
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)?;
            }
            Ok(_) => return Err(StartError::Running(path.to_owned())),
            // Not allowed to ask: somebody else's daemon.
            Err(error) => return Err(failed(error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let file = SocketFile(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(AdminSocket {
        listener,
        _file: file,
    })
}

/// Opens the operators' socket; `None` when the disk refuses.
pub(super) fn open_admin_at_start(path: &Path) -> Result<Option<AdminSocket>, StartError> {
    match open_admin(path) {
        Err(StartError::Socket { error, .. }) if disk_refuses(&error) => Ok(None),
        opened => opened.map(Some),
    }
}

/// Serves operators until cancelled; without a socket, from the moment on when it can be opened.
pub(super) async fn serve_admin(
    admin: Admin,
    opened: Option<Arc<AdminSocket>>,
    cancel: CancellationToken,
) {
    let path = {
        let in_force = admin.ctx.config();
        in_force.snapshot.server.state_dir.join(SOCKET)
    };
    let socket = match opened {
        Some(socket) => socket,
        None => loop {
            match open_admin(&path) {
                Ok(socket) => break Arc::new(socket),
                Err(error) => admin.health.trouble(OPERATORS, error.to_string()),
            }
            let wait = cancel.run_until_cancelled(tokio::time::sleep(RETRY));
            if wait.await.is_none() {
                return;
            }
        },
    };
    admin.health.well(OPERATORS);
    match socket.listener.try_clone() {
        Ok(listener) => admin::run(admin, Arc::new(listener), cancel).await,
        Err(error) => tracing::error!(%error, "the operators' socket cannot be served"),
    }
}
