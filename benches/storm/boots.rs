//! Machines that boot from the network, all at once and in one thread: DHCP as firmware, the loader by TFTP, DHCP as
//! iPXE, the script, kernel and initial RAM disk, the installer's answers.
//!
//! Each has an address of its own and its own sockets; DHCP goes through the one socket of a relay agent. Every reply
//! and every byte is checked. A machine asks again as firmware does: by DHCP after 1 s, 2 s, 4 s and 8 s, by TFTP
//! after a second; HTTP is TCP's concern.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{setsockopt, sockopt};

use crate::common::figures::quantile;
use crate::common::http::{self, Answer, Body};
use crate::common::ours::name;
use crate::common::packet::{
    ACK, Asking, BOOT_FILE, DISCOVER, OFFER, REQUEST, Template, Way, address, colons, mac, read_any,
};
use crate::common::setup::{RELAY, SERVER};
use crate::common::tftp::{self, Fetch, Want};

/// How long a machine waits for its first answer by DHCP; doubled each time.
const DHCP_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it asks.
const DHCP_TRIES: u32 = 5;
/// After so long a storm is over.
const PATIENCE: Duration = Duration::from_secs(60);

/// The socket of the relay agent.
const DHCP: Token = Token(usize::MAX);

/// How far a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    Dhcp,
    Loader,
    DhcpIpxe,
    Script,
    Kernel,
    Initrd,
    Answers,
}

impl Stage {
    pub const ALL: [Self; 7] = [
        Self::Dhcp,
        Self::Loader,
        Self::DhcpIpxe,
        Self::Script,
        Self::Kernel,
        Self::Initrd,
        Self::Answers,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Dhcp => "DHCP",
            Self::Loader => "loader",
            Self::DhcpIpxe => "DHCP as iPXE",
            Self::Script => "script",
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Answers => "answers",
        }
    }

    /// All that a boot with this last one has.
    pub fn up_to(last: Self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |stage| *stage <= last)
    }

    fn next(self) -> Option<Self> {
        let at = Self::ALL.iter().position(|stage| *stage == self)?;
        Self::ALL.get(at + 1).copied()
    }
}

/// What each machine must get.
#[derive(Debug, Clone)]
pub struct Files {
    /// What a boot ends with.
    pub last: Stage,
    pub loader: Want,
    pub kernel: Arc<Vec<u8>>,
    pub initrd: Arc<Vec<u8>>,
}

/// What came of a storm.
#[derive(Debug, Default)]
pub struct Outcome {
    pub finished: u64,
    /// Machines that were given up, or had not finished at the end, by stage.
    pub failed: BTreeMap<Stage, u64>,
    /// Why, and how often.
    pub reasons: BTreeMap<String, u64>,
    pub dhcp_again: u64,
    pub tftp_again: u64,
    /// Until the last machine had finished.
    pub took: Duration,
    /// Seconds of each machine that has finished.
    times: Vec<f64>,
    /// Seconds of each stage.
    stages: BTreeMap<Stage, Vec<f64>>,
}

impl Outcome {
    pub fn rate(&self) -> f64 {
        self.finished as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Seconds.
    pub fn quantile(&mut self, part: f64) -> f64 {
        quantile(&mut self.times, part)
    }

    /// Seconds.
    pub fn stage(&mut self, stage: Stage, part: f64) -> f64 {
        quantile(self.stages.entry(stage).or_default(), part)
    }
}

/// A machine.
struct Machine {
    /// `None`: it has finished or was given up.
    stage: Option<Stage>,
    begun: Instant,
    since: Instant,
    /// When it asks again, by DHCP or TFTP.
    due: Instant,
    tries: u32,
    /// Its DHCP has an offer.
    is_offered: bool,
    udp: Option<UdpSocket>,
    fetch: Option<Fetch>,
    tcp: Option<Connection>,
    /// Where the rest is.
    kernel: String,
    initrd: String,
    answers: String,
}

struct Connection {
    stream: TcpStream,
    to: SocketAddr,
    /// What is still to be sent.
    request: Vec<u8>,
    answer: Answer,
}

/// What a step of a machine comes to.
type Stepped = Result<(), String>;

struct Storm<'a> {
    poll: Poll,
    dhcp: UdpSocket,
    templates: [[Template; 2]; 2],
    files: &'a Files,
    timers: BinaryHeap<Reverse<(Instant, u32)>>,
    outcome: Outcome,
    out: Vec<u8>,
    buffer: Vec<u8>,
    left: u32,
}

/// Boots so many machines at once.
pub fn run(count: u32, files: &Files) -> io::Result<Outcome> {
    let socket = std::net::UdpSocket::bind(SocketAddrV4::new(RELAY, 67))?;
    // Its own losses would be taken for the server's.
    setsockopt(&socket, sockopt::RcvBufForce, &(256 << 20))?;
    setsockopt(&socket, sockopt::SndBufForce, &(64 << 20))?;
    socket.connect(SocketAddrV4::new(SERVER, 67))?;
    socket.set_nonblocking(true)?;
    let mut dhcp = UdpSocket::from_std(socket);
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut dhcp, DHCP, Interest::READABLE)?;
    let of = |asking| [DISCOVER, REQUEST].map(|kind| Template::new(kind, Way::Relay, asking));
    let mut storm = Storm {
        poll,
        dhcp,
        templates: [of(Asking::Firmware), of(Asking::Ipxe)],
        files,
        timers: BinaryHeap::new(),
        outcome: Outcome::default(),
        out: Vec::new(),
        buffer: vec![0; 256 << 10],
        left: count,
    };
    storm.run(count)?;
    Ok(storm.outcome)
}

impl Storm<'_> {
    fn run(&mut self, count: u32) -> io::Result<()> {
        let begun = Instant::now();
        let mut machines = Vec::new();
        for number in 0..count {
            let now = Instant::now();
            let mut machine = Machine {
                stage: Some(Stage::Dhcp),
                begun: now,
                since: now,
                due: now,
                tries: 0,
                is_offered: false,
                udp: None,
                fetch: None,
                tcp: None,
                kernel: String::new(),
                initrd: String::new(),
                answers: String::new(),
            };
            self.ask(&mut machine, number);
            self.timers.push(Reverse((machine.due, number)));
            machines.push(machine);
        }
        let mut events = Events::with_capacity(512);
        let mut last = begun;
        while self.left > 0 && begun.elapsed() < PATIENCE {
            // First: what waits here has been answered, and must not look as if it had not.
            let before = self.left;
            self.receive(&mut machines);
            let now = Instant::now();
            self.on_time(&mut machines, now);
            let next = self.timers.peek().map(|Reverse((at, _))| *at);
            let wait = next.map_or(PATIENCE, |at| at.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut events, Some(wait.min(PATIENCE))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let mut turn = 0;
            for event in &events {
                if event.token() == DHCP {
                    continue;
                }
                let number = u32::try_from(event.token().0).map_err(io::Error::other)?;
                let machine = &mut machines[number as usize];
                let stepped = match machine.stage {
                    Some(Stage::Loader) => self.fetch(machine, number),
                    Some(_) if machine.tcp.is_some() => self.ask_http(machine, number),
                    _ => Ok(()),
                };
                if let Err(why) = stepped {
                    self.give_up(machine, &why);
                }
                turn += 1;
                if turn % 32 == 0 {
                    self.receive(&mut machines);
                }
            }
            if self.left < before {
                last = Instant::now();
            }
        }
        self.outcome.took = last - begun;
        for machine in &machines {
            if let Some(stage) = machine.stage {
                *self.outcome.failed.entry(stage).or_default() += 1;
                *self
                    .outcome
                    .reasons
                    .entry("unfinished at the end".to_owned())
                    .or_default() += 1;
            }
        }
        Ok(())
    }

    fn give_up(&mut self, machine: &mut Machine, why: &str) {
        if let Some(stage) = machine.stage.take() {
            *self.outcome.failed.entry(stage).or_default() += 1;
            *self
                .outcome
                .reasons
                .entry(format!("{}: {why}", stage.name()))
                .or_default() += 1;
            self.left -= 1;
        }
        machine.udp = None;
        machine.tcp = None;
    }

    /// The next stage; gone on with by whoever calls.
    fn advance(&mut self, machine: &mut Machine) {
        let Some(stage) = machine.stage else { return };
        let now = Instant::now();
        let times = self.outcome.stages.entry(stage).or_default();
        times.push((now - machine.since).as_secs_f64());
        machine.since = now;
        machine.stage = stage.next().filter(|next| *next <= self.files.last);
        machine.tries = 0;
        machine.is_offered = false;
        if machine.stage.is_none() {
            self.outcome.finished += 1;
            self.outcome.times.push((now - machine.begun).as_secs_f64());
            self.left -= 1;
            machine.tcp = None;
        }
    }

    /// Asks by DHCP, for the first time or again.
    fn ask(&mut self, machine: &mut Machine, number: u32) {
        let is_ipxe = machine.stage == Some(Stage::DhcpIpxe);
        let template = &mut self.templates[usize::from(is_ipxe)][usize::from(machine.is_offered)];
        // The machine and its stage stand in the xid.
        let xid = (number + 1) | (u32::from(is_ipxe) << 30);
        // What cannot be sent is lost like any packet.
        let _ = self.dhcp.send(template.fill(xid, number));
        machine.due = Instant::now() + DHCP_TIMEOUT * (1 << machine.tries);
        machine.tries += 1;
    }

    /// Takes in what has come by DHCP.
    fn receive(&mut self, machines: &mut [Machine]) {
        let mut buffer = [0; 2_048];
        while let Ok(len) = self.dhcp.recv(&mut buffer) {
            let read = read_any(&buffer[..len], Way::Relay);
            let (reply, boot_file) = match read {
                Ok(read) => read,
                Err(why) => {
                    *self
                        .outcome
                        .reasons
                        .entry(format!("a reply: {why}"))
                        .or_default() += 1;
                    continue;
                }
            };
            let number = (reply.xid & !(1 << 30)).wrapping_sub(1);
            let is_ipxe = reply.xid >> 30 == 1;
            let Some(machine) = machines.get_mut(number as usize) else {
                continue;
            };
            let awaited = if is_ipxe {
                Stage::DhcpIpxe
            } else {
                Stage::Dhcp
            };
            let message = if machine.is_offered { ACK } else { OFFER };
            if machine.stage != Some(awaited) || reply.message_type != message {
                continue;
            }
            if reply.chaddr != mac(number) || reply.yiaddr != address(number) {
                self.give_up(machine, "the address of another one");
                continue;
            }
            if !machine.is_offered {
                machine.is_offered = true;
                machine.tries = 0;
                self.ask(machine, number);
                continue;
            }
            let boot_file = String::from_utf8_lossy(boot_file).into_owned();
            self.advance(machine);
            let stepped = if is_ipxe {
                self.open(
                    machine,
                    number,
                    &boot_file,
                    Body::With(vec!["kernel ".to_owned()]),
                )
            } else if boot_file == BOOT_FILE {
                self.load(machine, number)
            } else {
                Err(format!("the boot file is {boot_file:?}"))
            };
            if let Err(why) = stepped {
                self.give_up(machine, &why);
            }
        }
    }

    fn on_time(&mut self, machines: &mut [Machine], now: Instant) {
        while let Some(Reverse((at, number))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            let machine = &mut machines[number as usize];
            if machine.due <= now {
                match machine.stage {
                    Some(Stage::Dhcp | Stage::DhcpIpxe) if machine.tries >= DHCP_TRIES => {
                        self.give_up(machine, "no answer");
                    }
                    Some(Stage::Dhcp | Stage::DhcpIpxe) => {
                        self.outcome.dhcp_again += 1;
                        self.ask(machine, number);
                    }
                    Some(Stage::Loader) => {
                        self.outcome.tftp_again += 1;
                        machine.due = now + tftp::TIMEOUT;
                        let mut out = std::mem::take(&mut self.out);
                        let step = machine.fetch.as_mut().map(|fetch| fetch.on_time(&mut out));
                        let stepped = self.act(machine, number, step, &out);
                        self.out = out;
                        if let Err(why) = stepped {
                            self.give_up(machine, &why);
                        }
                    }
                    // TCP's own.
                    Some(_) | None => machine.due = now + PATIENCE,
                }
            }
            if machine.stage.is_some() {
                self.timers.push(Reverse((machine.due, number)));
            }
        }
    }

    /// Asks for the loader.
    fn load(&mut self, machine: &mut Machine, number: u32) -> Stepped {
        let open = || {
            let socket = std::net::UdpSocket::bind((address(number), 0))?;
            socket.set_nonblocking(true)?;
            let mut socket = UdpSocket::from_std(socket);
            let token = Token(number as usize);
            self.poll
                .registry()
                .register(&mut socket, token, Interest::READABLE)?;
            let _ = socket.send_to(self.files.loader.request(), (SERVER, 69).into());
            Ok::<_, io::Error>(socket)
        };
        machine.udp = Some(open().map_err(|error| error.to_string())?);
        machine.fetch = Some(Fetch::new(&self.files.loader));
        self.due_by_tftp(machine, number);
        Ok(())
    }

    fn due_by_tftp(&mut self, machine: &mut Machine, number: u32) {
        machine.due = Instant::now() + tftp::TIMEOUT;
        self.timers.push(Reverse((machine.due, number)));
    }

    fn fetch(&mut self, machine: &mut Machine, number: u32) -> Stepped {
        let mut out = std::mem::take(&mut self.out);
        let mut buffer = [0; 2_048];
        let mut stepped = Ok(());
        while let (Some(socket), Some(fetch)) = (&machine.udp, &mut machine.fetch) {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else {
                break;
            };
            let step = fetch.on_packet(from, &buffer[..len], &mut out);
            if step != tftp::Step::Wait {
                machine.due = Instant::now() + tftp::TIMEOUT;
            }
            stepped = self.act(machine, number, Some(step), &out);
            if stepped.is_err() {
                break;
            }
        }
        self.out = out;
        stepped
    }

    fn act(
        &mut self,
        machine: &mut Machine,
        number: u32,
        step: Option<tftp::Step>,
        out: &[u8],
    ) -> Stepped {
        let is_done = step == Some(tftp::Step::Done);
        match step {
            None | Some(tftp::Step::Wait) => return Ok(()),
            Some(tftp::Step::Failed(why) | tftp::Step::Wrong(why)) => return Err(why),
            Some(tftp::Step::Send | tftp::Step::Done) => {}
        }
        if let (Some(socket), Some(fetch)) = (&machine.udp, &machine.fetch) {
            let to = fetch.peer().unwrap_or_else(|| (SERVER, 69).into());
            let _ = socket.send_to(out, to);
        }
        if is_done {
            machine.udp = None;
            machine.fetch = None;
            self.advance(machine);
            self.ask(machine, number);
        }
        Ok(())
    }

    /// Asks for an address of HTTP, by the connection that there is or by a new one.
    fn open(&mut self, machine: &mut Machine, number: u32, url: &str, expected: Body) -> Stepped {
        let (to, path) = http::split(url).ok_or_else(|| format!("{url:?} is no address"))?;
        let request = http::request(to, path);
        let answer = Answer::new(expected);
        if let Some(connection) = machine
            .tcp
            .as_mut()
            .filter(|connection| connection.to == to)
        {
            connection.answer = answer;
            let sent = connection.stream.write_all(&request);
            return sent.map_err(|error| error.to_string());
        }
        let mut stream = http::connect(address(number), to).map_err(|error| error.to_string())?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let token = Token(number as usize);
        let registered = self.poll.registry().register(&mut stream, token, both);
        registered.map_err(|error| error.to_string())?;
        machine.tcp = Some(Connection {
            stream,
            to,
            request,
            answer,
        });
        Ok(())
    }

    /// Goes on with HTTP.
    fn ask_http(&mut self, machine: &mut Machine, number: u32) -> Stepped {
        let mut buffer = std::mem::take(&mut self.buffer);
        let stepped = self.ask_http_with(machine, number, &mut buffer);
        self.buffer = buffer;
        stepped
    }

    fn ask_http_with(&mut self, machine: &mut Machine, number: u32, buffer: &mut [u8]) -> Stepped {
        while let Some(connection) = &mut machine.tcp {
            if !connection.request.is_empty() {
                match connection.stream.write(&connection.request) {
                    Ok(len) => {
                        connection.request.drain(..len);
                    }
                    Err(error) if is_pending(&error) => return Ok(()),
                    Err(error) => return Err(error.to_string()),
                }
            }
            let len = match connection.stream.read(buffer) {
                Ok(0) => return Err("the connection was closed".to_owned()),
                Ok(len) => len,
                Err(error) if is_pending(&error) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            match connection.answer.on_bytes(&buffer[..len]) {
                http::Step::Wait => {}
                http::Step::Wrong(why) => return Err(why),
                http::Step::Done => {
                    let text = connection.answer.text();
                    self.answered(machine, number, &text)?;
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, machine: &mut Machine, number: u32, text: &str) -> Stepped {
        if machine.stage == Some(Stage::Script) {
            read_script(machine, number, text)?;
        }
        self.advance(machine);
        match machine.stage {
            Some(Stage::Kernel) => {
                let url = machine.kernel.clone();
                self.open(
                    machine,
                    number,
                    &url,
                    Body::Same(Arc::clone(&self.files.kernel)),
                )
            }
            Some(Stage::Initrd) => {
                let url = machine.initrd.clone();
                self.open(
                    machine,
                    number,
                    &url,
                    Body::Same(Arc::clone(&self.files.initrd)),
                )
            }
            Some(Stage::Answers) => {
                // The installer's, and not iPXE's any more.
                machine.tcp = None;
                let url = machine.answers.clone();
                self.open(machine, number, &url, Body::With(vec![name(number)]))
            }
            _ => Ok(()),
        }
    }
}

fn is_pending(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}

/// What a script says to load: the lines that iPXE would come to.
fn read_script(machine: &mut Machine, number: u32, text: &str) -> Stepped {
    let text = text.replace("${netX/mac}", &colons(mac(number)));
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let command = words.next();
        let mut url = words.clone().filter(|word| word.starts_with("http://"));
        match (command, url.next()) {
            (Some("kernel"), Some(url)) => {
                url.clone_into(&mut machine.kernel);
                let answers = words.find_map(|word| word.strip_prefix("url="));
                answers.unwrap_or_default().clone_into(&mut machine.answers);
            }
            (Some("initrd"), Some(url)) => url.clone_into(&mut machine.initrd),
            _ => {}
        }
    }
    if [&machine.kernel, &machine.initrd, &machine.answers]
        .iter()
        .any(|url| url.is_empty())
    {
        return Err(format!(
            "a script without an installer: {}",
            text.lines().nth(1).unwrap_or_default()
        ));
    }
    Ok(())
}
