//! Kernel command lines: composed of arguments, quoted for the boot loader in use, and checked.
//!
//! The kernel splits its command line at white space outside of double quotes, and takes the quotes off that
//! stand around a whole argument or around its value (`next_arg` of lib/cmdline.c). There is no escape: an
//! argument with white space and a double quote in it cannot be written.
//!
//! **Invariant:** what [`Cmdline`] holds comes out of the kernel's splitting as the same arguments, whichever
//! of its forms a boot loader is given.

use std::fmt;

use crate::base::Architecture;

/// What stands between arguments that one text of a profile gives (the filter `args`).
pub(super) const SEPARATOR: char = '\u{1f}';

/// A kernel's command line: its arguments as the kernel is to have them, without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cmdline {
    args: Vec<String>,
}

impl Cmdline {
    /// The arguments, without quotes.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// For a GRUB configuration: words of its script language, in single quotes where they need them. GRUB
    /// puts quotes around what has spaces by itself, and a backslash before quotes and backslashes, which
    /// the kernel would keep.
    pub fn for_grub(&self) -> Result<String, CmdlineError> {
        let words = self.args.iter().map(|arg| {
            if arg.contains(['\'', '"', '\\']) {
                return Err(CmdlineError::Grub(arg.clone()));
            }
            Ok(grub_word(arg))
        });
        Ok(words.collect::<Result<Vec<_>, _>>()?.join(" "))
    }

    /// For `APPEND` of a PXELINUX configuration, which hands on the rest of its line as it stands.
    pub fn for_pxelinux(&self) -> String {
        self.to_string()
    }
}

/// One word of GRUB's script language: within single quotes nothing is special but the quote itself.
pub(super) fn grub_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,@%+=()".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl fmt::Display for Cmdline {
    /// As the kernel reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            match arg.split_once('=') {
                _ if !arg.contains(char::is_whitespace) => f.write_str(arg)?,
                Some((name, value)) if !name.contains(char::is_whitespace) => {
                    write!(f, "{name}=\"{value}\"")?;
                }
                _ => write!(f, "\"{arg}\"")?,
            }
        }
        Ok(())
    }
}

/// The arguments of a text as the kernel splits it, with the quotes taken off.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut args = Vec::new();
    let mut arg = String::new();
    let mut quoted = false;
    for c in text.chars() {
        if c == '"' {
            quoted = !quoted;
        }
        if c.is_whitespace() && !quoted {
            args.push(unquoted(&std::mem::take(&mut arg)));
        } else {
            arg.push(c);
        }
    }
    args.push(unquoted(&arg));
    args.retain(|arg| !arg.is_empty());
    args
}

fn unquoted(arg: &str) -> String {
    let inner = |text: &str| {
        let inner = text.strip_prefix('"')?.strip_suffix('"')?;
        (!inner.contains('"')).then(|| inner.to_owned())
    };
    if let Some(inner) = inner(arg) {
        return inner;
    }
    if let Some((name, value)) = arg.split_once('=')
        && let Some(value) = inner(value)
    {
        return format!("{name}={value}");
    }
    arg.to_owned()
}

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
    /// A double quote where the kernel would not take it for one.
    #[error(
        "`{0}` in the kernel command line holds a double quote, and the kernel knows no way to write it there"
    )]
    Quote(String),
    /// Several spaces in a row within one argument.
    #[error(
        "`{0}` in the kernel command line holds several spaces in a row, and boot loaders make one of them"
    )]
    Spaces(String),
    /// A character that GRUB would hand on with a backslash before it.
    #[error(
        "`{0}` in the kernel command line holds a quote or a backslash, and GRUB would put a backslash before it"
    )]
    Grub(String),
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
            Self::Quote(_) | Self::Spaces(_) | Self::Grub(_) => {
                Some("move the setting into an answer file")
            }
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
pub fn prefix(cmdline: &Cmdline, initrds: usize, nic: &str) -> String {
    use std::fmt::Write as _;
    let mut words = String::new();
    for index in 0..initrds {
        let _ = write!(words, "initrd={} ", initrd_name(index));
    }
    if !cmdline.args.iter().any(|arg| arg.starts_with("BOOTIF=")) {
        let _ = write!(words, "BOOTIF=01-{nic} ");
    }
    words
}

/// Checks a rendered command line that is one text.
pub fn check(text: &str, initrds: usize, arch: Architecture) -> Result<Cmdline, CmdlineError> {
    one_line(text.trim())?;
    checked(split(text), initrds, arch)
}

/// Composes a command line of rendered texts, each of which is one argument, none (it is empty), or several
/// that [`SEPARATOR`] stands between.
pub fn compose<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    initrds: usize,
    arch: Architecture,
) -> Result<Cmdline, CmdlineError> {
    let mut args = Vec::new();
    for arg in texts.into_iter().flat_map(|text| text.split(SEPARATOR)) {
        let arg = arg.trim();
        one_line(arg)?;
        if !arg.is_empty() {
            args.push(arg.to_owned());
        }
    }
    checked(args, initrds, arch)
}

fn one_line(text: &str) -> Result<(), CmdlineError> {
    match text.chars().find(|c| c.is_control() && *c != '\t') {
        Some(c) => Err(CmdlineError::Control(c.into())),
        None => Ok(()),
    }
}

fn checked(args: Vec<String>, initrds: usize, arch: Architecture) -> Result<Cmdline, CmdlineError> {
    for arg in &args {
        if let Some(setting) = ipxe_setting(arg) {
            return Err(CmdlineError::Setting(setting.to_owned()));
        }
        if arg.starts_with("initrd=") {
            return Err(CmdlineError::Initrd);
        }
        let spaced = arg.contains(char::is_whitespace);
        if arg.contains('"') && (spaced || arg.matches('"').count() % 2 == 1) {
            return Err(CmdlineError::Quote(arg.clone()));
        }
        if arg.contains('\t') || arg.contains("  ") {
            return Err(CmdlineError::Spaces(arg.clone()));
        }
    }
    let cmdline = Cmdline { args };
    // COMMAND_LINE_SIZE of arch/*/include/uapi/asm/setup.h, which counts the NUL at the end.
    let max = match arch {
        Architecture::X86_64 | Architecture::I386 | Architecture::Aarch64 => 2_047,
        Architecture::Arm => 1_023,
    };
    let len = prefix(&cmdline, initrds, "00-00-00-00-00-00").len() + cmdline.to_string().len();
    if len > max {
        return Err(CmdlineError::TooLong { len, max, arch });
    }
    Ok(cmdline)
}

/// How many words `x=y` the kernel would hand to init as its environment. It panics above 31 ("Too
/// many boot env vars", init/main.c). Which words it knows itself depends on its version: counted are
/// those before `--` that are no module's (`module.x=y`) and not of the usual ones.
pub fn init_environment(cmdline: &Cmdline) -> usize {
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
        .args
        .iter()
        .take_while(|arg| *arg != "--")
        .filter_map(|arg| arg.split_once('='))
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
    use proptest::prelude::*;

    use super::*;

    fn ok(text: &str) -> Result<String, CmdlineError> {
        check(text, 1, Architecture::X86_64).map(|cmdline| cmdline.to_string())
    }

    fn composed(texts: &[&str]) -> Result<Cmdline, CmdlineError> {
        compose(texts.iter().copied(), 1, Architecture::X86_64)
    }

    fn line(text: &str) -> Cmdline {
        check(text, 0, Architecture::X86_64).unwrap()
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
        assert_eq!(ok("x=\"a b"), Err(CmdlineError::Quote("x=\"a b".into())));
        assert_eq!(
            composed(&["x=a \"b\""]),
            Err(CmdlineError::Quote("x=a \"b\"".into()))
        );
        assert_eq!(
            composed(&["x=a  b"]),
            Err(CmdlineError::Spaces("x=a  b".into()))
        );
        assert_eq!(composed(&["a\nb"]), Err(CmdlineError::Control(10)));
    }

    #[test]
    fn arguments_are_quoted_as_kernels_read_them() {
        let cmdline = composed(&[
            "auto=true",
            " ",
            "",
            "title=Zoë's box & more",
            "two words",
            "---",
            "a\u{1f}b=c d\u{1f}",
        ])
        .unwrap();
        assert_eq!(
            cmdline.to_string(),
            "auto=true title=\"Zoë's box & more\" \"two words\" --- a b=\"c d\""
        );
        assert_eq!(split(&cmdline.to_string()), cmdline.args());
        assert_eq!(cmdline.for_pxelinux(), cmdline.to_string());
        assert_eq!(
            cmdline.for_grub(),
            Err(CmdlineError::Grub("title=Zoë's box & more".into()))
        );
        let cmdline = composed(&["x=a b", "ds=nocloud;s=http://x/", "$y", "plain"]).unwrap();
        assert_eq!(
            cmdline.for_grub().unwrap(),
            "'x=a b' 'ds=nocloud;s=http://x/' '$y' plain"
        );
    }

    #[test]
    fn quotes_of_a_text_are_the_kernels() {
        assert_eq!(
            line("a=\"b c\" \"d=e f\" g=\"h\" i=j\"k\"").args(),
            ["a=b c", "d=e f", "g=h", "i=j\"k\""]
        );
        assert_eq!(ok("a=\"b c\"  d").unwrap(), "a=\"b c\" d");
    }

    proptest! {
        #[test]
        fn what_is_composed_comes_out_of_the_kernels_splitting(
            args in prop::collection::vec("[^\u{0}-\u{1f}\u{7f}-\u{a0}\"]{1,20}", 0..8)
        ) {
            let wanted: Vec<&str> = args.iter().map(|arg| arg.trim()).filter(|arg| !arg.is_empty()).collect();
            if let Ok(cmdline) = compose(args.iter().map(String::as_str), 0, Architecture::X86_64) {
                prop_assert_eq!(cmdline.args(), &wanted[..]);
                prop_assert_eq!(split(&cmdline.to_string()), wanted);
            }
        }

        #[test]
        fn any_text_is_read(text in any::<String>()) {
            if let Ok(cmdline) = check(&text, 1, Architecture::Aarch64) {
                prop_assert_eq!(check(&cmdline.to_string(), 1, Architecture::Aarch64).unwrap(), cmdline);
            }
        }
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
            prefix(&line("a"), 2, "N"),
            "initrd=initrd.img initrd=initrd1.img BOOTIF=01-N "
        );
        assert_eq!(prefix(&line("BOOTIF=x a"), 0, "N"), "");
    }

    #[test]
    fn init_gets_what_no_kernel_knows() {
        let words = "auto=true url=http://x console=ttyS0 usbcore.x=1 quiet root=/dev/sda t=\"a b=c\" -- a=b";
        assert_eq!(init_environment(&line(words)), 3);
    }
}
