//! Records as earlier versions of this program wrote them.

use std::net::Ipv4Addr;

use serde::Deserialize;

use crate::base::{HardwareAddr, HostName, ProfileName, Timestamp, Token};
use crate::record::{InstallState, Record};

/// A record of version 1, field by field: without orders that wait, secrets, and profiles of an order.
#[derive(Deserialize)]
pub(super) struct RecordV1 {
    host: HostName,
    state: InstallState,
    profile: Option<ProfileName>,
    macs: Vec<HardwareAddr>,
    ip: Option<Ipv4Addr>,
    token: Option<Token>,
    attempt: u32,
    armed_at: Option<Timestamp>,
    armed_until: Option<Timestamp>,
    script_at: Option<Timestamp>,
    kernel_at: Option<Timestamp>,
    started_at: Option<Timestamp>,
    installed_at: Option<Timestamp>,
    up_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    seen_at: Option<Timestamp>,
    percent: Option<u8>,
    message: Option<String>,
    by: Option<String>,
    changed_at: Option<Timestamp>,
}

impl From<RecordV1> for Record {
    fn from(old: RecordV1) -> Self {
        Self {
            // Orders of that version always took the file's.
            file_profile: old.profile.clone(),
            state: old.state,
            profile: old.profile,
            macs: old.macs,
            ip: old.ip,
            token: old.token,
            attempt: old.attempt,
            armed_at: old.armed_at,
            armed_until: old.armed_until,
            script_at: old.script_at,
            kernel_at: old.kernel_at,
            started_at: old.started_at,
            installed_at: old.installed_at,
            up_at: old.up_at,
            failed_at: old.failed_at,
            seen_at: old.seen_at,
            percent: old.percent,
            message: old.message,
            by: old.by,
            changed_at: old.changed_at,
            ..Self::new(old.host)
        }
    }
}
