//! Free addresses of a subnet: what the files leave is asked for among the leases, on the link (ARP), by echo and in
//! DNS, some addresses at a time, until as many as wanted are found free by every test that could be made.
//!
//! The daemon does it for `bootwright ip suggest`; without a daemon the command does it itself.
//!
//! **Invariant:** a test that could not be made is told with the reason, and rules nothing out; the whole takes no
//! longer than [`LONGEST`].

mod ask;
mod names;

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::base::SubnetName;
use crate::config::Snapshot;
use crate::config::snapshot::{Mode, Subnet};
use crate::decide::free::{Candidate, Candidates, RuledOut, Test, add};
use crate::host::links::LinkTable;

/// Most addresses of one request.
pub const MOST: usize = 256;

/// The longest that a search may take.
const LONGEST: Duration = Duration::from_secs(20);

/// Addresses that are asked for at once: at least, and at most.
const AT_ONCE: (usize, usize) = (8, 64);

/// A test that could not be made, or not about every address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotMade {
    /// Which.
    pub test: Test,
    /// Why.
    pub why: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestion {
    /// The subnet.
    pub subnet: SubnetName,
    /// Its network.
    pub network: ipnet::Ipv4Net,
    /// The free addresses, lowest first; fewer than wanted when there are no more.
    pub free: Vec<Ipv4Addr>,
    /// What was passed over on the way, in order.
    pub ruled_out: Vec<RuledOut>,
    /// The tests that were made of each free address.
    pub made: Vec<Test>,
    /// Those that were not, and why.
    pub not_made: Vec<NotMade>,
    /// Whether the search was broken off before the end of the subnet because it took too long.
    #[serde(default)]
    pub broken_off: bool,
}

/// Leases by address, with who has them in a few words; or why they are not known.
pub type Leased = Result<HashMap<Ipv4Addr, String>, String>;

/// What a test has found about some addresses.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Who has them, in a few words.
    taken: BTreeMap<Ipv4Addr, String>,
    /// Why it could not be asked, as far as it could not.
    trouble: Option<String>,
}

impl Asked {
    fn not(why: impl Into<String>) -> Self {
        Self {
            taken: BTreeMap::new(),
            trouble: Some(why.into()),
        }
    }
}

/// Where free addresses are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The configuration.
    pub snapshot: &'a Snapshot,
    /// One of its subnets.
    pub subnet: &'a Subnet,
    /// The interfaces of this machine.
    pub links: &'a LinkTable,
}

/// Looks for so many free addresses of a subnet, or at one address only.
pub async fn suggest(around: Around<'_>, wanted: Wanted, leased: Leased) -> Suggestion {
    suggest_but(BTreeMap::new(), around, wanted, leased).await
}

/// The same without some tests, for these reasons.
async fn suggest_but(
    not_made: BTreeMap<Test, String>,
    around: Around<'_>,
    wanted: Wanted,
    leased: Leased,
) -> Suggestion {
    let Around {
        snapshot,
        subnet,
        links,
    } = around;
    let own: Vec<Ipv4Addr> = links
        .iter()
        .flat_map(|interface| interface.addresses.iter().map(ipnet::Ipv4Net::addr))
        .collect();
    let mut search = Search {
        around,
        leased,
        not_made,
        found: Suggestion {
            subnet: subnet.name.clone(),
            network: subnet.network,
            free: Vec::new(),
            ruled_out: Vec::new(),
            made: Vec::new(),
            not_made: Vec::new(),
            broken_off: false,
        },
    };
    match wanted {
        Wanted::Free(count) => search.through(&own, count.clamp(1, MOST)).await,
        Wanted::This(ip) => match Candidates::of(snapshot, subnet, &own).against(ip) {
            Some(out) => search.found.ruled_out.push(out),
            None => search.judge(&[ip], 1, &mut Vec::new()).await,
        },
    }
    search.end()
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// So many free addresses.
    Free(usize),
    /// Whether this one is free.
    This(Ipv4Addr),
}

struct Search<'a> {
    around: Around<'a>,
    leased: Leased,
    not_made: BTreeMap<Test, String>,
    found: Suggestion,
}

impl Search<'_> {
    async fn through(&mut self, own: &[Ipv4Addr], count: usize) {
        let began = Instant::now();
        let (least, most) = AT_ONCE;
        let Around {
            snapshot, subnet, ..
        } = self.around;
        let mut candidates = Candidates::of(snapshot, subnet, own).peekable();
        while self.found.free.len() < count && candidates.peek().is_some() {
            if began.elapsed() >= LONGEST {
                self.found.broken_off = true;
                break;
            }
            // Somewhat more than are missing: the tests wait for nobody's answer, however many they ask.
            let missing = count - self.found.free.len();
            let at_once = (missing + missing / 4 + 2).clamp(least, most);
            let mut waiting = Vec::with_capacity(at_once);
            // What stands between them is told in its place, once they are judged.
            let mut between = Vec::new();
            while waiting.len() < at_once
                && let Some(candidate) = candidates.next()
            {
                match candidate {
                    Candidate::Free(ip) => waiting.push(ip),
                    Candidate::Not(out) => between.push(out),
                }
            }
            self.judge(&waiting, count, &mut between).await;
        }
    }

    /// Asks about some addresses, and takes those that are free until there are enough.
    async fn judge(&mut self, waiting: &[Ipv4Addr], count: usize, between: &mut Vec<RuledOut>) {
        let mut outs = std::mem::take(between);
        let mut asked = Vec::with_capacity(waiting.len());
        for ip in waiting {
            match self.leased.as_ref().map(|leased| leased.get(ip)) {
                Ok(Some(who)) => outs.push(RuledOut::one(*ip, Test::Lease, who)),
                Ok(None) => asked.push(*ip),
                Err(why) => {
                    self.not_made.insert(Test::Lease, why.clone());
                    asked.push(*ip);
                }
            }
        }
        let (arp, ping, ptr) = tokio::join!(
            self.unless_failed(Test::Arp, ask::arp(&asked, self.around)),
            self.unless_failed(Test::Ping, ask::ping(&asked)),
            self.unless_failed(Test::Ptr, names::of(&asked, self.around.subnet)),
        );
        let mut taken: Vec<Ipv4Addr> = Vec::new();
        for (test, asked) in [(Test::Arp, arp), (Test::Ping, ping), (Test::Ptr, ptr)] {
            for (ip, what) in asked.taken {
                taken.push(ip);
                outs.push(RuledOut::one(ip, test, what));
            }
            if let Some(why) = asked.trouble {
                self.not_made.insert(test, why);
            }
        }
        let mut last = None;
        for ip in asked.into_iter().filter(|ip| !taken.contains(ip)) {
            if self.found.free.len() < count {
                self.found.free.push(ip);
                last = Some(ip);
            }
        }
        // What lies behind the last one that was wanted was asked in vain: it explains nothing.
        let is_enough = self.found.free.len() >= count;
        outs.sort_by_key(|out| (out.first, out.by));
        for out in outs {
            if !is_enough || last.is_none_or(|last| out.first < last) {
                add(&mut self.found.ruled_out, out);
            }
        }
    }

    /// A test that could not be made at all is not tried again.
    async fn unless_failed(&self, test: Test, asks: impl Future<Output = Asked>) -> Asked {
        if self.not_made.contains_key(&test) {
            return Asked::default();
        }
        asks.await
    }

    fn end(mut self) -> Suggestion {
        let mode = self.around.subnet.mode;
        if !mode.gives_addresses() {
            let whose = match mode {
                Mode::Authoritative | Mode::Proxy => "another DHCP server gives the addresses here",
                Mode::Off => "this server gives no addresses here",
            };
            let why = format!("{whose} (mode = {:?}); only it knows", mode.as_str());
            self.not_made.insert(Test::Lease, why);
        }
        for test in Test::ASKED {
            match self.not_made.remove(&test) {
                Some(why) => self.found.not_made.push(NotMade { test, why }),
                None => self.found.made.push(test),
            }
        }
        self.found
    }
}

#[cfg(test)]
mod tests;
