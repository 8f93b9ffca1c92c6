//! What boots the machines: Bootwright, or several servers together, each with the same reservations and files.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::boots::Files;
use crate::common::ours::{Ours, name, write_boot_files};
use crate::common::packet::{BOOT_FILE, MASK, NETWORK, ROUTER, address, colons, mac};
use crate::common::process::Process;
use crate::common::setup::{self, Cpu, IFACE, SERVER};

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Bootwright,
    DnsmasqNginx,
    DhcpdHpaNginx,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Bootwright, Self::DnsmasqNginx, Self::DhcpdHpaNginx];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Bootwright => "Bootwright",
            Self::DnsmasqNginx => "dnsmasq + nginx",
            Self::DhcpdHpaNginx => "dhcpd + tftpd-hpa + nginx",
        }
    }

    /// Its name in commands.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bootwright => "bootwright",
            Self::DnsmasqNginx => "dnsmasq",
            Self::DhcpdHpaNginx => "dhcpd",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == text)
    }
}

/// The kernel's and the initial RAM disk's place, as the Debian profile has it.
const KERNEL: &str = "debian/12/x86_64/linux";
const INITRD: &str = "debian/12/x86_64/initrd.gz";

/// nginx's port.
const HTTP: u16 = 8_080;

/// Writes the boot files.
pub fn write_files(folder: &Path, files: &Files) -> io::Result<()> {
    let root = folder.join("root");
    let _ = fs::remove_dir_all(&root);
    write_boot_files(&root)?;
    for (path, bytes) in [
        (BOOT_FILE, &files.loader.file),
        (KERNEL, &files.kernel),
        (INITRD, &files.initrd),
    ] {
        fs::write(root.join(path), bytes.as_slice())?;
    }
    Ok(())
}

/// Servers that run, ready for so many machines.
pub struct Stack {
    processes: Vec<Process>,
    /// Where Bootwright keeps its journal.
    pub state: PathBuf,
}

impl Stack {
    pub fn start(kind: Kind, machines: u32, folder: &Path, cpu: Cpu) -> io::Result<Self> {
        let root = folder.join("root");
        let own = folder.join(kind.word());
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&own)?;
        let mut stack = Self {
            processes: Vec::new(),
            state: own.join("state"),
        };
        match kind {
            Kind::Bootwright => {
                let ours = Ours {
                    folder: &own,
                    boot_assets: &root,
                    hosts: machines,
                    shift: 0,
                    engine: "native",
                };
                ours.configure()?;
                nix::unistd::sync();
                stack.run(&mut ours.serve(cpu), &own, "bootwright")?;
                stack.wait(true)?;
                ours.say(&["install", "h*", "--yes"])?;
            }
            Kind::DnsmasqNginx => {
                stack.nginx(machines, &own, &root, cpu)?;
                stack.run(&mut dnsmasq(machines, &own, &root, cpu)?, &own, "dnsmasq")?;
                stack.wait(true)?;
            }
            Kind::DhcpdHpaNginx => {
                stack.nginx(machines, &own, &root, cpu)?;
                stack.run(&mut dhcpd(machines, &own, cpu)?, &own, "dhcpd")?;
                let mut tftpd = setup::in_server_namespace(cpu);
                tftpd
                    .args(["in.tftpd", "--foreground", "--secure", "--user", "root"])
                    .arg("--address")
                    .arg(format!("{SERVER}:69"))
                    .arg(&root);
                stack.run(&mut tftpd, &own, "tftpd")?;
                stack.wait(true)?;
                // dhcpd tells nobody when it is ready.
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        // What was written is on its way to the disk, in everybody's way; and a core that real-time work has filled
        // owes the rest of the machine some time.
        nix::unistd::sync();
        std::thread::sleep(Duration::from_secs(2));
        Ok(stack)
    }

    fn run(&mut self, command: &mut Command, own: &Path, name: &str) -> io::Result<()> {
        let folder = own.join(name);
        fs::create_dir_all(&folder)?;
        self.processes.push(Process::start(command, &folder)?);
        Ok(())
    }

    fn nginx(&mut self, machines: u32, own: &Path, root: &Path, cpu: Cpu) -> io::Result<()> {
        let site = own.join("site");
        let url = format!("http://{SERVER}:{HTTP}");
        fs::create_dir_all(&site)?;
        fs::write(
            site.join("boot.ipxe"),
            format!(
                "#!ipxe\nkernel {url}/assets/{KERNEL} auto=true url={url}/answers/${{netX/mac}}/preseed.cfg\n\
                 initrd {url}/assets/{INITRD}\nboot\n"
            ),
        )?;
        for host in 0..machines {
            let folder = site.join("answers").join(colons(mac(host)));
            fs::create_dir_all(&folder)?;
            let mut text = format!("# {}: {}\n", name(host), address(host));
            // As long as Bootwright's.
            text.push_str(&"d-i debian-installer/locale string en_US.UTF-8\n".repeat(35));
            fs::write(folder.join("preseed.cfg"), text)?;
        }
        let conf = own.join("nginx.conf");
        fs::write(
            &conf,
            format!(
                "daemon off;\nmaster_process off;\nworker_processes 1;\nuser root;\n\
                 pid {own}/pid;\nerror_log stderr error;\nevents {{ worker_connections 15000; }}\n\
                 http {{\naccess_log off;\nsendfile on;\ntcp_nopush on;\nopen_file_cache max=1000 inactive=60s;\n\
                 default_type application/octet-stream;\n\
                 client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi;\n\
                 uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi;\n\
                 server {{\nlisten {SERVER}:{HTTP} backlog=4096;\nlocation / {{ root {site}; }}\n\
                 location /assets/ {{ alias {root}/; }}\n}}\n}}\n",
                own = own.display(),
                site = site.display(),
                root = root.display(),
            ),
        )?;
        let mut nginx = setup::in_server_namespace(cpu);
        nginx.arg("nginx").arg("-c").arg(&conf);
        self.run(&mut nginx, own, "nginx")
    }

    /// Waits until TFTP and HTTP answer.
    fn wait(&mut self, tftp: bool) -> io::Result<()> {
        let begun = Instant::now();
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        while begun.elapsed() < Duration::from_secs(60) {
            if let Some(why) = self.ended() {
                return Err(io::Error::other(why));
            }
            let is_there = TcpStream::connect((SERVER, HTTP)).is_ok();
            let answers = || {
                socket
                    .send_to(b"\0\x01nothing\0octet\0", (SERVER, 69))
                    .is_ok()
                    && socket.recv_from(&mut [0; 600]).is_ok()
            };
            if is_there && (!tftp || answers()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(io::Error::other("it does not answer"))
    }

    pub fn ended(&mut self) -> Option<String> {
        self.processes.iter_mut().find_map(Process::ended)
    }

    pub fn cpu(&self) -> io::Result<Duration> {
        self.processes.iter().map(Process::cpu).sum()
    }

    /// The sum of their largest resident sizes, in MiB, of those that still run.
    pub fn memory(&self) -> f64 {
        self.processes.iter().map(Process::memory).sum()
    }
}

fn dnsmasq(machines: u32, own: &Path, root: &Path, cpu: Cpu) -> io::Result<Command> {
    let hosts = own.join("hosts");
    let mut text = String::new();
    for host in 0..machines {
        let _ = writeln!(text, "{},{}", colons(mac(host)), address(host));
    }
    fs::write(&hosts, text)?;
    let mut command = setup::in_server_namespace(cpu);
    command
        .args([
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--user=root",
        ])
        .args([
            "--port=0",
            "--bind-interfaces",
            "--quiet-dhcp",
            "--quiet-tftp",
        ])
        .args([
            "--log-facility=/dev/null",
            "--dhcp-authoritative",
            "--no-ping",
        ])
        .args([
            "--dhcp-lease-max=200000",
            "--enable-tftp",
            "--tftp-max=20000",
        ])
        .arg(format!("--interface={IFACE}"))
        .arg(format!("--dhcp-range={NETWORK},static,{MASK},1h"))
        .arg(format!("--dhcp-option=option:router,{ROUTER}"))
        .arg(format!("--dhcp-option=option:dns-server,{ROUTER}"))
        .arg("--domain=lab.example")
        .arg("--dhcp-match=set:ipxe,175")
        .arg(format!("--dhcp-boot=tag:!ipxe,{BOOT_FILE},,{SERVER}"))
        .arg(format!(
            "--dhcp-boot=tag:ipxe,http://{SERVER}:{HTTP}/boot.ipxe"
        ))
        .arg(format!("--tftp-root={}", root.display()))
        .arg(format!("--dhcp-hostsfile={}", hosts.display()))
        .arg(format!("--dhcp-leasefile={}", own.join("leases").display()));
    Ok(command)
}

fn dhcpd(machines: u32, own: &Path, cpu: Cpu) -> io::Result<Command> {
    let mut text = format!(
        "authoritative;\ndefault-lease-time 3600;\nmax-lease-time 3600;\nping-check false;\n\
         subnet {NETWORK} netmask {MASK} {{\n  option routers {ROUTER};\n  option domain-name-servers {ROUTER};\n  \
         option domain-name \"lab.example\";\n  next-server {SERVER};\n}}\n\
         if exists user-class and option user-class = \"iPXE\" {{\n  filename \"http://{SERVER}:{HTTP}/boot.ipxe\";\n\
         }} else {{\n  filename \"{BOOT_FILE}\";\n}}\n"
    );
    for host in 0..machines {
        let _ = writeln!(
            text,
            "host {} {{ hardware ethernet {}; fixed-address {}; }}",
            name(host),
            colons(mac(host)),
            address(host)
        );
    }
    let conf = own.join("dhcpd.conf");
    fs::write(&conf, text)?;
    let leases = own.join("leases");
    fs::write(&leases, b"")?;
    let mut command = setup::in_server_namespace(cpu);
    command
        .args(["dhcpd", "-4", "-f", "-q", "--no-pid", "-cf"])
        .arg(conf)
        .arg("-lf")
        .arg(leases)
        .arg(IFACE);
    Ok(command)
}
