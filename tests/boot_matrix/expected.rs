//! What a machine has to do, told from what its profile renders to, and compared with what it did.

use std::fmt::Write as _;

use bootwright::base::Lifecycle;
use bootwright::config::snapshot::{Host, ImageKind, Profile};
use bootwright::render::{AssetRef, RenderedBoot};

use crate::linux;
use crate::machine::Seen;
use crate::site::Site;

/// An entry of the menus for machines without a reservation.
const MENU: &str = "Boot the disk (d, or after 30 s)";

/// What a stand-in kernel says last.
const THE_END: &str = "stand-in: the end";

/// What a stand-in tells of something that is not as it should be.
const WRONG: &str = "stand-in: WRONG";

/// What a machine boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// Stand-ins that tell how they were started (`stand_ins.rs`).
    StandIns,
    /// A Linux that does what the profile's installer does (`linux.rs`).
    Linux,
    /// The system's own files.
    Own,
}

impl Files {
    pub(crate) const fn told(self) -> &'static str {
        match self {
            Self::StandIns => "stand-ins",
            Self::Linux => "a Linux in its place",
            Self::Own => "its own files",
        }
    }
}

/// One machine.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) profile: String,
    pub(crate) host: String,
    pub(crate) firmware: String,
    pub(crate) files: Files,
}

impl Turn {
    pub(crate) fn told(&self) -> &'static str {
        if self.is_bios() { "BIOS" } else { "UEFI" }
    }

    fn is_bios(&self) -> bool {
        self.firmware == "bios"
    }
}

/// Systems whose own files are booted where they can be had, and a file that tells so. Debian 12 is booted by
/// `make test`.
const OWN: [(&str, &str); 3] = [
    ("debian-13", "debian/13/x86_64/linux"),
    ("rescue", "debian/12/x86_64/linux"),
    ("memtest", "memtest/memtest86+x64.efi"),
];

/// Those that are there, with each firmware.
pub(crate) fn own_turns(site: &Site) -> Vec<Turn> {
    let there = OWN
        .into_iter()
        .filter(|(_, file)| site.boot_assets().join(file).is_file());
    there
        .flat_map(|(profile, _)| {
            ["bios", "uefi-x64"].map(|firmware| Turn {
                profile: profile.to_owned(),
                host: profile.to_owned(),
                firmware: firmware.to_owned(),
                files: Files::Own,
            })
        })
        .collect()
}

/// One profile of each family, whose Linux boots with UEFI as well.
const LINUX_ON_UEFI: [&str; 13] = [
    "debian-13",
    "ubuntu-20.04-legacy",
    "ubuntu-24.04",
    "alma-9",
    "fedora-43",
    "leap-15",
    "leap-16",
    "fedora-coreos",
    "flatcar",
    "talos",
    "alpine-3.22",
    "ramdisk",
    "rescue-live",
];

/// Each profile that boots Linux, with BIOS, and one of each family with UEFI.
pub(crate) fn linux_turns(site: &Site) -> Vec<Turn> {
    let mut turns = Vec::new();
    for firmware in ["bios", "uefi-x64"] {
        for (host, profile) in site.hosts() {
            let name = profile.name.as_str();
            let is_wanted = firmware == "bios" || LINUX_ON_UEFI.contains(&name);
            if is_wanted && linux::is_linux(profile, &site.boot(host, profile)) {
                turns.push(Turn {
                    profile: name.to_owned(),
                    host: host.name.to_string(),
                    firmware: firmware.to_owned(),
                    files: Files::Linux,
                });
            }
        }
    }
    turns
}

/// Each profile with each firmware that can boot it.
pub(crate) fn turns(site: &Site) -> Vec<Turn> {
    let mut turns = Vec::new();
    for firmware in ["bios", "uefi-x64"] {
        for (host, profile) in site.hosts() {
            let fits = match site.boot(host, profile) {
                RenderedBoot::Image { kind, .. } => match kind {
                    // Debian's iPXE has multiboot under BIOS only, and starts EFI programs under UEFI only.
                    ImageKind::Multiboot | ImageKind::Memdisk => firmware == "bios",
                    ImageKind::Efi => firmware != "bios",
                    ImageKind::Wimboot => true,
                },
                _ => true,
            };
            if fits {
                turns.push(Turn {
                    profile: profile.name.to_string(),
                    host: host.name.to_string(),
                    firmware: firmware.to_owned(),
                    files: Files::StandIns,
                });
            }
        }
    }
    turns
}

/// The boot files that a boot loads, in order, the kernel first. Those of a script are the ones it names; a menu
/// has many and loads none by itself.
pub(crate) fn paths(boot: &RenderedBoot) -> Vec<String> {
    match boot {
        RenderedBoot::Script(script) if is_menu(script) => Vec::new(),
        RenderedBoot::Script(script) => script
            .lines()
            .filter(|line| line.starts_with("kernel ") || line.starts_with("initrd "))
            .filter_map(|line| {
                line.split_whitespace()
                    .find_map(|word| word.split_once("/assets/"))
            })
            .map(|(_, path)| path.to_owned())
            .collect(),
        _ => boot.paths().into_iter().map(str::to_owned).collect(),
    }
}

fn is_menu(script: &str) -> bool {
    script.lines().any(|line| line.starts_with("menu "))
}

/// What one machine has to do.
#[derive(Debug)]
pub(crate) struct Expected {
    /// What its console shows last; empty: it has to fetch its answers.
    pub(crate) sign: String,
    /// What it fetches, where all of it is known: the event's kind, and the file as its event names it, an answer without its folder.
    fetched: Vec<(&'static str, String)>,
    /// The command line, without what iPXE adds in front of it.
    line: Option<String>,
    /// Lines of its console, each with the files that it names.
    console: Vec<String>,
    /// The state of its host in the end: a tool for one boot and a live system leave it as it was.
    state: Option<&'static str>,
    /// What its scripts have reported last.
    said: &'static str,
}

/// The last report of an installer's scripts before the first write to a disk.
fn said(profile: &Profile) -> &'static str {
    match profile.family.as_str() {
        "redhat" | "suse" | "ubuntu" | "coreos" | "flatcar" => "installing on /dev/vda",
        "debian" if !profile.name.as_str().starts_with("proxmox") => "installing on /dev/vda",
        "alpine" => "reaching the mirror",
        _ => "",
    }
}

/// The answers that an installer fetches, in order, up to its first write to a disk.
fn answers(profile: &Profile) -> &'static [&'static str] {
    let has = |name: &str| profile.answers.iter().any(|answer| answer.name == name);
    if has("ks.cfg") {
        &["ks.cfg", "install.sh"]
    } else if has("autoinst.xml") {
        &["autoinst.xml", "install.sh"]
    } else if has("agama.json") {
        &["install.sh", "agama.json"]
    } else if has("user-data") {
        &[
            "meta-data",
            "user-data",
            "vendor-data",
            "install.sh",
            "storage.yaml",
        ]
    } else if has("authorized_keys") {
        &["preseed.cfg"]
    } else if has("preseed.cfg") {
        &["preseed.cfg", "install.sh"]
    } else if has("live.ign") {
        &["live.ign", "target.ign"]
    } else if has("machine.yaml") {
        &["machine.yaml"]
    } else if has("answer.toml") {
        &["answer.toml", "first-boot.sh"]
    } else if has("autorun") {
        &["autorun"]
    } else if has("install.sh") {
        &["install.sh"]
    } else {
        &[]
    }
}

impl Expected {
    /// Of a system's own files: its installer has to come to its answers, the memory test to its screen.
    fn of_own(turn: &Turn) -> Self {
        Self {
            sign: if turn.profile == "memtest" {
                "Memtest86+"
            } else {
                ""
            }
            .to_owned(),
            fetched: Vec::new(),
            line: None,
            console: Vec::new(),
            state: None,
            said: "",
        }
    }

    /// Of a Linux: it fetches what its installer fetches, and its host is being installed.
    fn into_linux(mut self, site: &Site, host: &Host, profile: &Profile, turn: &Turn) -> Self {
        let files = linux::second_stage(site, host, profile);
        let assets = files
            .into_iter()
            .map(|path| ("http.asset", format!("/assets/{path}")));
        let answers = answers(profile)
            .iter()
            .map(|name| ("http.answer", format!("/{name}")));
        self.fetched.extend(assets.chain(answers));
        self.console = vec![
            format!("stand-in: started by {}", turn.told()),
            format!("{} {} {}", host.mac().unwrap(), host.ip.unwrap(), host.name),
        ];
        self.said = said(profile);
        self.state = Some(match profile.lifecycle {
            Lifecycle::Install => "installing",
            Lifecycle::Once | Lifecycle::Live => "local",
        });
        self
    }

    pub(crate) fn of(site: &Site, turn: &Turn) -> Self {
        if turn.files == Files::Own {
            return Self::of_own(turn);
        }
        let (host, profile) = site
            .hosts()
            .find(|(host, _)| host.name.as_str() == turn.host)
            .unwrap();
        let boot = site.boot(host, profile);
        let loader = if turn.is_bios() {
            "ipxe/undionly.kpxe"
        } else {
            "ipxe/snponly.efi"
        };
        let mut fetched = vec![
            ("tftp.sent", loader.to_owned()),
            (
                "http.script",
                format!("/boot/{}/boot.ipxe", host.mac().unwrap().dashed()),
            ),
        ];
        let files: Vec<AssetRef> = match &boot {
            RenderedBoot::Script(_) => paths(&boot).into_iter().map(AssetRef::Path).collect(),
            _ => boot.assets().into_iter().cloned().collect(),
        };
        fetched.extend(files.iter().map(|file| match file {
            AssetRef::Path(path) => ("http.asset", format!("/assets/{path}")),
            AssetRef::Url(url) => (
                "http.answer",
                format!("/{}", url.rsplit('/').next().unwrap()),
            ),
        }));
        let given: Vec<&str> = files.iter().skip(1).filter_map(AssetRef::path).collect();
        let mut console = Vec::new();
        let is_multiboot = matches!(
            &boot,
            RenderedBoot::Image {
                kind: ImageKind::Multiboot,
                ..
            }
        );
        match (turn.is_bios(), is_multiboot) {
            (true, true) => console.push("stand-in: started by multiboot".to_owned()),
            (true, false) => console.push("stand-in: started by BIOS".to_owned()),
            (false, _) => console.push("stand-in: started by UEFI".to_owned()),
        }
        if turn.is_bios() {
            let mut loaded = String::from("stand-in: loaded:");
            for path in &given {
                let _ = write!(loaded, " {path}");
            }
            console.push(loaded);
        } else if !matches!(boot, RenderedBoot::Script(_)) {
            // By the name under which the kernel asks for it. Proxmox VE's script, the only one, needs an iPXE of 2021
            // to name its image, and Debian's is of 2019.
            for (index, path) in given.iter().enumerate() {
                let name = match &boot {
                    RenderedBoot::Linux { .. } if index == 0 => "initrd.img".to_owned(),
                    RenderedBoot::Linux { .. } => format!("initrd{index}.img"),
                    _ => path.rsplit('/').next().unwrap().to_owned(),
                };
                console.push(format!("stand-in: file {name}: {path}"));
            }
        }
        let sign = match &boot {
            RenderedBoot::Script(script) if is_menu(script) => {
                console.clear();
                MENU.to_owned()
            }
            _ => THE_END.to_owned(),
        };
        let line = match &boot {
            RenderedBoot::Script(script) => script
                .lines()
                .find_map(|line| line.strip_prefix("kernel --name linux "))
                .and_then(|line| line.split_once(' '))
                .and_then(|(_, line)| line.strip_suffix(" || goto again"))
                .filter(|_| !is_menu(script))
                .map(str::to_owned),
            _ => boot.command_line(host),
        };
        let expected = Self {
            sign,
            fetched,
            line,
            console,
            state: None,
            said: "",
        };
        if turn.files == Files::Linux {
            return expected.into_linux(site, host, profile, turn);
        }
        expected
    }

    /// What is wrong with what was seen; otherwise what was seen, in a few words.
    pub(crate) fn compare(&self, seen: &Seen) -> Result<String, String> {
        if !seen.reached {
            return Err(format!("  it did not come to its end: {}", seen.end));
        }
        if self.fetched.is_empty() {
            let last = seen
                .lines
                .last()
                .map(|line| line.trim())
                .unwrap_or_default();
            return Ok(last.to_owned());
        }
        if let Some(wrong) = seen.console.lines().find(|line| line.contains(WRONG)) {
            return Err(format!("  {}", wrong.trim_end()));
        }
        let fits = self.fetched.len() == seen.fetched.len()
            && self
                .fetched
                .iter()
                .zip(&seen.fetched)
                .all(|((by, name), (was_by, file))| {
                    // The token of an arming stands before the name of an answer.
                    let is_same = match *by {
                        "http.answer" => file.ends_with(name.as_str()),
                        _ => file == name,
                    };
                    by == was_by && is_same
                });
        if !fits {
            return Err(format!("  it should have fetched {:#?}", self.fetched));
        }
        if let Some(state) = self.state
            && (seen.state.as_str(), seen.causes.as_slice()) != (state, &[])
        {
            return Err(format!(
                "  its host should be {state}, and nothing the matter with it; `why` says: {}: {}, {:#?}",
                seen.state, seen.verdict, seen.causes
            ));
        }
        for line in &self.console {
            // One line may begin with what iPXE has left on the screen.
            if !seen
                .console
                .lines()
                .any(|shown| shown.trim_end().ends_with(line.as_str()))
            {
                return Err(format!("  its console should have shown `{line}`"));
            }
        }
        if !seen.standing.contains(self.said) {
            return Err(format!(
                "  its last report should be `{}`: {}",
                self.said, seen.standing
            ));
        }
        let Some(line) = &self.line else {
            return Ok(format!("{} files", self.fetched.len()));
        };
        let shown = seen
            .console
            .lines()
            .find_map(|shown| shown.split_once("stand-in: command line: "))
            .map(|(_, line)| line.trim_end())
            .ok_or("  its console shows no command line")?;
        let shown = example_token(shown);
        // Behind the name of the image, where iPXE gives it.
        let behind = shown.split_once(' ').map_or("", |(_, rest)| rest);
        if shown == *line || behind == line {
            Ok(format!(
                "{} files, {} characters of command line",
                self.fetched.len(),
                line.len()
            ))
        } else {
            Err(format!(
                "  its command line should have been\n  {line}\n  and was\n  {shown}"
            ))
        }
    }
}

/// The token of the rehearsal's arming gives way to the word that examples have.
fn example_token(line: &str) -> String {
    const BEFORE: &str = "/answers/";
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(BEFORE) {
        let (before, after) = rest.split_at(at + BEFORE.len());
        text.push_str(before);
        text.push_str("example");
        rest = after
            .find('/')
            .and_then(|end| after.get(end..))
            .unwrap_or_default();
    }
    text.push_str(rest);
    text
}
