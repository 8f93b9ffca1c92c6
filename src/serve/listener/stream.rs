//! A connection's bytes on their way to and from `hyper`: requests are framed strictly, and it is seen what
//! moves.
//!
//! **Invariant:** of a request that is refused ([`Framing`]) no line feed that would end its head reaches the
//! parser, only something that it refuses itself: so that its 400 comes behind the replies to the
//! requests before it. No mark ([`Watch::instead`]) is written, only what it stands for.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::fs::sendfile;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::gate::{Watch, is_mark};
use crate::wire::framing::{Fault, Framing};

/// What takes the place of a refused line: no parser of HTTP reads on behind it.
const REFUSED: &[u8] = b"\0\r\n\r\n";

/// What is still taken from a client whose request was refused. A connection that is closed while bytes lie
/// unread is reset, and the reply lost with it.
const LINGER: usize = 256 << 10;

/// Whether a call is to be made once more when the socket takes more, or at once.
fn comes_again(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Up to so many bytes a head and its body are joined and sent by one plain call: that costs less than to have the
/// system gather them.
const JOINED: usize = 8 << 10;

thread_local! {
    /// Where they are joined; nothing stays there between two calls.
    static JOINT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// More follows at once: no packet is sent for this alone (`send(2)`).
const MSG_MORE: i32 = 0x8000;

/// A connection.
pub(super) struct Line<F: FnMut(Fault) + Unpin> {
    stream: TcpStream,
    watch: Watch,
    framing: Framing,
    /// What is left to be read of [`REFUSED`].
    instead: Option<&'static [u8]>,
    /// What was read, framed and handed back.
    again: Bytes,
    /// Told why a request is refused.
    told: F,
    /// Bytes that are still thrown away at the end; `None`: its end has not begun.
    lingering: Option<usize>,
}

impl<F: FnMut(Fault) + Unpin> Line<F> {
    pub(super) fn new(stream: TcpStream, watch: Watch, told: F) -> Self {
        Self {
            stream,
            watch,
            framing: Framing::new(),
            instead: None,
            again: Bytes::new(),
            told,
            lingering: None,
        }
    }

    /// Waits until there is something to be read; `false`: its client has closed, or is gone.
    pub(super) async fn has_more(&self) -> bool {
        !self.again.is_empty() || self.stream.peek(&mut [0]).await.is_ok_and(|len| len > 0)
    }

    /// Takes back what was read and not used, to be read again.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        // A copy, which leaves the buffer that they lie in: also one that is empty would hold all of it.
        self.again = Bytes::copy_from_slice(bytes);
    }
}

impl<F: FnMut(Fault) + Unpin> AsyncRead for Line<F> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if let Some(instead) = &mut line.instead {
            let count = instead.len().min(buf.remaining());
            let (now, later) = instead.split_at_checked(count).unwrap_or_default();
            buf.put_slice(now);
            *instead = later;
            return Poll::Ready(Ok(()));
        }
        if !line.again.is_empty() {
            let count = line.again.len().min(buf.remaining());
            buf.put_slice(&line.again.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut line.stream).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let taken = line.framing.take(new);
        line.watch.came(line.framing.is_in_head());
        if let Err(refused) = taken {
            buf.set_filled(before + refused.at);
            let count = REFUSED.len().min(buf.remaining());
            let (now, later) = REFUSED.split_at_checked(count).unwrap_or_default();
            buf.put_slice(now);
            line.instead = Some(later);
            (line.told)(refused.fault);
        }
        Poll::Ready(Ok(()))
    }
}

impl<F: FnMut(Fault) + Unpin> Line<F> {
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.watch.went(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.watch.waits(),
        }
        written
    }
}

impl<F: FnMut(Fault) + Unpin> Line<F> {
    /// Writes bytes that stand for themselves.
    fn poll_bytes(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        match bufs {
            [one] => stream.poll_write(cx, one),
            several if several.iter().map(|buf| buf.len()).sum::<usize>() <= JOINED => JOINT
                .with_borrow_mut(|joint| {
                    joint.clear();
                    for buf in several {
                        joint.extend_from_slice(buf);
                    }
                    stream.poll_write(cx, joint)
                }),
            several => stream.poll_write_vectored(cx, several),
        }
    }

    /// Has the system send what the next mark stands for.
    fn poll_part(&self, cx: &mut Context<'_>, len: usize) -> Poll<io::Result<usize>> {
        let Some(part) = self.watch.part() else {
            return Poll::Ready(Err(io::Error::other("a mark that stands for nothing")));
        };
        let count = usize::try_from(part.left).unwrap_or(usize::MAX).min(len);
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                let mut at = part.at;
                Ok(sendfile(&self.stream, &*part.file, Some(&mut at), count)?)
            });
            match sent {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(sent) => {
                    self.watch
                        .part_went(u64::try_from(sent).unwrap_or_default());
                    return Poll::Ready(Ok(sent));
                }
                Err(error) if comes_again(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Writes what stands before a mark: the system keeps it for the packet in which the file begins.
    fn poll_before(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                socket2::SockRef::from(&self.stream).send_vectored_with_flags(bufs, MSG_MORE)
            });
            match sent {
                Err(error) if comes_again(&error) => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

impl<F: FnMut(Fault) + Unpin> AsyncWrite for Line<F> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let begin = bufs.iter().position(|buf| !buf.is_empty()).unwrap_or(0);
        let bufs = bufs.get(begin..).unwrap_or_default();
        let written = match bufs.iter().position(|buf| is_mark(buf)) {
            None => line.poll_bytes(cx, bufs),
            Some(0) => line.poll_part(cx, bufs.first().map_or(0, |buf| buf.len())),
            Some(before) => line.poll_before(cx, bufs.get(..before).unwrap_or_default()),
        };
        line.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        // `hyper` asks for it when it has nothing left to write.
        line.watch.flushed();
        Pin::new(&mut line.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        let mut left = if let Some(left) = line.lingering {
            left
        } else {
            ready!(Pin::new(&mut line.stream).poll_shutdown(cx))?;
            if line.framing.is_between() {
                return Poll::Ready(Ok(()));
            }
            line.watch.came(true);
            LINGER
        };
        // Until the client closes as well, or its time for a head is over.
        loop {
            line.lingering = Some(left);
            let mut scratch = [0; 4_096];
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut line.stream).poll_read(cx, &mut buf) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && left > 0 => {
                    left = left.saturating_sub(buf.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl<F: FnMut(Fault) + Unpin> Drop for Line<F> {
    fn drop(&mut self) {
        self.watch.closed();
    }
}
