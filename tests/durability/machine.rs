//! A machine on the bridge that asks for its address.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use bootwright::base::HardwareAddr;

use crate::wire::{Card, DISCOVER, OFFER, message, reply};

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A PC with a PXE ROM, plugged into `br0`.
pub(crate) struct Machine {
    card: Card,
    xid: u32,
}

impl Machine {
    pub(crate) fn plugged_in() -> Self {
        for line in [
            "link add port0 type veth peer name cli0",
            "link set port0 master br0",
            "link set port0 up",
            "link set cli0 up",
        ] {
            let status = Command::new("ip").args(line.split(' ')).status().unwrap();
            assert!(status.success(), "ip {line}");
        }
        Self {
            card: Card::open("cli0"),
            xid: 0,
        }
    }

    /// The address and the boot file that the machine with this MAC is offered.
    pub(crate) fn discover(&mut self, mac: &str) -> (Ipv4Addr, String) {
        let mac: HardwareAddr = mac.parse().unwrap();
        let mac = mac.octets().expect("of Ethernet");
        self.xid += 1;
        let request = message(mac, self.xid, DISCOVER, true, Ipv4Addr::UNSPECIFIED);
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            self.card.broadcast_frame(mac, &request);
            while let Some(frame) = self.card.next(Duration::from_millis(500)) {
                let (xid, ip, kind, _) = reply(&frame.payload);
                if xid == self.xid && kind == OFFER {
                    // The field `file` of the header (RFC 2131 section 2).
                    let file = &frame.payload[108..236];
                    let end = file.iter().position(|byte| *byte == 0).unwrap_or(128);
                    return (ip, String::from_utf8(file[..end].to_vec()).unwrap());
                }
            }
        }
        panic!("no offer for {mac:?}");
    }
}
