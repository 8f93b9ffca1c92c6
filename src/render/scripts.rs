//! iPXE scripts (manual: ipxe.org/scripting, ipxe.org/cmd). All end in `boot` or `exit 1`: after a
//! plain `exit` firmware takes the network boot for a success and stops in its setup.

use super::{RenderedBoot, View};
use crate::base::HardwareAddr;
use crate::config::snapshot::Host;

/// Boots the installer.
pub fn install(view: &View<'_>, boot: &RenderedBoot, attempt: u32, max_attempts: u32) -> String {
    let _ = (view, boot, attempt, max_attempts);
    String::new()
}

/// Boots the disk and says why on the screen (`why` is one line such as "web01: failed after 3
/// attempts; bootwright install web01").
pub fn disk(host: &Host, why: &str) -> String {
    let _ = (host, why);
    String::new()
}

/// For whoever asks for another machine's script.
pub fn not_this_machine() -> String {
    String::new()
}

/// For a machine without a reservation: prints MAC, UUID, serial number and the command to adopt it.
pub fn unknown(mac: HardwareAddr) -> String {
    let _ = mac;
    String::new()
}

/// Asks for the machine's own script again, telling its UUID and serial number.
pub fn identify(script_url: &str) -> String {
    let _ = script_url;
    String::new()
}

/// For any machine: chains to its own script.
pub fn chain(base_url: &str) -> String {
    let _ = base_url;
    String::new()
}

/// Shows a trouble of the server's on the screen, waits, and leaves the network boot.
pub fn trouble(text: &str) -> String {
    let _ = text;
    String::new()
}
