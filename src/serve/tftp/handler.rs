//! The engines' questions: which file, which script, or which error.
//!
//! **Invariant:** opening is a look-up. One engine asks under one lock for all clients, so nothing
//! here renders, waits for the store, or reads a file's bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use async_tftp::packet::Error as TftpError;
use async_tftp::server::Handler;
use futures_lite::io::Sink;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::body::{About, Body};
use super::limits::{Holder, Limits, Permit};
use super::spelling::{Found, Spellings};
use super::whole::Wholes;
use crate::base::{BootLoader, HardwareAddr, Uuid, without_tokens};
use crate::decide::http::host_of;
use crate::decide::tftp::{FileRequest, file_request};
use crate::journal::event::{Kind, Reason};
use crate::serve::assets::{Asset, AssetError};
use crate::serve::companion;
use crate::serve::context::Context;
use crate::serve::mirror::{self, Wanted};
use crate::serve::script::{Configuration, ScriptAsk, Via, chain_script, configuration};
use crate::wire::tftp::ErrorCode;

/// Answers the requests to one local address.
pub(super) struct Requests {
    pub(super) ctx: Arc<Context>,
    pub(super) runtime: Handle,
    pub(super) local: Ipv4Addr,
    pub(super) iface: Arc<str>,
    pub(super) limits: Limits,
    pub(super) spellings: Spellings,
    /// For the engine that has no buffer for what lies in memory.
    pub(super) wholes: Wholes,
    /// No new transfer is begun once this is set.
    pub(super) closing: CancellationToken,
}

/// What a client is told that gets no file; its event is written already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: ErrorCode,
    pub(super) text: &'static str,
}

impl Refused {
    const fn new(code: ErrorCode, text: &'static str) -> Self {
        Self { code, text }
    }
}

impl From<Refused> for TftpError {
    fn from(refused: Refused) -> Self {
        match refused.code {
            ErrorCode::FileNotFound => Self::FileNotFound,
            ErrorCode::AccessViolation => Self::PermissionDenied,
            ErrorCode::IllegalOperation => Self::IllegalOperation,
            _ => Self::Msg(refused.text.to_owned()),
        }
    }
}

impl Requests {
    pub(super) fn about(&self, client: SocketAddr, file: &str) -> About {
        let config = self.ctx.config();
        let snapshot = &config.snapshot;
        let peer = match client {
            SocketAddr::V4(client) => Some(self.ctx.peer(snapshot, *client.ip())),
            SocketAddr::V6(_) => None,
        };
        let host = peer.and_then(|peer| host_of(snapshot, peer));
        About {
            ctx: Arc::clone(&self.ctx),
            runtime: self.runtime.clone(),
            peer: client,
            iface: Arc::clone(&self.iface),
            file: shown(file),
            host: host.map(|host| host.name.clone()),
            mac: peer
                .and_then(|peer| peer.mac)
                .or_else(|| host.and_then(|host| host.mac())),
            began: Instant::now(),
            hint: None,
        }
    }

    /// Opens what this name stands for; with its size where that is known. Who holds the transfer may lose its place
    /// while its client has not answered.
    pub(super) fn open(
        &self,
        client: SocketAddr,
        name: &[u8],
        holder: Option<Arc<Holder>>,
    ) -> Result<(Body, Option<u64>), Refused> {
        let mut about = self.about(client, &String::from_utf8_lossy(name));
        if self.closing.is_cancelled() {
            about.tell(
                Kind::TftpFailed,
                Reason::Busy,
                0,
                Some("the server is stopping".to_owned()),
            );
            return Err(Refused::new(ErrorCode::Undefined, "the server is stopping"));
        }
        let permit = match self.limits.take(client.ip(), holder) {
            Ok(permit) => permit,
            Err(why) => {
                about.tell(Kind::TftpFailed, Reason::Busy, 0, Some(why));
                return Err(Refused::new(ErrorCode::Undefined, "busy, ask again"));
            }
        };
        let Some(peer) = about.ip() else {
            return Err(Refused::new(
                ErrorCode::IllegalOperation,
                "illegal operation",
            ));
        };
        let request = match file_request(name) {
            Ok(request) => request,
            Err(bad) => {
                about.tell(Kind::TftpFailed, Reason::BadName, 0, Some(bad.to_string()));
                return Err(Refused::new(ErrorCode::AccessViolation, "access violation"));
            }
        };
        match request {
            FileRequest::Script(mac) => {
                about.mac = Some(mac);
                let ask = self.ask(&about, peer, mac, BootLoader::Ipxe, None);
                // The size is not known before it is rendered, and rendering is for the first read.
                Ok((Body::script(about, permit, ask), None))
            }
            FileRequest::Config(name, path) => {
                let snapshot = &self.ctx.config().snapshot;
                let who = self.ctx.peer(snapshot, peer);
                let path_there = Some(path.as_str());
                match configuration(&self.ctx, snapshot, who, &name, path_there, Via::Tftp) {
                    Configuration::Machine(mac, uuid) => {
                        about.mac = Some(mac);
                        let ask = self.ask(&about, peer, mac, name.loader, uuid);
                        Ok((Body::script(about, permit, ask), None))
                    }
                    Configuration::Stranger(text) => {
                        let size = u64::try_from(text.len()).ok();
                        Ok((Body::text(about, permit, text, Reason::UnknownHost), size))
                    }
                    Configuration::File => self.asset(about, permit, path),
                }
            }
            FileRequest::ChainScript => {
                let text = chain_script(&self.ctx, peer, self.local);
                let size = u64::try_from(text.len()).ok();
                Ok((Body::text(about, permit, text, Reason::ChainScript), size))
            }
            FileRequest::Asset(path) => self.asset(about, permit, path),
        }
    }

    /// The request for a machine's script, in the language of this loader.
    fn ask(
        &self,
        about: &About,
        peer: Ipv4Addr,
        mac: HardwareAddr,
        loader: BootLoader,
        uuid: Option<Uuid>,
    ) -> ScriptAsk {
        ScriptAsk {
            mac,
            loader,
            peer,
            local: self.local,
            uuid,
            serial: None,
            identified: false,
            waiting: false,
            via: Via::Tftp,
            file: about.file.clone(),
            preview: false,
        }
    }

    fn asset(
        &self,
        mut about: About,
        permit: Permit,
        path: String,
    ) -> Result<(Body, Option<u64>), Refused> {
        match self.open_asset(path, &mut about) {
            Ok((path, asset)) => {
                let size = Some(asset.len);
                Ok((Body::file(about, permit, path, asset), size))
            }
            Err(error) => {
                let (code, text) = match &error {
                    AssetError::NotFound(_) | AssetError::NotAFile(_) => {
                        (ErrorCode::FileNotFound, "file not found")
                    }
                    AssetError::BadName(_) => (ErrorCode::AccessViolation, "access violation"),
                    AssetError::Read { .. } => (ErrorCode::Undefined, "the file cannot be read"),
                };
                about.tell(Kind::TftpFailed, error.reason(), 0, error.detail());
                Err(Refused::new(code, text))
            }
        }
    }

    /// Opens a boot file, in other letters where there is none in these and one in those; under which path.
    fn open_asset(&self, path: String, about: &mut About) -> Result<(String, Asset), AssetError> {
        if let Some(found) = self.mirrored(&path, about) {
            return found.map(|asset| (path, asset));
        }
        let error = match self.ctx.assets.open(&path) {
            Ok(asset) => return Ok((path, asset)),
            Err(error @ AssetError::NotFound(_)) => error,
            Err(error) => return Err(error),
        };
        if let Some(found) = companion::open(&self.ctx, about.host.as_ref(), &path) {
            about.hint = Some(format!("the file is {}", found.0));
            return Ok(found);
        }
        match self
            .spellings
            .find(&self.ctx.assets.root(), &path, Instant::now())
        {
            Found::One(other) => {
                let asset = self.ctx.assets.open(&other).map_err(|_| error)?;
                about.hint = Some(format!(
                    "the file is {other}: the name asked for differs in upper and lower case"
                ));
                Ok((other, asset))
            }
            Found::Several => {
                about.hint =
                    Some("several files have this name but for upper and lower case".to_owned());
                Err(error)
            }
            Found::Nothing => Err(error),
        }
    }

    /// A kept file of another server's; `None`: the path is in no mirror. One that is not kept is brought for the next
    /// request: nobody waits for another server by TFTP.
    fn mirrored(&self, path: &str, about: &mut About) -> Option<Result<Asset, AssetError>> {
        let config = self.ctx.config();
        let (mirror, below) = config.snapshot.mirror_of(path)?;
        let assets = self.ctx.assets.with_root(mirror::root(&self.ctx));
        let found = assets.open(path);
        if matches!(found, Err(AssetError::NotFound(_))) && about.host.is_some() {
            let wanted = Wanted::new(mirror, path, below, about.host.clone());
            about.hint = Some(format!(
                "it is being fetched from {}: ask again",
                wanted.url
            ));
            let (ctx, mirrors) = (Arc::clone(&self.ctx), self.ctx.assets.mirrors().clone());
            self.runtime
                .spawn(async move { mirrors.bring(&ctx, wanted) });
        }
        Some(found)
    }

    /// Tells of a request to write, and what the client is told.
    pub(super) fn refuse_to_write(&self, client: SocketAddr, name: &[u8]) -> Refused {
        self.about(client, &String::from_utf8_lossy(name)).tell(
            Kind::TftpFailed,
            Reason::ReadOnly,
            0,
            Some("a write request: boot files are read-only".to_owned()),
        );
        Refused::new(ErrorCode::AccessViolation, "access violation")
    }
}

impl Handler for Requests {
    type Reader = Body;
    type Writer = Sink;

    async fn read_req_open(
        &mut self,
        client: &SocketAddr,
        path: &Path,
    ) -> Result<(Body, Option<u64>), TftpError> {
        // The engine has refused names that are no UTF-8.
        let name = path.to_str().unwrap_or_default();
        let (mut body, size) = self.open(*client, name.as_bytes(), None)?;
        let size = match size {
            Some(size) => Some(size),
            None => body.promised_size().await,
        };
        Ok((body, size))
    }

    async fn write_req_open(
        &mut self,
        client: &SocketAddr,
        path: &Path,
        _size: Option<u64>,
    ) -> Result<Sink, TftpError> {
        let name = path.to_str().unwrap_or_default();
        Err(self.refuse_to_write(*client, name.as_bytes()).into())
    }
}

/// A name as it is written into the journal: without control characters and tokens, cut to a sane length.
fn shown(name: &str) -> String {
    without_tokens(name)
        .chars()
        .take(200)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Token;

    #[test]
    fn the_journal_gets_no_control_characters() {
        assert_eq!(shown("a\nb\u{1b}[2J"), "a\u{fffd}b\u{fffd}[2J");
        assert_eq!(shown(&"x/".repeat(5_000)).len(), 200);
    }

    #[test]
    fn the_journal_gets_no_token() {
        // A machine may ask for anything by TFTP.
        let token = Token::from_bytes(*b"0123456789abcdef");
        let name = shown(&format!("/answers/{}/preseed.cfg", token.reveal()));
        assert_eq!(name, format!("/answers/{token}/preseed.cfg"));
    }
}
