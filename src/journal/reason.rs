//! L2, what each [`Reason`] means in words, and what can be done.
//!
//! The log, `events`, `why` and the texts that machines are sent all take their words from here. The
//! particulars (which file, which address) stand in an event's `detail`.

use super::event::Reason;

impl Reason {
    /// What it means: a sentence without capital and full stop, to stand after a name and a colon.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Loader => "the firmware gets its boot loader",
            Self::Script => "iPXE gets the address of its script",
            Self::NetworkOnly => {
                "an installer or operating system gets its address and network options, and no boot file"
            }
            Self::Installer => "the machine gets its installer",
            Self::DiskLocal => "the machine boots its disk: nothing is asked for",
            Self::DiskInstalled => "the machine boots its disk: it is installed",
            Self::DiskFailed => "the machine boots its disk: its installation has failed",
            Self::DiskWaiting => "the machine boots its disk: it is waiting for another host",
            Self::DiskFileMissing => {
                "the machine boots its disk: a boot file of its installer is not there"
            }
            Self::DiskStoreUnavailable => {
                "the machine boots its disk: its installation could not be recorded"
            }
            Self::DiskIdentity => {
                "the machine boots its disk: its UUID or serial number is not the reserved one"
            }
            Self::DiskArchitecture => {
                "the machine boots its disk: its profile is not for its architecture"
            }
            Self::DiskProfileGone => {
                "the machine boots its disk: the profile it was armed with is gone from the configuration"
            }
            Self::ChainScript => "the script that leads any machine to its own",
            Self::LoopScript => {
                "the loader is fetched again and again and no script is asked for: this once the reply names the script instead"
            }
            Self::LoopNoFile => {
                "the loader is fetched again and again and no script is asked for: the machine gets no boot file for 10 minutes"
            }
            Self::RefusedByFirmware => {
                "the loader is fetched again and again and never run: refused by the firmware's signature check (Secure Boot), or it cannot drive this network card"
            }
            Self::RefusedByShim => {
                "GRUB is fetched again and again and asks for nothing: refused by shim's signature check (Secure Boot), or it finds no network"
            }
            Self::UnknownHost => "no reservation has this hardware address",
            Self::NoSubnet => "no configured subnet fits the interface that the packet came in on",
            Self::ProxyOnly => {
                "another DHCP server gives the addresses of this subnet (mode = \"proxy\")"
            }
            Self::ModeOff => "DHCP is switched off in this subnet (mode = \"off\")",
            Self::UnknownRelay => "the relay is in no configured subnet",
            Self::WrongSubnet => "the reservation belongs to another subnet than the packet",
            Self::NicWithoutAddress => {
                "this network card is known and has no address: it is never answered"
            }
            Self::AddressHeld => "another port of the host holds the address that they share",
            Self::NicDoesNotBoot => {
                "the network card gets its address and no boot file: it does not boot its host"
            }
            Self::OtherServer => "the client chose another DHCP server",
            Self::WrongAddress => "the client asks for another address than the reserved one",
            Self::Declined => "the client declined its address: somebody else holds it",
            Self::Released => "the client gave its address back",
            Self::PoolLease => "a machine without a reservation gets an address of the pool",
            Self::PoolExhausted => "the pool has no free address",
            Self::NoLease => "the machine speaks of an address that it was never given here",
            Self::PoolAddressTaken => {
                "an address of a pool is in use by a machine that it was not given to"
            }
            Self::ReservedAddressTaken => {
                "a reserved address is in use by another machine than its host's"
            }
            Self::Discovery => "a machine without a reservation boots the discovery profile",
            Self::NotARequest => "a reply of another server came in on the server's port",
            Self::MessageType => "a DHCP server does not answer messages of this type",
            Self::Bootp => "BOOTP, in which the address is given for good and without a lease",
            Self::NoLoader => "there is no boot loader that this machine could be given",
            Self::UnknownArchitecture => {
                "the firmware is of an architecture that is not known here"
            }
            Self::Malformed => "the packet cannot be read",
            Self::Overload => "more came in than can be worked off",
            Self::SendFailed => "the system refused to send",
            Self::NoRawSocket => {
                "the reply was broadcast, because no frame can be sent to the machine itself"
            }
            Self::ForeignServer => "another DHCP server serves this network",
            Self::ForeignOffer => "another DHCP server offers this machine an address",
            Self::ForeignChosen => "the machine took its address from another DHCP server",
            Self::ForeignNak => "another DHCP server refused this machine its address",
            Self::ForeignBootFile => "another server tells this machine what to boot",
            Self::NoForeignServer => "no unexpected DHCP server answered",
            Self::NoRouter => {
                "iPXE asked for an IPv6 router and was told that it need not wait for one"
            }
            Self::OtherRouter => {
                "there is an IPv6 router on this link: iPXE is told nothing here, for as long as this server runs"
            }
            Self::NotFound => "there is no such file",
            Self::BadName => "the name leads out of the boot files or is hidden",
            Self::Aborted => "the client ended the transfer, as a size probe does",
            Self::Timeout => "the client fell silent",
            Self::Busy => "too many transfers at once",
            Self::ReadOnly => "files cannot be written here",
            Self::ReadFailed => "the file could not be read",
            Self::Changed => "the file changed while it was sent",
            Self::Upstream => "the server that the file is mirrored from did not give it",
            Self::Incomplete => "the connection ended before all was sent",
            Self::NotThisMachine => "the request came from another address than the machine's",
            Self::UnknownToken => "no arming has this token",
            Self::VoidToken => "the token is no longer good for this",
            Self::UnknownAnswer => "the profile has no answer file of this name",
            Self::RenderFailed => "the template could not be rendered",
            Self::LoaderUnable => "this boot loader cannot boot what the profile names",
            Self::StoreUnavailable => "the store cannot be read or written",
            Self::NoChange => "the report changes nothing in this state",
            Self::BadRequest => "the request is not understood",
            Self::TooLarge => "the body is larger than allowed",
            Self::Operator => "an operator asked for it",
            Self::ScriptServed => "the boot script was served",
            Self::FurtherBoot => "the installer was booted once more",
            Self::SameBoot => "the script was asked for again within the same boot",
            Self::AnswerServed => "an answer file was served",
            Self::Reported => "the installer or the installed system reported it",
            Self::AttemptsUsed => "as many boots of the installer as allowed were used up",
            Self::Stalled => "nothing was heard of the installation for too long",
            Self::Lapsed => "no machine took the arming up in time",
            Self::FailedWhileBooting => {
                "a failure was reported before the installer had begun; the next boot is another attempt"
            }
            Self::NoLongerFits => "the configuration no longer has what the arming was given for",
            Self::AfterCame => "what the host waited for has come",
            Self::OnceServed => "the tool was served for its one boot",
            Self::NewHost => "the host is new, and new hosts are installed here",
            Self::Live => "its live system is served at every boot",
            Self::SecretGiven => "this attempt was given the secret already",
            Self::NoSecret => "a secret that is needed is not in the file of secrets",
            Self::SignOfLife => "the installation goes on",
            Self::Undelivered => "the event has not reached the hook; it is tried again",
            Self::GivenUp => "events for a hook were given up",
            Self::Reload => "a file changed, or a reload was asked for",
            Self::Invalid => "the configuration has errors",
            Self::Signal => "an end was asked for",
            Self::NewStore => "the store was made anew; every host is local",
            Self::DamagedStore => "the store was damaged and was set aside; every host is local",
            Self::LinkChange => "an address or interface came or went",
            Self::TaskFailed => "a task of the server ended unexpectedly and was started again",
            Self::DiskFull => "the server's disk is full or cannot be written",
            Self::Flood => "too many events of one kind came to write down each",
        }
    }

    /// What somebody can do, where somebody can: an instruction without capital and full stop. HOST
    /// stands for the host's name.
    pub const fn remedy(self) -> Option<&'static str> {
        Some(match self {
            Self::DiskLocal | Self::Lapsed => "to install it: bootwright install HOST",
            Self::DiskInstalled => "to install it again: bootwright install HOST",
            Self::DiskFailed | Self::AttemptsUsed | Self::Stalled => {
                "see what it said with bootwright why HOST, mend it, then bootwright install HOST"
            }
            Self::DiskFileMissing => {
                "bring the file (bootwright assets list says which are missing), then boot the machine again"
            }
            Self::DiskStoreUnavailable | Self::StoreUnavailable => {
                "see that state_dir has room and belongs to the daemon's user; bootwright events tells the error"
            }
            Self::DiskIdentity => {
                "see whether the right machine is at this hardware address, or correct uuid and serial of the host"
            }
            Self::DiskArchitecture => {
                "give the host another profile, correct its arch, or add the architecture to the profile's arch"
            }
            Self::DiskProfileGone | Self::NoLongerFits | Self::NewStore | Self::DamagedStore => {
                "arm it anew if it is to be installed: bootwright install HOST"
            }
            Self::LoopScript | Self::LoopNoFile => {
                "see on the machine's screen what becomes of the loader; name another one in loader of the host; armed anew, it gets a boot file at once"
            }
            Self::RefusedByFirmware => {
                "with Secure Boot in the firmware's setup: write secure_boot = true for the host, so that it gets its distribution's signed shim, or switch it off there; else name another one in loader of the host; if it is written, the firmware may not know Microsoft's third-party UEFI CA (its setup can allow it) or have revoked this shim; armed anew, it gets a boot file at once"
            }
            Self::RefusedByShim => {
                "bring shim and GRUB anew, both of one version of one distribution (bootwright assets fetch PROFILE), and see the machine's screen; armed anew, it gets a boot file at once"
            }
            Self::UnknownHost => {
                "to make it a host: bootwright adopt MAC --name NAME (bootwright unknown lists those that were seen)"
            }
            Self::NoSubnet => {
                "add a [[subnet]] whose network holds an address of this interface, or give the interface its address"
            }
            Self::UnknownRelay => "add a [[subnet]] whose network holds the relay's address",
            Self::WrongSubnet => {
                "plug the machine into the network of its reservation, or correct the address of the host"
            }
            Self::NicWithoutAddress => {
                "to have it answered, give the [[hosts.NAME.nic]] an ip, or write its address into the list mac of the host"
            }
            Self::AddressHeld => {
                "let the system use one port, or a bond of them; a port that is to have an address of its own is a [[hosts.NAME.nic]]"
            }
            Self::NicDoesNotBoot => {
                "to boot by it, set boot = true in its [[hosts.NAME.nic]]; otherwise take it out of the firmware's boot order"
            }
            Self::OtherServer => {
                "stop the other DHCP server on this network, or leave this machine out of it"
            }
            Self::WrongAddress => {
                "nothing, if the reservation was changed: the machine asks anew at once"
            }
            Self::Declined => {
                "find the machine that holds the address (arp, neighbour table) and give one of the two another"
            }
            Self::ForeignServer
            | Self::ForeignOffer
            | Self::ForeignChosen
            | Self::ForeignNak
            | Self::ForeignBootFile => {
                "stop it, or keep it from answering the machines that boot here; where it is to give the addresses, set mode = \"proxy\" in the [[subnet]]"
            }
            Self::NotARequest => "see who else serves DHCP on this network",
            Self::PoolExhausted => {
                "enlarge pool of the subnet, shorten its lease_time, or add the machines to the reservations file"
            }
            Self::PoolAddressTaken => {
                "find the machine that holds the address (arp, neighbour table); give it another one, or keep its address out of the pool"
            }
            Self::ReservedAddressTaken => {
                "find the machine that holds the address (arp, neighbour table) and give it another one, or change the reservation"
            }
            Self::PoolLease | Self::Discovery => {
                "to make it a host: bootwright adopt MAC --name NAME"
            }
            Self::NoLoader => {
                "bring the loader (bootwright assets fetch ipxe), or name one in [boot] loaders or in loader of the host"
            }
            Self::UnknownArchitecture => {
                "name a loader for the number of option 93 in [boot] loaders, or loader of the host"
            }
            Self::Overload | Self::Busy | Self::Flood => {
                "see which machine sends so much: bootwright events"
            }
            Self::SendFailed => "see the interface, its address and the firewall of this server",
            Self::NoRawSocket => "let the daemon keep the capability NET_RAW",
            Self::NotFound => {
                "see the name for a typing error, or bring the file (bootwright assets list)"
            }
            Self::Timeout | Self::Incomplete => {
                "see cable, switch port and firewall; for TFTP also an MTU smaller than the block size"
            }
            Self::Upstream => {
                "see that this server reaches the other one (its name, a proxy, a firewall), and the URL of the [[mirror]]"
            }
            Self::ReadFailed => "see that the daemon's user may read the file",
            Self::Changed => "bring boot files by renaming a finished copy into place",
            Self::NotThisMachine => {
                "see who has that address: perhaps another DHCP server gave it to the machine; if it is that of an address translation, name it in nat of the subnet"
            }
            Self::VoidToken | Self::UnknownToken => {
                "nothing, if an old installer still asks; otherwise bootwright install HOST"
            }
            Self::UnknownAnswer => "add an [[answers]] of this name to the profile",
            Self::RenderFailed | Self::Invalid => "bootwright check names file, line and remedy",
            Self::LoaderUnable => {
                "have HOST boot by iPXE: loader = \"ipxe\" in [hosts.HOST], or without `loader`"
            }
            Self::FailedWhileBooting => "see what it said: bootwright why HOST",
            Self::SecretGiven => {
                "if that was not the machine itself, take the secret for known to others and change it"
            }
            Self::NoSecret => "add it to the file that [server] secrets names",
            Self::Undelivered | Self::GivenUp => {
                "see that the receiver of the [[hook]] runs and answers with a status of 200 to 299"
            }
            Self::DiskFull => "make room on the disk that holds state_dir",
            Self::TaskFailed => "report it with the log of the daemon",
            Self::Done
            | Self::Loader
            | Self::Script
            | Self::NetworkOnly
            | Self::Installer
            | Self::DiskWaiting
            | Self::ChainScript
            | Self::Released
            | Self::ProxyOnly
            | Self::ModeOff
            | Self::NoLease
            | Self::MessageType
            | Self::Bootp
            | Self::Malformed
            | Self::BadName
            | Self::Aborted
            | Self::ReadOnly
            | Self::NoForeignServer
            | Self::NoRouter
            | Self::OtherRouter
            | Self::NoChange
            | Self::BadRequest
            | Self::TooLarge
            | Self::Operator
            | Self::ScriptServed
            | Self::FurtherBoot
            | Self::SameBoot
            | Self::AnswerServed
            | Self::Reported
            | Self::AfterCame
            | Self::OnceServed
            | Self::NewHost
            | Self::Live
            | Self::SignOfLife
            | Self::Reload
            | Self::Signal
            | Self::LinkChange => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_words_of_its_own() {
        let mut seen = HashSet::new();
        for reason in Reason::ALL {
            let sentence = reason.sentence();
            assert!(seen.insert(sentence), "{reason}: {sentence} stands twice");
            for text in [Some(sentence), reason.remedy()].into_iter().flatten() {
                assert!(!text.is_empty() && !text.ends_with('.'), "{reason}: {text}");
                assert!(!text.starts_with(' '), "{reason}: {text}");
            }
        }
    }
}
