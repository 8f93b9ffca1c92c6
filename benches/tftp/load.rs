//! The clients: threads that fetch a file again and again, and check each byte.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bootwright::wire::tftp::{Mode, Options, Packet, Request};

use crate::servers::name_of;

/// How long a client waits before it asks for something again.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often in a row it does.
const PATIENCE: u32 = 8;

/// What came of a measurement.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Bytes that came in order, of unfinished files too.
    pub bytes: u64,
    pub done: u64,
    pub failed: u64,
    pub took: Duration,
    /// Seconds of each file; of those that were under way at the end, so far.
    times: Vec<f64>,
    /// Bytes that were wrong.
    pub fault: Option<String>,
}

impl Outcome {
    /// MB/s.
    pub fn rate(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }

    /// Milliseconds.
    pub fn quantile(&mut self, part: f64) -> f64 {
        self.times.sort_by(f64::total_cmp);
        let at = (self.times.len() as f64 * part) as usize;
        let at = at.min(self.times.len().saturating_sub(1));
        self.times.get(at).copied().unwrap_or(f64::NAN) * 1e3
    }
}

/// SplitMix64: the same packets are lost with each server.
struct Random(u64);

impl Random {
    fn permille(&mut self, chance: u32) -> bool {
        if chance == 0 {
            return false;
        }
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % 1_000 < u64::from(chance)
    }
}

pub struct Load {
    file: Arc<Vec<u8>>,
}

/// One client.
struct Client {
    file: Arc<Vec<u8>>,
    size: usize,
    server: SocketAddr,
    request: Vec<u8>,
    loss: u32,
    random: Random,
    until: Instant,
    outcome: Outcome,
}

impl Load {
    pub fn new(file: Vec<u8>) -> Self {
        Self {
            file: Arc::new(file),
        }
    }

    /// Fetches with so many clients for so long.
    #[expect(clippy::too_many_arguments, reason = "a row of the report")]
    pub fn run(
        &self,
        server: SocketAddr,
        size: usize,
        clients: usize,
        blksize: u16,
        windowsize: u16,
        loss: u32,
        lasting: Duration,
    ) -> io::Result<Outcome> {
        let options = Options {
            blksize: (blksize != 512).then_some(blksize),
            windowsize: (windowsize != 1).then_some(windowsize),
            ..Options::default()
        };
        let request = Packet::Read(Request {
            name: name_of(size).as_bytes(),
            mode: Mode::Octet,
            options,
        })
        .bytes();
        let begun = Instant::now();
        let threads: Vec<_> = (0..clients)
            .map(|n| {
                let mut client = Client {
                    file: Arc::clone(&self.file),
                    size,
                    server,
                    request: request.clone(),
                    loss,
                    random: Random(n as u64),
                    until: begun + lasting,
                    outcome: Outcome::default(),
                };
                thread::spawn(move || {
                    client.run()?;
                    Ok::<_, io::Error>(client.outcome)
                })
            })
            .collect();
        let mut all = Outcome::default();
        for thread in threads {
            let one = thread
                .join()
                .map_err(|_| io::Error::other("a client panicked"))??;
            all.bytes += one.bytes;
            all.done += one.done;
            all.failed += one.failed;
            all.times.extend(one.times);
            all.fault = all.fault.or(one.fault);
        }
        all.took = lasting;
        Ok(all)
    }
}

impl Client {
    fn run(&mut self) -> io::Result<()> {
        while Instant::now() < self.until && self.outcome.fault.is_none() {
            let begun = Instant::now();
            match self.fetch()? {
                Some(true) => self.outcome.done += 1,
                Some(false) => self.outcome.failed += 1,
                None => {}
            }
            self.outcome.times.push(begun.elapsed().as_secs_f64());
        }
        Ok(())
    }

    fn send(&mut self, socket: &UdpSocket, bytes: &[u8], to: SocketAddr) -> io::Result<()> {
        if !self.random.permille(self.loss) {
            socket.send_to(bytes, to)?;
        }
        Ok(())
    }

    /// Fetches the file once: whether it came, `None` when the time was over before.
    fn fetch(&mut self) -> io::Result<Option<bool>> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let request = self.request.clone();
        self.send(&socket, &request, self.server)?;
        let mut peer: Option<SocketAddr> = None;
        let (mut blksize, mut windowsize) = (512_usize, 1_u32);
        let (mut at, mut block, mut in_window) = (0_usize, 0_u16, 0_u32);
        let (mut told, mut timeouts) = (false, 0);
        let mut buffer = [0; 2_048];
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if let Some(peer) = peer {
                    // The server need not go on.
                    socket.send_to(b"\0\x05\0\0over\0", peer)?;
                }
                return Ok(None);
            }
            socket.set_read_timeout(Some(left.min(TIMEOUT)))?;
            let (len, from) = match socket.recv_from(&mut buffer) {
                Ok(got) => got,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    if Instant::now() >= self.until {
                        continue;
                    }
                    timeouts += 1;
                    if timeouts > PATIENCE {
                        return Ok(Some(false));
                    }
                    in_window = 0;
                    match peer {
                        Some(peer) => self.send(&socket, &Packet::Ack(block).bytes(), peer)?,
                        None => self.send(&socket, &request, self.server)?,
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            if self.random.permille(self.loss) || *peer.get_or_insert(from) != from {
                continue;
            }
            match Packet::read(&buffer[..len]) {
                Ok(Packet::Oack(granted)) if at == 0 => {
                    blksize = granted.blksize.map_or(512, usize::from);
                    windowsize = granted.windowsize.map_or(1, u32::from);
                    self.send(&socket, &Packet::Ack(0).bytes(), from)?;
                }
                Ok(Packet::Data(number, bytes)) if number == block.wrapping_add(1) => {
                    if self.file.get(at..at + bytes.len()) != Some(bytes) {
                        self.outcome.fault = Some(format!("other bytes at {at}"));
                        return Ok(Some(false));
                    }
                    at += bytes.len();
                    self.outcome.bytes += bytes.len() as u64;
                    (block, in_window, told, timeouts) = (number, in_window + 1, false, 0);
                    let is_last = bytes.len() < blksize;
                    if is_last || in_window >= windowsize {
                        in_window = 0;
                        self.send(&socket, &Packet::Ack(block).bytes(), from)?;
                    }
                    if is_last {
                        if at != self.size {
                            self.outcome.fault = Some(format!("{at} bytes of {}", self.size));
                        }
                        return Ok(Some(true));
                    }
                }
                Ok(Packet::Data(..)) => {
                    // Lockstep: a repeated block is acknowledged again (RFC 1123). In a window the gap is told once.
                    in_window = 0;
                    if windowsize == 1 || !told {
                        told = true;
                        self.send(&socket, &Packet::Ack(block).bytes(), from)?;
                    }
                }
                Ok(Packet::Error(..)) => return Ok(Some(false)),
                _ => {}
            }
        }
    }
}
