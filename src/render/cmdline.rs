//! Kernel command lines: what fits, and what must not stand in one.

use crate::base::Architecture;

/// Why a command line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineError {
    /// A line break or another control character within it.
    #[error(
        "the kernel command line holds the control character U+{0:04X}, and it must be one line"
    )]
    Control(u32),
    /// Longer than kernels of this architecture take.
    #[error(
        "the kernel command line has {len} characters with what is added at boot, {arch} kernels take {max}"
    )]
    TooLong {
        /// Its length, with `initrd=` and `BOOTIF=`.
        len: usize,
        /// What the kernel takes.
        max: usize,
        /// The architecture.
        arch: Architecture,
    },
    /// A setting of iPXE's, which would be put in by whoever boots.
    #[error(
        "`{0}` in the kernel command line would be replaced by iPXE's own setting of that name"
    )]
    Setting(String),
    /// A word that the boot script itself adds.
    #[error("`initrd=` is added to the kernel command line by itself, from the key `initrd`")]
    Initrd,
}

impl CmdlineError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Control(_) => {
                Some("take the line break out of the value, or join the words with spaces")
            }
            Self::TooLong { .. } => Some("move settings into an answer file"),
            Self::Setting(_) => {
                Some("write values with `{{ … }}`; they are the same for every boot loader")
            }
            Self::Initrd => Some("take the word out"),
        }
    }
}

/// The name by which the boot loader and the kernel know one initial RAM disk.
pub fn initrd_name(index: usize) -> String {
    if index == 0 {
        "initrd.img".to_owned()
    } else {
        format!("initrd{index}.img")
    }
}

/// What is put before a command line: `initrd=` by name, which EFI kernels look for, and `BOOTIF=`
/// with the booting NIC (`nic` is its address with dashes, or the loader's expression for it).
pub fn prefix(cmdline: &str, initrds: usize, nic: &str) -> String {
    use std::fmt::Write as _;
    let mut words = String::new();
    for index in 0..initrds {
        let _ = write!(words, "initrd={} ", initrd_name(index));
    }
    if !cmdline.split(' ').any(|word| word.starts_with("BOOTIF=")) {
        let _ = write!(words, "BOOTIF=01-{nic} ");
    }
    words
}

/// Checks a rendered command line and gives it back with one space between its words.
pub fn check(text: &str, initrds: usize, arch: Architecture) -> Result<String, CmdlineError> {
    let text = text.trim();
    if let Some(c) = text.chars().find(|c| c.is_control() && *c != '\t') {
        return Err(CmdlineError::Control(c.into()));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    for word in &words {
        if let Some(setting) = ipxe_setting(word) {
            return Err(CmdlineError::Setting(setting.to_owned()));
        }
        if word.starts_with("initrd=") {
            return Err(CmdlineError::Initrd);
        }
    }
    let cmdline = words.join(" ");
    // COMMAND_LINE_SIZE of arch/*/include/uapi/asm/setup.h, which counts the NUL at the end.
    let max = match arch {
        Architecture::X86_64 | Architecture::I386 | Architecture::Aarch64 => 2_047,
        Architecture::Arm => 1_023,
    };
    let len = prefix(&cmdline, initrds, "00-00-00-00-00-00").len() + cmdline.len();
    if len > max {
        return Err(CmdlineError::TooLong { len, max, arch });
    }
    Ok(cmdline)
}

/// How many words `x=y` the kernel would hand to init as its environment. It panics above 31 ("Too
/// many boot env vars", init/main.c). Which words it knows itself depends on its version: counted are
/// those before `--` that are no module's (`module.x=y`) and not of the usual ones.
pub fn init_environment(cmdline: &str) -> usize {
    const KERNELS_OWN: &[&str] = &[
        "BOOT_IMAGE",
        "acpi",
        "apparmor",
        "audit",
        "cgroup_disable",
        "cgroup_enable",
        "clocksource",
        "console",
        "crashkernel",
        "cryptomgr",
        "debug",
        "earlycon",
        "earlyprintk",
        "elevator",
        "fb",
        "fsck",
        "hpet",
        "hostname",
        "hugepages",
        "hugepagesz",
        "idle",
        "init",
        "initrd",
        "intel_iommu",
        "iommu",
        "ip",
        "ipv6",
        "irqpoll",
        "isolcpus",
        "lapic",
        "loglevel",
        "lsm",
        "maxcpus",
        "mce",
        "mem",
        "mitigations",
        "net",
        "netdev",
        "nfsroot",
        "nohz",
        "noapic",
        "nosmt",
        "numa",
        "panic",
        "pci",
        "pcie_aspm",
        "printk",
        "rdinit",
        "reboot",
        "resume",
        "root",
        "rootdelay",
        "rootflags",
        "rootfstype",
        "rootwait",
        "security",
        "selinux",
        "swiotlb",
        "transparent_hugepage",
        "vga",
        "video",
        "watchdog",
    ];
    cmdline
        .split(' ')
        .take_while(|word| *word != "--")
        .filter_map(|word| word.split_once('='))
        .filter(|(name, _)| !name.contains('.') && !KERNELS_OWN.contains(name))
        .count()
}

/// The most such words that a kernel takes.
pub const MAX_INIT_ENVIRONMENT: usize = 31;

/// The first `${…}` in a word.
pub(super) fn ipxe_setting(word: &str) -> Option<&str> {
    let start = word.find("${")?;
    let rest = word.get(start..)?;
    let end = rest.find('}')?;
    rest.get(..=end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Result<String, CmdlineError> {
        check(text, 1, Architecture::X86_64)
    }

    #[test]
    fn words_are_joined_by_single_spaces() {
        assert_eq!(ok("  a=b \t c  ---  quiet ").unwrap(), "a=b c --- quiet");
        assert_eq!(ok("").unwrap(), "");
    }

    #[test]
    fn what_must_not_stand_in_one() {
        assert_eq!(ok("a\nb"), Err(CmdlineError::Control(10)));
        assert_eq!(
            ok("x=${net0/mac} y"),
            Err(CmdlineError::Setting("${net0/mac}".into()))
        );
        assert_eq!(ok("initrd=x"), Err(CmdlineError::Initrd));
        assert!(ok("x=$HOME y=${ z=}").is_ok());
    }

    #[test]
    fn the_length_counts_what_is_added() {
        let added = "initrd=initrd.img BOOTIF=01-00-00-00-00-00-00 ".len();
        assert!(ok(&"x".repeat(2_047 - added)).is_ok());
        let error = ok(&"x".repeat(2_048 - added)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the kernel command line has 2048 characters with what is added at boot, x86_64 kernels take 2047"
        );
        assert!(check(&"x".repeat(1_024), 0, Architecture::Arm).is_err());
    }

    #[test]
    fn own_bootif_is_kept() {
        assert_eq!(
            prefix("a", 2, "N"),
            "initrd=initrd.img initrd=initrd1.img BOOTIF=01-N "
        );
        assert_eq!(prefix("BOOTIF=x a", 0, "N"), "");
    }

    #[test]
    fn init_gets_what_no_kernel_knows() {
        assert_eq!(
            init_environment(
                "auto=true url=http://x console=ttyS0 usbcore.x=1 quiet root=/dev/sda -- a=b"
            ),
            2
        );
    }
}
