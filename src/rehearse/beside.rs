//! The other DHCP server of a rehearsal in a subnet with `mode = "proxy"`: dnsmasq, in a network
//! namespace of its own, on the same bridge.
//!
//! A thread that has left for a new namespace takes the processes that it starts along. dnsmasq is killed
//! by the kernel when that thread ends (`setpriv --pdeathsig KILL`), and the namespace goes with it.

use std::io::{self, BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use ipnet::Ipv4Net;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, gettid};

use super::netns::NetnsError;
use crate::base::HardwareAddr;
use crate::config::Snapshot;
use crate::config::snapshot::{Host, Subnet};

/// The other server's end of the cable at the bridge, and in its own namespace.
const PORT: &str = "bwother0";
const CARD: &str = "eth0";

/// The other server as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// dnsmasq.
    pub program: PathBuf,
    /// Its network.
    pub network: Ipv4Net,
    /// Its own address: the subnet's router, where there is one.
    pub own: Ipv4Addr,
    /// The machine.
    pub mac: HardwareAddr,
    /// The address that it gives to the machine: the host's, where it has one.
    pub given: Ipv4Addr,
    /// The name servers that it tells: the subnet's, else itself. An installer asks a person for them when
    /// it is told none.
    pub dns: Vec<Ipv4Addr>,
    /// The domain that it tells.
    pub domain: Option<String>,
}

impl Beside {
    /// Chooses the addresses. `None`: the network has too few.
    pub fn plan(
        program: PathBuf,
        snapshot: &Snapshot,
        subnet: &Subnet,
        host: &Host,
        mac: HardwareAddr,
    ) -> Option<Self> {
        let taken = |ip: Ipv4Addr| {
            ip == subnet.example_server
                || subnet.router == Some(ip)
                || snapshot.host_by_ip(ip).is_some()
        };
        let mut free = subnet.network.hosts().filter(|ip| !taken(*ip));
        let own = subnet
            .router
            .filter(|router| *router != subnet.example_server)
            .or_else(|| free.next())?;
        let given = host.ip.or_else(|| free.next())?;
        Some(Self {
            program,
            network: subnet.network,
            own,
            mac,
            given,
            dns: match subnet.dns.as_slice() {
                [] => vec![own],
                dns => dns.to_vec(),
            },
            domain: subnet.domain.clone(),
        })
    }

    /// Its command line: leases by hardware address alone, nothing on the disk, no DNS.
    fn arguments(&self) -> Vec<String> {
        let (network, mask) = (self.network.network(), self.network.netmask());
        let dns: Vec<String> = self.dns.iter().map(ToString::to_string).collect();
        let domain = self.domain.as_ref();
        let mut arguments = vec![
            "--no-daemon".to_owned(),
            "--conf-file=/dev/null".to_owned(),
            "--port=0".to_owned(),
            "--leasefile-ro".to_owned(),
            "--dhcp-authoritative".to_owned(),
            format!("--interface={CARD}"),
            "--bind-interfaces".to_owned(),
            format!("--dhcp-range={network},static,{mask},1h"),
            format!("--dhcp-host={},{}", self.mac, self.given),
            format!("--dhcp-option=option:dns-server,{}", dns.join(",")),
        ];
        arguments.extend(domain.map(|domain| format!("--dhcp-option=option:domain-name,{domain}")));
        arguments
    }

    /// Starts it, beside the server whose namespace this thread is in, and waits until it serves.
    pub fn start(&self, setpriv: &Path, ip: &Path, bridge: &str) -> Result<Running, NetnsError> {
        let (told, hear) = mpsc::channel::<Result<Pid, NetnsError>>();
        let (go, wait) = mpsc::channel::<()>();
        let thread = std::thread::spawn({
            let (beside, setpriv, ip) = (self.clone(), setpriv.to_owned(), ip.to_owned());
            move || {
                if let Err(errno) = unshare(CloneFlags::CLONE_NEWNET) {
                    let _ = told.send(Err(NetnsError::Refused(errno)));
                    return;
                }
                let _ = told.send(Ok(gettid()));
                // The cable is being plugged in; it never is when the other side fails.
                if wait.recv().is_err() {
                    return;
                }
                let started = beside.serve(&setpriv, &ip);
                let (mut child, mut log) = match started {
                    Ok(started) => started,
                    Err(error) => {
                        let _ = told.send(Err(error));
                        return;
                    }
                };
                let pid = i32::try_from(child.id()).unwrap_or_default();
                let _ = told.send(Ok(Pid::from_raw(pid)));
                // To its end, so that it never waits for a reader.
                let _ = io::copy(&mut log, &mut io::sink());
                let _ = child.wait();
            }
        });
        let gone = || NetnsError::Ip("the other DHCP server's thread ended".to_owned());
        let answer = || hear.recv().map_err(|_| gone()).flatten();
        let namespace = answer()?;
        let script = format!(
            "link add name {PORT} type veth peer name {CARD} netns /proc/{}/task/{namespace}/ns/net\n\
             link set dev {PORT} master {bridge}\n\
             link set dev {PORT} up\n",
            std::process::id()
        );
        super::netns::batch(ip, &script)?;
        let _ = go.send(());
        Ok(Running {
            pid: answer()?,
            thread: Some(thread),
        })
    }

    /// In its own namespace: sets up its card and starts it.
    fn serve(
        &self,
        setpriv: &Path,
        ip: &Path,
    ) -> Result<(Child, BufReader<ChildStderr>), NetnsError> {
        let Self { own, network, .. } = self;
        let prefix = network.prefix_len();
        super::netns::batch(
            ip,
            &format!(
                "link set dev lo up\n\
                 address add {own}/{prefix} broadcast + dev {CARD}\n\
                 link set dev {CARD} up\n"
            ),
        )?;
        let failed = |error: io::Error| NetnsError::Ip(format!("dnsmasq: {error}"));
        let mut child = Command::new(setpriv)
            .args(["--pdeathsig", "KILL"])
            .arg(&self.program)
            .args(self.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let Some(stderr) = child.stderr.take() else {
            return Err(failed(io::ErrorKind::BrokenPipe.into()));
        };
        let mut log = BufReader::new(stderr);
        let mut line = String::new();
        loop {
            let from = line.len();
            if log.read_line(&mut line).map_err(failed)? == 0 {
                let _ = child.wait();
                return Err(NetnsError::Ip(line.trim().replace('\n', "; ")));
            }
            // "DHCP, static leases only on …": with it the socket is open.
            if line.get(from..).is_some_and(|line| line.contains("DHCP, ")) {
                return Ok((child, log));
            }
        }
    }
}

/// The other server; ended when it is dropped.
#[derive(Debug)]
pub struct Running {
    pid: Pid,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The thread waits for it, so that its number is nobody else's yet.
        if let Some(thread) = self.thread.take().filter(|thread| !thread.is_finished()) {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = thread.join();
        }
    }
}
