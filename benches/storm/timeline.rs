//! Whether the journal has every step of every boot, read as `bootwright events` reads it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bootwright::journal::Journal;
use bootwright::journal::event::Kind;

use crate::boots::Stage;
use crate::common::ours::name;

/// What belongs to a boot, and how often, by the stage that brings it.
const WHOLE: [(Stage, Kind, u32); 9] = [
    (Stage::Dhcp, Kind::InstallArmed, 1),
    (Stage::DhcpIpxe, Kind::DhcpOffer, 2),
    (Stage::DhcpIpxe, Kind::DhcpAck, 2),
    (Stage::Loader, Kind::TftpSent, 1),
    (Stage::Script, Kind::HttpScript, 1),
    (Stage::Script, Kind::InstallBooting, 1),
    (Stage::Initrd, Kind::HttpAsset, 2),
    (Stage::Answers, Kind::HttpAnswer, 1),
    (Stage::Answers, Kind::InstallStarted, 1),
];

/// What was found.
#[derive(Debug, Default)]
pub struct Told {
    pub complete: u64,
    pub events: u64,
    /// What is missing, and of how many machines.
    pub lacks: String,
}

/// Reads the journal of a daemon that has ended, after boots that went as far as `last`.
pub fn read(state: &Path, machines: u32, last: Stage) -> io::Result<Told> {
    let (journal, _) = Journal::open(&state.join("journal.redb"), 1 << 40);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut seen: BTreeMap<(String, &str), u32> = BTreeMap::new();
    let mut told = Told::default();
    let (mut after, through) = (0, journal.begins_at());
    while after < through {
        let page = runtime.block_on(journal.page(after, through, 10_000));
        let page = page.ok_or_else(|| io::Error::other("the journal cannot be read"))?;
        for event in &page.events {
            told.events += 1;
            if let Some(host) = &event.host {
                *seen
                    .entry((host.to_string(), event.kind.as_str()))
                    .or_default() += 1;
            }
        }
        if page.through <= after {
            break;
        }
        after = page.through;
    }
    let mut lacks: BTreeMap<&str, u32> = BTreeMap::new();
    for machine in 0..machines {
        let machine = name(machine);
        let mut is_whole = true;
        for (_, kind, count) in WHOLE.into_iter().filter(|(stage, ..)| *stage <= last) {
            let kind = kind.as_str();
            if seen
                .get(&(machine.clone(), kind))
                .copied()
                .unwrap_or_default()
                < count
            {
                *lacks.entry(kind).or_default() += 1;
                is_whole = false;
            }
        }
        told.complete += u64::from(is_whole);
    }
    told.lacks = format!("missing: {lacks:?}");
    Ok(told)
}
