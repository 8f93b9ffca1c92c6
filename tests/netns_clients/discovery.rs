//! A machine of QEMU's that nobody knows: iPXE shows the menu, waits, and goes on to its installer once
//! it is adopted and armed.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::harness::{Lab, PATIENCE, between, ip};
use super::pool::with_pool;

const MAC: &str = "52:54:00:99:99:77";
const UUID: &str = "e2e00000-0000-4000-8000-000000000077";

/// The machine and its serial console; switched off with the test.
struct Machine {
    qemu: Child,
    console: UnixStream,
    said: Arc<Mutex<String>>,
}

impl Machine {
    /// Switches it on, on a port of the server's bridge.
    fn start(lab: &Lab) -> Self {
        ip("tuntap add tap0 mode tap");
        ip("link set tap0 master br0");
        ip("link set tap0 up");
        let socket = lab.site.path("console");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-machine", "pc,graphics=off", "-accel", "tcg", "-m", "256"])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no"])
            .arg("-device")
            .arg(format!("virtio-net-pci,netdev=net0,mac={MAC},bootindex=1"))
            .args(["-uuid", UUID, "-smbios", "type=1,serial=QM42"])
            .arg("-chardev")
            .arg(format!("socket,id=console,path={}", socket.display()))
            .args(["-serial", "chardev:console"])
            .stdin(Stdio::null());
        let qemu = command.spawn().expect("QEMU (package qemu-system-x86)");
        let console = listener.accept().expect("the console").0;
        let said = Arc::new(Mutex::new(String::new()));
        let (mut from, into) = (console.try_clone().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..read]).into_owned();
                into.lock().unwrap().push_str(&text);
            }
        });
        Self {
            qemu,
            console,
            said,
        }
    }

    fn shows(&self, words: &str) {
        // Longer than elsewhere: without hardware virtualisation a BIOS takes its time.
        let began = Instant::now();
        while began.elapsed() < 4 * PATIENCE {
            if self.said.lock().unwrap().contains(words) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("no `{words}` in:\n{}", self.said.lock().unwrap());
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

#[test]
fn a_real_machine_is_discovered_and_adopted() {
    between("52:54:00:99:99:01", |lab| {
        with_pool(
            lab,
            "",
            "pool = \"10.99.0.200-10.99.0.201\"\nunknown = \"discover\"",
        );
        let _daemon = lab.site.serve();
        let mut machine = Machine::start(lab);
        machine.shows(&format!("no host has the MAC address {MAC}"));
        machine.shows(UUID);
        machine.shows("QM42");
        machine.console.write_all(b"w").unwrap();
        machine.shows(&format!("{MAC} waits to be adopted"));
        let ack = lab.site.event("dhcp.ack");
        assert_eq!(
            (&ack["ip"], &ack["stage"]),
            (&"10.99.0.200".into(), &"ipxe".into())
        );

        let file = lab.site.path("config/reservations.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        let web09 =
            format!("\n[hosts.web09]\nmac = \"{MAC}\"\nip = \"10.99.0.19\"\ngroup = \"web\"\n");
        text.push_str(&web09);
        std::fs::write(&file, text).unwrap();
        lab.site.run(&["reload"]);
        machine.shows("bootwright install web09");
        lab.site.run(&["install", "web09"]);
        machine.shows("web09 is to be installed with debian-12");
        let booting = lab.site.event("install.booting");
        assert_eq!(
            (&booting["host"], &booting["ip"]),
            (&"web09".into(), &"10.99.0.200".into())
        );
    });
}
