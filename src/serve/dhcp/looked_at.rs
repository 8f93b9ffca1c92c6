//! What was asked of the system a moment ago: a rack that starts asks the same thing a thousand times.
//!
//! **Invariant:** nothing is remembered for longer than [`FRESH`] and [`Routes::FRESH`], and no map
//! grows beyond its bound.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::{Architecture, FastMap, HostName, ProfileName, Token};
use crate::config::options::ConfiguredOption;
use crate::config::snapshot::{Host, Profile};
use crate::decide::BootFiles;
use crate::serve::context::DiskBootFiles;

/// How long it is remembered whether a loader is there, and what a host's installation lacks. What is asked
/// for by TFTP or HTTP is always looked for on the disk.
const FRESH: Duration = Duration::from_millis(100);

/// Loaders, kernels and initial RAM disks remembered; a site has a few dozen.
const MOST: usize = 1_024;

/// Hosts whose files and secrets are remembered.
const MOST_HOSTS: usize = 4_096;

/// Boot files as they are looked for, one by one.
pub(super) trait LookedFor: BootFiles {
    /// [`BootFiles::missing_for`], with somebody else to say whether a file is there.
    fn missing_by(
        &self,
        host: &Host,
        profile: &Profile,
        arch: Architecture,
        is_there: &dyn Fn(&str) -> bool,
    ) -> Option<String>;
}

impl LookedFor for DiskBootFiles<'_> {
    fn missing_by(
        &self,
        host: &Host,
        profile: &Profile,
        arch: Architecture,
        is_there: &dyn Fn(&str) -> bool,
    ) -> Option<String> {
        DiskBootFiles::missing_by(self, host, profile, arch, is_there)
    }
}

/// Whether files are there, and what installations lack.
#[derive(Debug, Default)]
pub(super) struct LookedAt {
    files: Mutex<FastMap<String, (Instant, bool)>>,
    lacking: Mutex<FastMap<Asked, (Instant, Option<String>)>>,
}

/// What was asked of a host's installation. Machines without a reservation have one name, and boot
/// the same in the same subnet.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Asked {
    what: Lacking,
    generation: u64,
    host: HostName,
    subnet: usize,
    profile: ProfileName,
    arch: Architecture,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lacking {
    File,
    Secret,
}

/// Boot files on the disk, each looked for once in [`FRESH`].
pub(super) struct Remembered<'a, F> {
    files: F,
    /// Of the configuration that the files are asked for.
    generation: u64,
    looked_at: &'a LookedAt,
}

impl LookedAt {
    /// These files, looked for through this memory, under the configuration of this generation.
    pub(super) fn over<F>(&self, files: F, generation: u64) -> Remembered<'_, F> {
        Remembered {
            files,
            generation,
            looked_at: self,
        }
    }
}

impl<F> Remembered<'_, F> {
    /// What is lacking, found out once in [`FRESH`]: it takes a rendering, and anybody can send packets
    /// with the address of a machine that is to be installed.
    fn lacking(
        &self,
        what: Lacking,
        host: &Host,
        profile: &Profile,
        arch: Architecture,
        find: impl FnOnce() -> Option<String>,
    ) -> Option<String> {
        let lock = || {
            let lacking = &self.looked_at.lacking;
            lacking.lock().unwrap_or_else(PoisonError::into_inner)
        };
        let asked = Asked {
            what,
            generation: self.generation,
            host: host.name.clone(),
            subnet: host.subnet,
            profile: profile.name.clone(),
            arch,
        };
        let now = Instant::now();
        if let Some((at, found)) = lock().get(&asked)
            && now.saturating_duration_since(*at) < FRESH
        {
            return found.clone();
        }
        let found = find();
        let mut lacking = lock();
        if lacking.len() >= MOST_HOSTS {
            lacking.clear();
        }
        lacking.insert(asked, (now, found.clone()));
        found
    }
}

impl<F: LookedFor> BootFiles for Remembered<'_, F> {
    fn is_there(&self, path: &str) -> bool {
        let now = Instant::now();
        let lock = || {
            let seen = &self.looked_at.files;
            seen.lock().unwrap_or_else(PoisonError::into_inner)
        };
        if let Some((at, there)) = lock().get(path)
            && now.saturating_duration_since(*at) < FRESH
        {
            return *there;
        }
        let there = self.files.is_there(path);
        let mut seen = lock();
        if seen.len() >= MOST {
            seen.clear();
        }
        seen.insert(path.to_owned(), (now, there));
        there
    }

    fn missing_for(&self, host: &Host, profile: &Profile, arch: Architecture) -> Option<String> {
        self.lacking(Lacking::File, host, profile, arch, || {
            // Many hosts need the same files.
            self.files
                .missing_by(host, profile, arch, &|path| self.is_there(path))
        })
    }

    fn options_of(
        &self,
        host: &Host,
        profile: &Profile,
        token: &Token,
        server: Ipv4Addr,
    ) -> Vec<ConfiguredOption> {
        self.files.options_of(host, profile, token, server)
    }

    fn missing_secret(&self, host: &Host, profile: &Profile, arch: Architecture) -> Option<String> {
        self.lacking(Lacking::Secret, host, profile, arch, || {
            self.files.missing_secret(host, profile, arch)
        })
    }
}

/// From which address the kernel would answer a relay; remembered for a second, because a rack behind
/// one relay asks a thousand times.
#[derive(Debug, Default)]
pub(super) struct Routes(Mutex<FastMap<Ipv4Addr, (Instant, Option<Ipv4Addr>)>>);

impl Routes {
    const FRESH: Duration = Duration::from_secs(1);
    const MAX: usize = 1_024;

    pub(super) fn source_for(&self, relay: Ipv4Addr) -> Option<Ipv4Addr> {
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, source)) = routes.get(&relay)
            && at.elapsed() < Self::FRESH
        {
            return *source;
        }
        // `giaddr` is what anybody writes into a packet.
        if routes.len() >= Self::MAX {
            routes.clear();
        }
        let source = ask_kernel(relay);
        routes.insert(relay, (Instant::now(), source));
        source
    }
}

/// Connecting a UDP socket sends nothing: it makes the kernel choose a route and a source address.
fn ask_kernel(relay: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((relay, 67)).ok()?;
    match socket.local_addr().ok()? {
        std::net::SocketAddr::V4(address) => Some(*address.ip()).filter(|ip| !ip.is_unspecified()),
        std::net::SocketAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::testing;

    #[test]
    fn the_kernel_tells_its_source_address() {
        let routes = Routes::default();
        let loopback = Ipv4Addr::new(127, 0, 0, 7);
        assert_eq!(routes.source_for(loopback), Some(Ipv4Addr::LOCALHOST));
        for n in 0..3_000_u16 {
            let [high, low] = n.to_be_bytes();
            routes.source_for(Ipv4Addr::new(127, 1, high, low));
        }
        assert!(routes.0.lock().unwrap().len() <= Routes::MAX);
    }

    /// Counts how often it is asked for a file, and for what an installation lacks.
    #[derive(Default)]
    struct Disk {
        files: std::cell::Cell<u32>,
        lacking: std::cell::Cell<u32>,
    }

    impl BootFiles for Disk {
        fn is_there(&self, path: &str) -> bool {
            self.files.set(self.files.get() + 1);
            path == "there"
        }
        fn missing_for(
            &self,
            host: &Host,
            profile: &Profile,
            arch: Architecture,
        ) -> Option<String> {
            self.missing_by(host, profile, arch, &|path| self.is_there(path))
        }
    }

    impl LookedFor for Disk {
        fn missing_by(
            &self,
            host: &Host,
            profile: &Profile,
            _: Architecture,
            is_there: &dyn Fn(&str) -> bool,
        ) -> Option<String> {
            self.lacking.set(self.lacking.get() + 1);
            // One file that all hosts need: who finds it absent is told which host it was.
            (!is_there(profile.name.as_str())).then(|| host.name.to_string())
        }
    }

    #[test]
    fn what_many_hosts_need_is_looked_for_once_in_a_while() {
        let snapshot = testing::snapshot();
        let profile = snapshot.profiles().values().next().unwrap();
        let looked_at = LookedAt::default();
        let files = looked_at.over(Disk::default(), 1);
        for host in snapshot.hosts() {
            let missing = files.missing_for(host, profile, Architecture::X86_64);
            assert_eq!(missing.as_deref(), Some(host.name.as_str()));
        }
        assert!(snapshot.hosts().len() > 1);
        let seen = looked_at.files.lock().unwrap();
        assert_eq!(seen.keys().collect::<Vec<_>>(), [profile.name.as_str()]);
    }

    #[test]
    fn a_loader_is_looked_for_once_in_a_while() {
        let looked_at = LookedAt::default();
        let files = looked_at.over(Disk::default(), 1);
        for _ in 0..3 {
            assert!(files.is_there("there"));
            assert!(!files.is_there("elsewhere"));
        }
        // Both were asked for within a moment, unless this machine stood still.
        let asked = files.files.files.get();
        assert!(asked >= 2);
        let long_ago = Instant::now().checked_sub(FRESH).unwrap();
        for (at, _) in looked_at.files.lock().unwrap().values_mut() {
            *at = long_ago;
        }
        assert!(files.is_there("there"));
        assert_eq!(files.files.files.get(), asked + 1);
        for n in 0..2 * MOST {
            files.is_there(&n.to_string());
        }
        assert!(looked_at.files.lock().unwrap().len() <= MOST);
    }

    #[test]
    fn what_an_installation_lacks_is_found_out_once_in_a_while() {
        let snapshot = testing::snapshot();
        let host = testing::host(&snapshot, "web01");
        let profile = snapshot.profiles().values().next().unwrap();
        let looked_at = LookedAt::default();
        let asked = |generation: u64| {
            let files = looked_at.over(Disk::default(), generation);
            let arch = Architecture::X86_64;
            assert_eq!(files.missing_for(&host, profile, arch).unwrap(), "web01");
            assert_eq!(files.missing_secret(&host, profile, arch), None);
            files.files.lacking.get()
        };
        assert_eq!(asked(1), 1);
        asked(1);
        assert_eq!(looked_at.lacking.lock().unwrap().len(), 2);
        // Another configuration is another question; an old answer is none.
        assert_eq!(asked(2), 1);
        let long_ago = Instant::now().checked_sub(FRESH).unwrap();
        for (at, _) in looked_at.lacking.lock().unwrap().values_mut() {
            *at = long_ago;
        }
        assert_eq!(asked(2), 1);
    }
}
