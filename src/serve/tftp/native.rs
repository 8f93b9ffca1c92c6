//! The engine of our own: requests to one local address, and a task with a connected socket for each transfer.
//!
//! What is said to a client is [`crate::decide::transfer`]'s; here are the sockets, the timers and the list of who is
//! being served.
//!
//! **Invariant:** one client port has one transfer. A copy of its request changes nothing; another request, or the same
//! one once the transfer has stood still, ends it and begins anew: so a ROM with a fixed port is never deaf.
//!
//! Where all places are taken a request waits for one, instead of being refused: firmware that is refused goes on with
//! its disk, and firmware that hears nothing asks again. It also waits for a while where this thread is busy with others
//! ([`crowd`]).

mod crowd;
mod drive;
mod socket;
mod waiting;

use std::collections::HashMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::crowd::Crowd;
use self::drive::Drive;
use self::socket::{Connected, send_once};
use self::waiting::{Next, Waiting};
use super::engine::Spec;
use super::handler::{Refused, Requests};
use super::limits::{Holder, Stop};
use super::outcome;
use crate::base::locked;
use crate::decide::transfer::{Caps, Terms, Transfer};
use crate::host::thread_time::ThreadTime;
use crate::journal::event::{Kind, Reason};
use crate::wire::tftp::{ErrorCode, Mode, NotTftp, Packet, Request, name_of};

/// The longest request that is read. The longest name and all options are shorter.
const LONGEST: usize = 2_048;

/// A request that comes again after the transfer has stood still for so long is meant anew, and no late copy.
const ANEW: Duration = Duration::from_secs(1);

/// How often those that wait are looked at, besides whenever a place comes free.
const LOOK: Duration = Duration::from_millis(20);

/// How long transfers have to say farewell when the engine is stopped.
const FAREWELL: Duration = Duration::from_millis(200);

/// Listens on one address.
pub(super) struct Native {
    requests: Requests,
    spec: Spec,
    /// Ends what runs.
    abandon: CancellationToken,
    running: Arc<Mutex<HashMap<SocketAddrV4, Arc<Running>>>>,
    tasks: TaskTracker,
    waiting: Mutex<Waiting>,
    crowd: Arc<Mutex<Crowd>>,
    time: ThreadTime,
    /// A place has come free.
    room: Arc<Notify>,
    /// Where packets are put together.
    out: Arc<Mutex<Vec<u8>>>,
}

/// A transfer under way, as the port sees it that requests go to.
#[derive(Debug)]
struct Running {
    request: Vec<u8>,
    began: Instant,
    holder: Arc<Holder>,
    /// When something new was acknowledged last, in milliseconds since it began.
    moved_ms: AtomicU64,
}

impl Running {
    /// Whether the same request, come again, is a copy of the one that is being served.
    fn is_a_copy(&self, request: &[u8]) -> bool {
        let moved = Duration::from_millis(self.moved_ms.load(Ordering::Relaxed));
        let still = self.began.elapsed().saturating_sub(moved);
        self.request == request && (still < ANEW || !self.holder.is_heard())
    }
}

impl Native {
    pub(super) fn new(requests: Requests, spec: Spec, abandon: CancellationToken) -> Self {
        Self {
            requests,
            spec,
            abandon,
            running: Arc::default(),
            tasks: TaskTracker::new(),
            waiting: Mutex::default(),
            crowd: Arc::new(Mutex::new(Crowd::new(Instant::now()))),
            time: ThreadTime::of_this_thread(),
            room: Arc::default(),
            out: Arc::default(),
        }
    }

    /// Serves until it is closed and its transfers have ended, or until it is to abandon them.
    pub(super) async fn run(self, socket: std::net::UdpSocket) -> Result<(), String> {
        let listener = socket
            .set_nonblocking(true)
            .and_then(|()| UdpSocket::from_std(socket))
            .map_err(|error| error.to_string())?;
        let ended = {
            let listen = self.listen(&listener);
            let stop = async {
                self.requests.closing.cancelled().await;
                self.requests.limits.idle().await;
                Ok(())
            };
            tokio::select! {
                biased;
                () = self.abandon.cancelled() => Ok(()),
                ended = stop => ended,
                ended = listen => ended,
            }
        };
        self.abandon.cancel();
        while let Some(Next::Serve(from, bytes) | Next::Expired(from, bytes)) = self.next_waiting()
        {
            self.turn_away(from, &bytes, "the server is stopping");
        }
        self.tasks.close();
        let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
        ended
    }

    async fn listen(&self, listener: &UdpSocket) -> Result<(), String> {
        let mut buffer = [0; LONGEST];
        // Those that wait for a place do not wait for a pause of those that ask.
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_waiting = !self.waiting().is_empty();
            let (len, from) = tokio::select! {
                biased;
                () = self.room.notified(), if is_waiting => {
                    self.serve_waiting();
                    continue;
                }
                _ = look.tick(), if is_waiting => {
                    self.serve_waiting();
                    continue;
                }
                received = listener.recv_from(&mut buffer) => {
                    received.map_err(|error| error.to_string())?
                }
            };
            let SocketAddr::V4(from) = from else {
                continue;
            };
            self.on_request(from, buffer.get(..len).unwrap_or_default(), false);
        }
    }

    /// Begins what waits, as far as it has to wait no longer.
    fn serve_waiting(&self) {
        loop {
            let waited = self.waiting().waited(Instant::now());
            if waited.is_none_or(|waited| self.must_wait(waited)) {
                return;
            }
            match self.next_waiting() {
                Some(Next::Serve(from, bytes)) => self.on_request(from, &bytes, true),
                Some(Next::Expired(from, bytes)) => {
                    self.turn_away(from, &bytes, "no place came free in time");
                }
                None => return,
            }
        }
    }

    /// Whether a request that has waited for so long waits on: for a place, or for this thread.
    fn must_wait(&self, waited: Duration) -> bool {
        // A system that does not count it has no thread that is busy.
        let worked = || self.time.worked().unwrap_or_default();
        locked(&self.crowd).must_wait(Instant::now(), worked, waited)
            || self.requests.limits.must_wait()
    }

    fn next_waiting(&self) -> Option<Next> {
        self.waiting().pop(Instant::now())
    }

    /// Tells of a request that has waited in vain. Its client is told nothing: it does not listen any more.
    fn turn_away(&self, from: SocketAddrV4, bytes: &[u8], why: &str) {
        let name = name_of(bytes).unwrap_or_default();
        let about = self
            .requests
            .about(from.into(), &String::from_utf8_lossy(name));
        about.tell(Kind::TftpFailed, Reason::Busy, 0, Some(why.to_owned()));
    }

    fn on_request(&self, from: SocketAddrV4, bytes: &[u8], has_waited: bool) {
        let refused = match Packet::read(bytes) {
            Ok(Packet::Read(request)) => match self.begin(from, request, bytes, has_waited) {
                Ok(()) => return,
                Err(refused) => refused,
            },
            Ok(Packet::Write(request)) => self.requests.refuse_to_write(from.into(), request.name),
            Err(why @ (NotTftp::Mode | NotTftp::Short)) => match name_of(bytes) {
                Some(name) => self.malformed(from, name, why),
                None => return,
            },
            // An ERROR is never answered, nor what belongs to a transfer and not here.
            _ => return,
        };
        self.refuse(from, &refused);
    }

    fn malformed(&self, from: SocketAddrV4, name: &[u8], why: NotTftp) -> Refused {
        let about = self
            .requests
            .about(from.into(), &String::from_utf8_lossy(name));
        about.tell(
            Kind::TftpFailed,
            Reason::Malformed,
            0,
            Some(why.to_string()),
        );
        Refused {
            code: ErrorCode::IllegalOperation,
            text: "illegal request",
        }
    }

    /// From a port of its own, as all answers come.
    fn refuse(&self, to: SocketAddrV4, refused: &Refused) {
        let packet = Packet::Error(refused.code, refused.text.as_bytes()).bytes();
        // It may be lost like any packet; the request's event is written.
        send_once(self.spec.address, to, &packet);
    }

    fn begin(
        &self,
        from: SocketAddrV4,
        request: Request<'_>,
        bytes: &[u8],
        has_waited: bool,
    ) -> Result<(), Refused> {
        let earlier = locked(&self.running).get(&from).cloned();
        if let Some(earlier) = earlier {
            if earlier.is_a_copy(bytes) {
                return Ok(());
            }
            let is_same = name_of(&earlier.request) == Some(request.name);
            earlier.holder.stop(if is_same {
                Stop::AskedAnew
            } else {
                Stop::AskedForAnother
            });
        }
        // Behind those that wait already; whose turn it is has a place.
        let must_wait =
            !has_waited && (!self.waiting().is_empty() || self.must_wait(Duration::ZERO));
        if must_wait && self.waiting().push(from, bytes, Instant::now()) {
            return Ok(());
        }
        let holder = Arc::new(Holder::new(self.abandon.child_token()));
        let held = Some(Arc::clone(&holder));
        let (body, size) = self.requests.open(from.into(), request.name, held)?;
        // In a place of its own, so that the task that drives the transfer is not twice its size.
        let mut body = Box::new(body.told());
        let is_netascii = request.mode == Mode::Netascii;
        // What is turned on its way has a buffer of its own.
        let whole = (!is_netascii).then(|| body.take_whole(&self.requests.wholes));
        let socket = match Connected::open(self.spec.address, from) {
            Ok(socket) => socket,
            Err(error) => {
                body.ended(outcome::failed(Reason::SendFailed, error.to_string()));
                return Ok(());
            }
        };
        let caps = Caps {
            blksize: Spec::blksize(self.spec.blksize, socket.mtu()),
            windowsize: self.spec.windowsize,
        };
        let options = request.options;
        let running = Arc::new(Running {
            request: bytes.to_vec(),
            began: Instant::now(),
            holder,
            moved_ms: AtomicU64::new(0),
        });
        locked(&self.running).insert(from, Arc::clone(&running));
        let (all, room) = (Arc::clone(&self.running), Arc::clone(&self.room));
        let (own, out) = (Arc::clone(&running), Arc::clone(&self.out));
        let crowd = Arc::clone(&self.crowd);
        let number = locked(&crowd).began(running.began);
        // Apart, as nothing of it is needed while the transfer runs.
        let begun = Box::pin(async move {
            let size = match size {
                Some(size) => Some(size),
                None => body.promised_size().await,
            };
            // How long a file gets by netascii is known at its end only.
            let size = size.filter(|_| !is_netascii);
            let terms = Terms::agree(&options, caps, size);
            let mut transfer = Transfer::new(terms, own.began.elapsed());
            if let Some(file) = whole.flatten() {
                transfer.supply_whole(file);
            }
            Box::new(Drive {
                transfer,
                body,
                socket,
                is_netascii,
                running: own,
                out,
            })
        });
        self.tasks.spawn(async move {
            begun.await.run().await;
            locked(&crowd).ended(number);
            room.notify_one();
            let mut all = locked(&all);
            if all
                .get(&from)
                .is_some_and(|last| Arc::ptr_eq(last, &running))
            {
                all.remove(&from);
            }
        });
        Ok(())
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        locked(&self.waiting)
    }
}
