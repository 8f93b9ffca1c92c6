//! Two network namespaces without names, joined by a cable; a core each.
//!
//! The benchmark starts itself anew by `unshare`, as the first process of a process namespace: whatever
//! ends it ends everything that it has started, and the networks go with the processes.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The server's own address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 76, 0, 1);
/// The relay agent's, or the router's: where the load comes from.
pub const RELAY: Ipv4Addr = Ipv4Addr::new(10, 76, 0, 2);

/// The servers' interface.
pub const IFACE: &str = "srv0";

/// The load's.
pub const LOAD_IFACE: &str = "load0";

/// What tells that the namespaces are there already.
const INSIDE: &str = "BOOTWRIGHT_BENCH_INSIDE";

/// The process that keeps the servers' namespace.
static HOLDER: OnceLock<u32> = OnceLock::new();

/// How processes are put on their cores.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    /// `SCHED_RR` for server and load, instead of a high priority: on machines that have other work.
    pub realtime: bool,
}

impl Cpu {
    const SERVER: &str = "0";
    const LOAD: &str = "1";

    fn prefix(self, core: &str) -> Vec<String> {
        let mut words = vec!["taskset", "-c", core];
        if self.realtime {
            words.extend(["chrt", "--rr", "5"]);
        } else {
            words.extend(["nice", "-n", "-20"]);
        }
        words.into_iter().map(str::to_owned).collect()
    }
}

/// Whether `SCHED_RR` may be used: containers often may not.
pub fn realtime_is_allowed() -> bool {
    Command::new("chrt")
        .args(["--rr", "5", "true"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Starts this program anew in namespaces of its own; returns when it is the one that was started.
pub fn enter(cpu: Cpu) -> io::Result<()> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let error = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ])
        .args(cpu.prefix(Cpu::LOAD))
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error)
}

/// The servers' namespace and the cable. What is returned keeps it.
pub fn network() -> io::Result<Holder> {
    let child = Command::new("unshare")
        .args(["--net", "sleep", "infinity"])
        .stdin(Stdio::null())
        .spawn()?;
    let pid = child.id();
    let holder = Holder(child);
    let own = std::fs::read_link("/proc/self/ns/net")?;
    let begun = Instant::now();
    while std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|other| other == own) {
        if begun.elapsed() > Duration::from_secs(5) {
            return Err(io::Error::other("the servers' namespace did not come"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = HOLDER.set(pid);
    run(&["ip", "link", "set", "lo", "up"])?;
    run(&[
        "ip", "link", "add", LOAD_IFACE, "type", "veth", "peer", "name", IFACE,
    ])?;
    run(&["ip", "link", "set", IFACE, "netns", &pid.to_string()])?;
    run(&[
        "ip",
        "address",
        "add",
        &format!("{RELAY}/15"),
        "dev",
        LOAD_IFACE,
    ])?;
    run(&["ip", "link", "set", LOAD_IFACE, "up"])?;
    in_server(&["ip", "link", "set", "lo", "up"])?;
    in_server(&[
        "ip",
        "address",
        "add",
        &format!("{SERVER}/15"),
        "dev",
        IFACE,
    ])?;
    in_server(&["ip", "link", "set", IFACE, "up"])?;
    Ok(holder)
}

/// The networks of the machines: 16,128 addresses from 10.76.1.0 on.
const MACHINES: [&str; 6] = [
    "10.76.1.0/24",
    "10.76.2.0/23",
    "10.76.4.0/22",
    "10.76.8.0/21",
    "10.76.16.0/20",
    "10.76.32.0/19",
];

/// The address of a machine of its own.
pub fn machine(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 76, 1, 0).to_bits() + number)
}

/// Gives the load the address of every machine: sockets can be bound to each. For the servers the machines are
/// behind a router, as the neighbour table of the kernel holds no thousands of them.
pub fn machines() -> io::Result<()> {
    for network in MACHINES {
        run(&["ip", "route", "add", "local", network, "dev", "lo"])?;
        let router = RELAY.to_string();
        in_server(&["ip", "route", "add", network, "via", &router])?;
    }
    Ok(())
}

/// Lets this process have a socket for each machine, as far as it may.
pub fn raise_descriptor_limit() -> io::Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(io::Error::from)
}

/// The beginning of a command that runs where the servers are, on their core.
pub fn in_server_namespace(cpu: Cpu) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!(
            "--net=/proc/{}/ns/net",
            HOLDER.get().copied().unwrap_or_default()
        ))
        .args(cpu.prefix(Cpu::SERVER));
    command
}

/// Keeps the servers' namespace.
pub struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn in_server(words: &[&str]) -> io::Result<()> {
    let namespace = format!(
        "--net=/proc/{}/ns/net",
        HOLDER.get().copied().unwrap_or_default()
    );
    run(&[&["nsenter", &namespace], words].concat())
}

fn run(words: &[&str]) -> io::Result<()> {
    let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let status = Command::new(program).args(args).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "`{}` failed: {status}",
            words.join(" ")
        )))
    }
}
