//! Events and the closed set of their kinds and reasons.
//!
//! **Invariant:** one datagram or request ends in exactly one event. A [`Reason`] has a stable code,
//! a sentence and, where somebody can do something, a remedy: the log, `events` and `why` all take
//! their words from here.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{HardwareAddr, HostName, ProfileName, Timestamp};

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads the stable name.
            pub fn from_name(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::from_name(&text)
                    .ok_or_else(|| serde::de::Error::custom(format!("unknown name `{text}`")))
            }
        }
    };
}

closed_set! {
    /// What happened.
    Kind {
        /// A DISCOVER was answered with an address.
        DhcpOffer = "dhcp.offer",
        /// A REQUEST was granted.
        DhcpAck = "dhcp.ack",
        /// A REQUEST was refused.
        DhcpNak = "dhcp.nak",
        /// A DHCP packet was not answered; the reason says why.
        DhcpIgnored = "dhcp.ignored",
        /// A packet on the DHCP port that cannot be read.
        DhcpMalformed = "dhcp.malformed",
        /// A reply could not be sent.
        DhcpFailed = "dhcp.failed",
        /// An address is in use by another machine than the one it is for.
        DhcpConflict = "dhcp.conflict",
        /// A pool has no free address.
        PoolExhausted = "pool.exhausted",
        /// Another DHCP server was heard.
        DhcpForeign = "dhcp.foreign",
        /// Other DHCP servers were looked for.
        DhcpProbed = "dhcp.probed",
        /// iPXE was told that there is no IPv6 router.
        NdpAdvertised = "ndp.advertised",
        /// An IPv6 router was seen: iPXE is told nothing there.
        NdpRouter = "ndp.router",
        /// A TFTP transfer has ended well, or was ended by the client as size probes are.
        TftpSent = "tftp.sent",
        /// A TFTP transfer failed or was refused.
        TftpFailed = "tftp.failed",
        /// A boot script was served.
        HttpScript = "http.script",
        /// A boot file was served.
        HttpAsset = "http.asset",
        /// An answer file was served.
        HttpAnswer = "http.answer",
        /// A request of the boot plane was refused.
        HttpRefused = "http.refused",
        /// A report changed nothing.
        ReportIgnored = "report.ignored",
        /// An installer's log was taken in.
        ReportLog = "report.log",
        /// A secret marked `once` was given to the machine.
        SecretServed = "secret.served",
        /// A secret marked `once` was asked for again.
        SecretAgain = "secret.again",
        /// A host is to be armed when another one has come to an event.
        InstallWaiting = "install.waiting",
        /// A host was armed.
        InstallArmed = "install.armed",
        /// Its boot script was served for the first time, or for a further attempt.
        InstallBooting = "install.booting",
        /// Its installer has begun.
        InstallStarted = "install.started",
        /// Its installer goes on.
        InstallProgress = "install.progress",
        /// Its installer has finished.
        InstallInstalled = "install.installed",
        /// Its system has started.
        InstallUp = "install.up",
        /// Its installation has failed.
        InstallFailed = "install.failed",
        /// Nothing was heard of its installation for too long.
        InstallStalled = "install.stalled",
        /// Its arming has lapsed.
        InstallLapsed = "install.lapsed",
        /// Its installation was cancelled.
        InstallCancelled = "install.cancelled",
        /// Something about an installation that changes no state.
        InstallNote = "install.note",
        /// A machine fetches its boot loader again and again and never asks for its script.
        BootLoop = "boot.loop",
        /// An event could not be delivered to a hook.
        HookFailed = "hook.failed",
        /// A file was brought from the server that it is mirrored from.
        MirrorFetched = "mirror.fetched",
        /// A file could not be brought from there, or it could not be asked whether it has changed.
        MirrorFailed = "mirror.failed",
        /// An unknown machine was seen.
        HostUnknown = "host.unknown",
        /// A configuration has taken effect.
        ConfigReloaded = "config.reloaded",
        /// A configuration was refused; the old one stays in force.
        ConfigRejected = "config.rejected",
        /// The daemon is ready.
        ServerStarted = "server.started",
        /// The daemon ends.
        ServerStopped = "server.stopped",
        /// Sockets were opened or closed because addresses came or went.
        ServerLinks = "server.links",
        /// Something of the server's own is in trouble: the store, a socket, a task.
        ServerTrouble = "server.trouble",
        /// Events were dropped or counted together.
        JournalSummary = "journal.summary",
    }
}

closed_set! {
    /// Why it happened.
    Reason {
        /// Nothing more to say.
        Done = "done",
        // --- what a machine gets
        /// Firmware gets its boot loader.
        Loader = "loader",
        /// iPXE gets the URL of its script.
        Script = "script",
        /// An installer or an operating system gets address and network options only.
        NetworkOnly = "network-only",
        /// The machine gets its installer.
        Installer = "installer",
        /// The machine boots its disk: nothing is asked for.
        DiskLocal = "disk/local",
        /// The machine boots its disk: it is installed.
        DiskInstalled = "disk/installed",
        /// The machine boots its disk: its installation has failed.
        DiskFailed = "disk/failed",
        /// The machine boots its disk: it is waiting for another host.
        DiskWaiting = "disk/waiting",
        /// The machine boots its disk: a boot file of its installer is not there.
        DiskFileMissing = "disk/boot-file-missing",
        /// The machine boots its disk: its installation cannot be recorded.
        DiskStoreUnavailable = "disk/store-unavailable",
        /// The machine boots its disk: its UUID or serial number is not the host's.
        DiskIdentity = "disk/other-machine",
        /// The machine boots its disk: its profile cannot be used for its architecture.
        DiskArchitecture = "disk/architecture",
        /// The machine boots its disk: its profile is gone from the configuration.
        DiskProfileGone = "disk/profile-gone",
        /// The script that every iPXE may have: it chains to the machine's own.
        ChainScript = "chain-script",
        // --- loops
        /// A loader was fetched again and again without its script asked for: one reply names the script.
        LoopScript = "loop/script-instead",
        /// That was in vain too: the machine gets no boot file for ten minutes.
        LoopNoFile = "loop/no-boot-file",
        /// The firmware fetches the loader again and again and never runs it.
        RefusedByFirmware = "refused-by-firmware",
        /// Shim runs, fetches GRUB again and again, and GRUB asks for nothing.
        RefusedByShim = "refused-by-shim",
        // --- DHCP, not answered or refused
        /// No reservation has this hardware address.
        UnknownHost = "unknown-host",
        /// No configured subnet fits the way the packet came.
        NoSubnet = "no-subnet",
        /// Another server gives the addresses; only machines that boot from the network are told something.
        ProxyOnly = "proxy-only",
        /// DHCP is switched off in this subnet.
        ModeOff = "subnet-mode-off",
        /// The relay is in no configured subnet.
        UnknownRelay = "unknown-relay",
        /// The reservation belongs to another subnet than the packet.
        WrongSubnet = "wrong-subnet",
        /// The network card has no address of its own.
        NicWithoutAddress = "nic-without-address",
        /// Another port of the host holds the address that they share.
        AddressHeld = "address-held",
        /// The network card gets its address and does not boot the host.
        NicDoesNotBoot = "nic-does-not-boot",
        /// The client chose another server.
        OtherServer = "other-server-identifier",
        /// The client asks for another address than the reserved one.
        WrongAddress = "wrong-address",
        /// The client declined its address: somebody else holds it.
        Declined = "declined",
        /// The client gave its address back.
        Released = "released",
        /// A machine without a reservation gets an address of the pool.
        PoolLease = "pool-lease",
        /// The pool has no free address.
        PoolExhausted = "pool-exhausted",
        /// The machine speaks of an address that it was never given.
        NoLease = "no-lease",
        /// An address of a pool is in use by a machine that it was not given to.
        PoolAddressTaken = "pool-address-taken",
        /// A reserved address is in use by another machine than its host's.
        ReservedAddressTaken = "reserved-address-taken",
        /// A machine without a reservation boots the discovery profile.
        Discovery = "discovery",
        /// A reply on the server's port.
        NotARequest = "not-a-request",
        /// A message type that a server does not answer.
        MessageType = "message-type",
        /// A BOOTP request; only DHCP is answered.
        Bootp = "bootp",
        /// No boot loader is configured, or none is there, for this architecture.
        NoLoader = "no-loader",
        /// The number in option 93 is of no known architecture.
        UnknownArchitecture = "unknown-architecture",
        /// The packet cannot be read.
        Malformed = "malformed",
        /// More came than can be worked off.
        Overload = "overload",
        /// The system refused to send.
        SendFailed = "send-failed",
        /// The reply left as a frame to the client's own hardware address, or by broadcast instead.
        NoRawSocket = "no-raw-socket",
        /// Another DHCP server serves the network.
        ForeignServer = "foreign-server",
        /// Another DHCP server offers a reserved machine an address.
        ForeignOffer = "foreign-offer",
        /// A reserved machine has taken its address from another DHCP server.
        ForeignChosen = "foreign-chosen",
        /// Another DHCP server refused a reserved machine its address.
        ForeignNak = "foreign-nak",
        /// Another server tells a reserved machine what to boot.
        ForeignBootFile = "foreign-boot-file",
        /// No other DHCP server was found.
        NoForeignServer = "no-foreign-server",
        /// iPXE asked for an IPv6 router and is told not to wait for one.
        NoRouter = "no-ipv6-router",
        /// Another IPv6 router is on the link.
        OtherRouter = "other-ipv6-router",
        // --- files
        /// There is no such file.
        NotFound = "not-found",
        /// The name leads out of the boot files or is hidden.
        BadName = "bad-name",
        /// The client ended the transfer, as a size probe does.
        Aborted = "aborted-by-client",
        /// The client fell silent.
        Timeout = "timeout",
        /// Too many transfers at once.
        Busy = "busy",
        /// Files are read-only here.
        ReadOnly = "read-only",
        /// The file could not be read.
        ReadFailed = "read-failed",
        /// The file changed while it was sent.
        Changed = "changed-while-sent",
        /// The server that the file is mirrored from did not give it.
        Upstream = "upstream",
        /// The connection ended before the whole was sent.
        Incomplete = "incomplete",
        // --- scripts, answers, reports
        /// The request came from another address than the machine's.
        NotThisMachine = "not-this-machine",
        /// No arming has this token.
        UnknownToken = "unknown-token",
        /// The token is no longer good for this.
        VoidToken = "void-token",
        /// The profile has no answer file of this name.
        UnknownAnswer = "unknown-answer",
        /// The template could not be rendered.
        RenderFailed = "render-failed",
        /// The boot loader that asks cannot boot what its profile names.
        LoaderUnable = "loader-unable",
        /// The store could not be read or written.
        StoreUnavailable = "store-unavailable",
        /// The report changes nothing in this state.
        NoChange = "no-change",
        /// The request is not understood.
        BadRequest = "bad-request",
        /// The body is larger than allowed.
        TooLarge = "too-large",
        // --- installations
        /// An operator asked for it.
        Operator = "operator",
        /// The boot script was served.
        ScriptServed = "script-served",
        /// A further boot of the installer.
        FurtherBoot = "further-boot",
        /// The script was asked for again within the same boot.
        SameBoot = "same-boot",
        /// An answer file was served.
        AnswerServed = "answer-served",
        /// The installer or the installed system reported it.
        Reported = "reported",
        /// As many boots as allowed were used up.
        AttemptsUsed = "attempts-used",
        /// Nothing was heard for too long.
        Stalled = "stalled",
        /// No machine took the arming up in time.
        Lapsed = "lapsed",
        /// A failure was reported before the installer had begun: the next boot is another attempt.
        FailedWhileBooting = "failed-while-booting",
        /// The configuration no longer has what the arming was given for.
        NoLongerFits = "no-longer-fits",
        /// What the host waited for has come.
        AfterCame = "after-came",
        /// A tool was served for its one boot.
        OnceServed = "once-served",
        /// The host is new, and new hosts are installed here.
        NewHost = "new-host",
        /// A live system is served at every boot.
        Live = "live",
        /// The secret was given to this attempt already.
        SecretGiven = "secret-given",
        /// A secret that is needed is not in the secrets file.
        NoSecret = "no-secret",
        /// Only a time was noted.
        SignOfLife = "sign-of-life",
        // --- hooks
        /// A hook did not take an event; it is tried again.
        Undelivered = "undelivered",
        /// Events for a hook were given up.
        GivenUp = "given-up",
        // --- the server
        /// A file changed, or a reload was asked for.
        Reload = "reload",
        /// The configuration has errors.
        Invalid = "invalid",
        /// An end was asked for.
        Signal = "signal",
        /// The store was made anew.
        NewStore = "new-store",
        /// The store was damaged and was set aside.
        DamagedStore = "damaged-store",
        /// An address or interface came or went.
        LinkChange = "link-change",
        /// A task ended unexpectedly and was started again.
        TaskFailed = "task-failed",
        /// The disk is full or cannot be written.
        DiskFull = "disk-full",
        /// Too many events of one kind came to write each.
        Flood = "flood",
    }
}

impl Kind {
    /// Whether hooks are told of it: not of what befalls hooks, which would go round in circles.
    pub const fn is_for_hooks(self) -> bool {
        !matches!(self, Self::HookFailed)
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up; given by the journal.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: Kind,
    /// Why.
    pub reason: Reason,
    /// The host, where one is known.
    pub host: Option<HostName>,
    /// The machine's hardware address.
    pub mac: Option<HardwareAddr>,
    /// The machine's address, or the peer's.
    pub ip: Option<Ipv4Addr>,
    /// The interface it came in on.
    pub iface: Option<Arc<str>>,
    /// How far the machine is: `bios`, `uefi-x64`, `httpboot`, `ipxe`, `os`.
    pub stage: Option<Arc<str>>,
    /// The DHCP transaction.
    pub xid: Option<u32>,
    /// The file or boot file, as named by the machine or to it. Tokens in it are cut to their hint.
    pub file: Option<String>,
    /// Bytes sent.
    pub bytes: Option<u64>,
    /// Microseconds from the request to the end of the answer.
    pub took_us: Option<u64>,
    /// How many like it this one stands for; `None` is one.
    pub count: Option<u64>,
    /// The configuration that was in force.
    pub generation: u64,
    /// A sentence with the particulars.
    pub detail: Option<String>,
    /// Where the installation stands after it, when it is an event of one.
    #[serde(default)]
    pub install: Option<Box<Standing>>,
    /// The other DHCP server, when it is an event of one.
    #[serde(default)]
    pub foreign: Option<Box<Foreign>>,
    /// Who has an address that is another's, when it is an event of a conflict.
    #[serde(default)]
    pub holder: Option<Box<HardwareAddr>>,
}

/// Another DHCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreign {
    /// Its address: the server identifier that it bears.
    pub ip: Ipv4Addr,
    /// The card that its frames came from; `None` when only a machine's word for it was heard.
    pub mac: Option<HardwareAddr>,
    /// The address that it offered or gave.
    pub address: Option<Ipv4Addr>,
    /// Whether the machine chose it.
    pub chosen: bool,
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.mac {
            Some(mac) => write!(f, "{} ({mac})", self.ip),
            None => self.ip.fmt(f),
        }
    }
}

/// Where an installation stands after an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The state of the host's record: `armed`, `installing`, …
    pub state: Arc<str>,
    /// What it was armed with.
    pub profile: Option<ProfileName>,
    /// The boot of the installer that is under way, from 1; 0 before the first.
    pub attempt: u32,
    /// Percent done, as the installer last reported.
    pub percent: Option<u8>,
    /// The last message: of the installer, or why it failed.
    pub message: Option<String>,
}

/// The version of the JSON form of events; see `docs/events.md`. It changes when a field goes or comes to
/// mean something else, not when one is added.
pub const JSON_VERSION: u32 = 1;

impl Event {
    /// An event with nothing but what every event has.
    pub fn new(at: Timestamp, kind: Kind, reason: Reason) -> Self {
        Self {
            id: 0,
            at,
            kind,
            reason,
            host: None,
            mac: None,
            ip: None,
            iface: None,
            stage: None,
            xid: None,
            file: None,
            bytes: None,
            took_us: None,
            count: None,
            generation: 0,
            detail: None,
            install: None,
            foreign: None,
            holder: None,
        }
    }

    /// The same, about this host.
    #[must_use]
    pub fn host(mut self, host: impl Into<Option<HostName>>) -> Self {
        self.host = host.into();
        self
    }

    /// The same, about this machine.
    #[must_use]
    pub fn mac(mut self, mac: impl Into<Option<HardwareAddr>>) -> Self {
        self.mac = mac.into();
        self
    }

    /// The same, with an address.
    #[must_use]
    pub fn ip(mut self, ip: impl Into<Option<Ipv4Addr>>) -> Self {
        self.ip = ip.into();
        self
    }

    /// The same, with a file's name.
    #[must_use]
    pub fn file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// The same, with the particulars.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Why, which file, and the particulars, as one line for people. The particulars may name the file
    /// already.
    pub fn in_words(&self) -> String {
        let detail = self.detail.as_deref().unwrap_or_default();
        let reason = (self.reason != Reason::Done).then(|| self.reason.sentence());
        let file = self.file.as_deref().filter(|file| !detail.contains(*file));
        let parts: Vec<&str> = [reason, file, Some(detail)]
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        if parts.is_empty() {
            self.reason.sentence().to_owned()
        } else {
            parts.join(", ")
        }
    }

    /// How much was sent and, where that is worth telling, how long it took: `8.2 MB in 0.4 s`.
    pub fn transferred(&self) -> Option<String> {
        let size = match self.bytes? {
            bytes @ ..10_000 => format!("{bytes} bytes"),
            bytes @ ..1_000_000 => format!("{} kB", bytes / 1_000),
            bytes => format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10),
        };
        Some(match self.took_us {
            Some(us) if us >= 100_000 => {
                format!("{size} in {}.{} s", us / 1_000_000, us / 100_000 % 10)
            }
            _ => size,
        })
    }

    /// One JSON object without the fields that are absent; what is known of an installation stands
    /// beside the rest.
    pub fn to_json(&self) -> serde_json::Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        if let Some(object) = value.as_object_mut() {
            if let Some(serde_json::Value::Object(standing)) = object.remove("install") {
                object.extend(standing);
            }
            object.retain(|_, field| !field.is_null());
        }
        value
    }

    /// The JSON form that leaves the daemon, by `events` and by hooks alike: [`Event::to_json`] with the
    /// version of the form and the name of this server.
    pub fn to_json_of(&self, server: &str) -> serde_json::Value {
        let mut value = self.to_json();
        if let Some(object) = value.as_object_mut() {
            object.insert("version".to_owned(), JSON_VERSION.into());
            object.insert("server".to_owned(), server.into());
        }
        value
    }
}

impl Reason {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        self.as_str()
    }
}
