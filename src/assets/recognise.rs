//! What an installation image is: told by the files that its makers put there for this purpose.

use std::io::{Read, Seek};

use super::iso::{Image, IsoError};
use crate::base::Architecture;
use crate::wire::looks::Looks;

/// An installation image that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recognised {
    /// The distribution in one word: `debian`, `rocky`.
    pub distribution: String,
    /// Its version, as people name it: `12`, `24.04`, `15.6`; empty when the image does not tell.
    pub version: String,
    /// One line for people.
    pub title: String,
    /// The family of profiles that it belongs to.
    pub family: &'static str,
    /// What it is for.
    pub arch: Architecture,
    /// The kernel, as the image has it.
    pub kernel: String,
    /// The initial RAM disks.
    pub initrd: Vec<String>,
    /// What the installer loads besides: further files of the image.
    pub further: Vec<(String, Looks)>,
    /// Whether the installer loads the image itself.
    pub whole: bool,
    /// The kernel's command line, with `{further}`, `{image}` and `{tree}` where a URL belongs.
    pub cmdline: String,
    /// What people should know.
    pub notes: Vec<&'static str>,
}

impl Recognised {
    /// The name of a profile for it.
    pub fn profile_name(&self) -> String {
        let version = match self.family {
            // The minor version comes by updates.
            "redhat" | "debian" => self.version.split('.').next().unwrap_or_default(),
            _ => &self.version,
        };
        let name = if version.is_empty() {
            self.distribution.clone()
        } else {
            format!("{}-{version}", self.distribution)
        };
        slug(&name)
    }

    /// The folder under `boot_assets` for its files.
    pub fn folder(&self) -> String {
        let version = if self.version.is_empty() {
            "image".to_owned()
        } else {
            slug(&self.version)
        };
        format!("{}/{version}/{}", slug(&self.distribution), self.arch)
    }

    /// Whether the command line needs the tree.
    pub fn needs_tree(&self) -> bool {
        self.cmdline.contains("{tree}")
    }
}

/// Small letters, digits, `.` and `-`, as names of files and profiles are.
fn slug(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' => out.push(c),
            '.' | '-' | '_' | ' ' if !out.is_empty() && !out.ends_with(['-', '.']) => {
                out.push(if c == '.' { '.' } else { '-' });
            }
            _ => {}
        }
    }
    let out = out.trim_end_matches(['-', '.']);
    if out.is_empty() {
        "image".to_owned()
    } else {
        out.chars().take(48).collect()
    }
}

/// A file that tells what an image is has at most so many bytes.
const TELLTALE: u64 = 256 << 10;

/// One way of telling what an image is.
type Look<R> = fn(&mut Image<R>) -> Result<Option<Recognised>, IsoError>;

/// Tells what an image is; `None`: nothing in it is known.
pub fn recognise<R: Read + Seek>(image: &mut Image<R>) -> Result<Option<Recognised>, IsoError> {
    let looks: [Look<R>; 7] = [
        debian_like,
        suse,
        |image| Ok(coreos(image)),
        redhat,
        alpine,
        |image| Ok(arch_linux(image)),
        isolinux,
    ];
    for look in looks {
        if let Some(found) = look(image)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The first of these files that the image has, as it spells it.
fn first<R: Read + Seek>(image: &Image<R>, paths: &[&str]) -> Option<String> {
    paths
        .iter()
        .find_map(|path| image.find(path))
        .map(str::to_owned)
}

fn telltale<R: Read + Seek>(image: &mut Image<R>, path: &str) -> Result<Option<String>, IsoError> {
    image.text(path, TELLTALE)
}

/// The architecture that a text names; x86_64 when it names none.
fn arch_in(text: &str) -> Architecture {
    let text = text.to_ascii_lowercase();
    [
        ("aarch64", Architecture::Aarch64),
        ("arm64", Architecture::Aarch64),
        ("x86_64", Architecture::X86_64),
        ("amd64", Architecture::X86_64),
        ("armhf", Architecture::Arm),
        ("i386", Architecture::I386),
        ("i686", Architecture::I386),
    ]
    .into_iter()
    .find(|(word, _)| text.contains(word))
    .map_or(Architecture::X86_64, |(_, arch)| arch)
}

/// The first word that is a version: `12.11.0`, `24.04.3`.
fn version_in(text: &str) -> String {
    text.split([' ', '-', '_', '"', '(', ')'])
        .find(|word| {
            word.starts_with(|c: char| c.is_ascii_digit())
                && word.chars().all(|c| c.is_ascii_digit() || c == '.')
        })
        .unwrap_or_default()
        .to_owned()
}

/// `.disk/info` of Debian and Ubuntu.
fn debian_like<R: Read + Seek>(image: &mut Image<R>) -> Result<Option<Recognised>, IsoError> {
    let Some(info) = telltale(image, ".disk/info")? else {
        return Ok(None);
    };
    let title = info.lines().next().unwrap_or_default().trim().to_owned();
    let arch = arch_in(&title);
    let whole_version = version_in(&title);
    let is_ubuntu = title.starts_with("Ubuntu")
        || first(image, &["casper/vmlinuz", "casper/hwe-vmlinuz"]).is_some();
    let numbers: Vec<&str> = whole_version.split('.').collect();
    let version = match (is_ubuntu, numbers.as_slice()) {
        (true, [year, month, ..]) => format!("{year}.{month}"),
        (false, [major, ..]) => (*major).to_owned(),
        _ => whole_version.clone(),
    };
    let casper = first(image, &["casper/vmlinuz", "casper/hwe-vmlinuz"]).zip(first(
        image,
        &[
            "casper/initrd",
            "casper/initrd.gz",
            "casper/initrd.lz",
            "casper/hwe-initrd",
        ],
    ));
    if let Some((kernel, initrd)) = casper {
        return Ok(Some(Recognised {
            distribution: if is_ubuntu { "ubuntu" } else { "casper" }.to_owned(),
            version,
            title,
            family: "ubuntu",
            arch,
            kernel,
            initrd: vec![initrd],
            further: Vec::new(),
            whole: true,
            cmdline:
                "root=/dev/ram0 ramdisk_size=3500000 ip=dhcp url={image} cloud-config-url=/dev/null"
                    .to_owned(),
            notes: vec![
                "the installer loads the whole image into memory: give the machine its size and 2 GiB more",
            ],
        }));
    }
    let live = first(image, &["live/filesystem.squashfs"]).and_then(|squashfs| {
        let kernels: Vec<&String> = image.nodes().keys().collect();
        let newest = |begin: &str| {
            first(image, &[begin]).or_else(|| {
                kernels
                    .iter()
                    .rev()
                    .find(|path| path.starts_with(&format!("{begin}-")))
                    .map(|path| (*path).clone())
            })
        };
        Some((
            newest("live/vmlinuz")?,
            newest("live/initrd.img").or_else(|| newest("live/initrd"))?,
            squashfs,
        ))
    });
    if let Some((kernel, initrd, squashfs)) = live {
        return Ok(Some(Recognised {
            distribution: "debian-live".to_owned(),
            version,
            title,
            family: "tool",
            arch,
            kernel,
            initrd: vec![initrd],
            further: vec![(squashfs, Looks::Squashfs)],
            whole: false,
            cmdline: "boot=live components ip=dhcp fetch={further}".to_owned(),
            notes: vec!["the live system is loaded into memory whole"],
        }));
    }
    let (machine, gtk) = match arch {
        Architecture::Aarch64 => ("install.a64", "install.a64/gtk"),
        Architecture::I386 => ("install.386", "install.386/gtk"),
        _ => ("install.amd", "install.amd/gtk"),
    };
    let kernel = first(image, &[&format!("{machine}/vmlinuz"), "install/vmlinuz"]);
    let initrd = first(
        image,
        &[
            &format!("{machine}/initrd.gz"),
            &format!("{gtk}/initrd.gz"),
            "install/initrd.gz",
        ],
    );
    let Some((kernel, initrd)) = kernel.zip(initrd) else {
        return Ok(None);
    };
    Ok(Some(Recognised {
        distribution: if is_ubuntu { "ubuntu" } else { "debian" }.to_owned(),
        version,
        title,
        family: "debian",
        arch,
        kernel,
        initrd: vec![initrd],
        further: Vec::new(),
        whole: false,
        cmdline: "priority=low ---".to_owned(),
        notes: vec![
            "the initial RAM disk of a Debian disc looks for the disc: over the network use the one made for it, `bootwright assets fetch debian-NN`",
        ],
    }))
}

/// `media.1/media` of SUSE, and Agama's live images.
fn suse<R: Read + Seek>(image: &mut Image<R>) -> Result<Option<Recognised>, IsoError> {
    let loader = |image: &Image<R>, file: &str| {
        first(
            image,
            &[
                &format!("boot/x86_64/loader/{file}"),
                &format!("boot/aarch64/{file}"),
                &format!("boot/aarch64/loader/{file}"),
            ],
        )
    };
    let Some((kernel, initrd)) = loader(image, "linux").zip(loader(image, "initrd")) else {
        return Ok(None);
    };
    let mut told = image.name().to_owned();
    for file in ["media.1/media", "media.1/products", ".treeinfo"] {
        if let Some(text) = telltale(image, file)? {
            told.push('\n');
            told.push_str(&text);
        }
    }
    let upper = told.to_ascii_uppercase();
    let sles = || {
        let rest = upper.split("SLE").nth(1)?;
        let rest = rest.trim_start_matches('S').trim_start_matches('-');
        let major: String = rest
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        let pack = rest.get(major.len()..)?.strip_prefix("-SP").map(|rest| {
            rest.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        });
        Some(match pack {
            Some(pack) => format!("{major}-sp{pack}"),
            None => major,
        })
    };
    let (distribution, version) = if upper.contains("TUMBLEWEED") {
        ("opensuse-tumbleweed", String::new())
    } else if let Some(rest) = upper.split("LEAP").nth(1) {
        ("opensuse-leap", version_in(rest))
    } else {
        ("sles", sles().unwrap_or_default())
    };
    let squashfs = first(image, &["LiveOS/squashfs.img"]);
    let is_agama = squashfs.is_some() && telltale(image, "media.1/media")?.is_none();
    let arch = arch_in(&kernel);
    let title = format!(
        "{} {version}",
        if distribution == "sles" {
            "SUSE Linux Enterprise Server"
        } else {
            "openSUSE"
        }
    );
    Ok(Some(Recognised {
        distribution: distribution.to_owned(),
        title: format!("{} ({})", title.trim(), image.name()),
        version,
        family: "suse",
        arch,
        kernel,
        initrd: vec![initrd],
        further: squashfs
            .filter(|_| is_agama)
            .map(|path| (path, Looks::Squashfs))
            .into_iter()
            .collect(),
        whole: false,
        cmdline: if is_agama {
            "root=live:{further} rd.neednet=1 ip=dhcp inst.install_url={tree}/install".to_owned()
        } else {
            "install={tree} ifcfg=*=dhcp textmode=1".to_owned()
        },
        notes: Vec::new(),
    }))
}

/// Fedora CoreOS's and RHEL CoreOS's live images.
fn coreos<R: Read + Seek>(image: &Image<R>) -> Option<Recognised> {
    let rootfs = first(image, &["images/pxeboot/rootfs.img"]);
    let kernel = first(image, &["images/pxeboot/vmlinuz"]);
    let initrd = first(image, &["images/pxeboot/initrd.img"]);
    let (Some(rootfs), Some(kernel), Some(initrd)) = (rootfs, kernel, initrd) else {
        return None;
    };
    let name = image.name().to_owned();
    Some(Recognised {
        distribution: if name.to_ascii_lowercase().starts_with("rhcos") { "rhcos" } else { "fedora-coreos" }.to_owned(),
        version: version_in(&name),
        title: format!("CoreOS ({name})"),
        family: "coreos",
        arch: arch_in(&name),
        kernel,
        initrd: vec![initrd],
        further: vec![(rootfs, Looks::Any)],
        whole: false,
        cmdline: "coreos.live.rootfs_url={further} ignition.firstboot ignition.platform.id=metal rd.neednet=1 ip=dhcp".to_owned(),
        notes: Vec::new(),
    })
}

/// `.treeinfo` of everything that Anaconda installs.
fn redhat<R: Read + Seek>(image: &mut Image<R>) -> Result<Option<Recognised>, IsoError> {
    let Some(info) = telltale(image, ".treeinfo")? else {
        return Ok(None);
    };
    let value = |section: &str, key: &str| ini(&info, section, key).map(str::to_owned);
    let general = |key: &str| value("general", key).or_else(|| value("release", key));
    let arch = general("arch")
        .or_else(|| value("tree", "arch"))
        .unwrap_or_default();
    let images = format!("images-{arch}");
    let kernel = value(&images, "kernel").unwrap_or_else(|| "images/pxeboot/vmlinuz".to_owned());
    let initrd = value(&images, "initrd").unwrap_or_else(|| "images/pxeboot/initrd.img".to_owned());
    let (Some(kernel), Some(initrd)) = (first(image, &[&kernel]), first(image, &[&initrd])) else {
        return Ok(None);
    };
    let name = general("family")
        .or_else(|| general("name"))
        .unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let distribution = [
        ("red hat", "rhel"),
        ("alma", "alma"),
        ("rocky", "rocky"),
        ("centos", "centos-stream"),
        ("fedora", "fedora"),
        ("oracle", "oracle"),
    ]
    .into_iter()
    .find(|(word, _)| lower.contains(word))
    .map_or_else(|| slug(&name), |(_, name)| name.to_owned());
    let version = general("version").unwrap_or_default();
    Ok(Some(Recognised {
        distribution,
        title: format!("{name} {version}"),
        version,
        family: "redhat",
        arch: arch_in(&arch),
        kernel,
        initrd: vec![initrd],
        further: Vec::new(),
        whole: false,
        cmdline: "inst.repo={tree} inst.text ip=dhcp".to_owned(),
        notes: Vec::new(),
    }))
}

/// A value of a file of sections.
fn ini<'t>(text: &'t str, section: &str, key: &str) -> Option<&'t str> {
    let mut within = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            within = name;
        } else if within == section
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            return Some(value.trim()).filter(|value| !value.is_empty());
        }
    }
    None
}

/// `.alpine-release`.
fn alpine<R: Read + Seek>(image: &mut Image<R>) -> Result<Option<Recognised>, IsoError> {
    let Some(release) = telltale(image, ".alpine-release")? else {
        return Ok(None);
    };
    let flavour = |begin: &str| {
        first(
            image,
            &[&format!("boot/{begin}-lts"), &format!("boot/{begin}-virt")],
        )
    };
    let (Some(kernel), Some(initrd), Some(modloop)) =
        (flavour("vmlinuz"), flavour("initramfs"), flavour("modloop"))
    else {
        return Ok(None);
    };
    let whole = version_in(&release);
    let numbers: Vec<&str> = whole.split('.').take(2).collect();
    let version = numbers.join(".");
    Ok(Some(Recognised {
        distribution: "alpine".to_owned(),
        title: format!("Alpine Linux {whole}"),
        cmdline: format!(
            "ip=dhcp modules=loop,squashfs modloop={{further}} alpine_repo=http://dl-cdn.alpinelinux.org/alpine/v{version}/main"
        ),
        version,
        family: "alpine",
        arch: arch_in(image.name()),
        kernel,
        initrd: vec![initrd],
        further: vec![(modloop, Looks::Squashfs)],
        whole: false,
        notes: Vec::new(),
    }))
}

/// Arch Linux and what is made with its tools.
fn arch_linux<R: Read + Seek>(image: &Image<R>) -> Option<Recognised> {
    for (base, distribution) in [("arch", "arch"), ("sysresccd", "systemrescue")] {
        let boot = format!("{base}/boot/x86_64");
        let kernel = first(
            image,
            &[&format!("{boot}/vmlinuz-linux"), &format!("{boot}/vmlinuz")],
        );
        let initrd = first(
            image,
            &[
                &format!("{boot}/initramfs-linux.img"),
                &format!("{boot}/sysresccd.img"),
                &format!("{boot}/archiso.img"),
            ],
        );
        let Some((kernel, initrd)) = kernel.zip(initrd) else {
            continue;
        };
        return Some(Recognised {
            distribution: distribution.to_owned(),
            version: String::new(),
            title: image.name().to_owned(),
            family: "tool",
            arch: Architecture::X86_64,
            kernel,
            initrd: vec![initrd],
            further: Vec::new(),
            whole: false,
            cmdline: format!("archisobasedir={base} archiso_http_srv={{tree}}/ ip=dhcp"),
            notes: Vec::new(),
        });
    }
    None
}

/// Any other image that boots Linux by ISOLINUX: the first kernel of its menu.
fn isolinux<R: Read + Seek>(image: &mut Image<R>) -> Result<Option<Recognised>, IsoError> {
    let menus = [
        "isolinux/isolinux.cfg",
        "isolinux.cfg",
        "boot/isolinux/isolinux.cfg",
        "syslinux/syslinux.cfg",
        "boot/syslinux/syslinux.cfg",
    ];
    for menu in menus {
        let Some(text) = telltale(image, menu)? else {
            continue;
        };
        let folder = menu.rsplit_once('/').map_or("", |(folder, _)| folder);
        let Some((kernel, initrd, rest)) = first_label(&text) else {
            continue;
        };
        let within = |path: &str| {
            let path = path.trim_start_matches('/');
            first(image, &[path, &format!("{folder}/{path}")])
        };
        let Some(kernel) = within(&kernel) else {
            continue;
        };
        let Some(initrd) = initrd
            .iter()
            .map(|path| within(path))
            .collect::<Option<Vec<_>>>()
        else {
            continue;
        };
        let name = image.name().to_owned();
        return Ok(Some(Recognised {
            distribution: slug(&name),
            version: String::new(),
            title: name.clone(),
            family: "other",
            arch: arch_in(&name),
            kernel,
            initrd,
            further: Vec::new(),
            whole: false,
            cmdline: rest,
            notes: vec![
                "nothing in the image tells what it is: the command line is the one of its own menu, and may have to learn where the rest of the image is",
            ],
        }));
    }
    Ok(None)
}

/// Whether a menu names a module of SYSLINUX's own.
fn is_module(file: &str) -> bool {
    let extension = file.trim().rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("c32"))
}

/// Kernel, initial RAM disks and the other words of the first label of a SYSLINUX menu.
fn first_label(text: &str) -> Option<(String, Vec<String>, String)> {
    let mut kernel: Option<String> = None;
    let mut initrd: Vec<String> = Vec::new();
    let mut words: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word.to_ascii_lowercase().as_str() {
            "label" if kernel.is_some() => break,
            "kernel" | "linux" if !is_module(rest) => {
                kernel = Some(rest.trim().to_owned());
            }
            "initrd" => initrd = rest.trim().split(',').map(str::to_owned).collect(),
            "append" => {
                for word in rest.split_whitespace() {
                    match word.strip_prefix("initrd=") {
                        Some(files) => initrd = files.split(',').map(str::to_owned).collect(),
                        // Braces are the templates' own.
                        None if !word.contains(['{', '}']) => words.push(word.to_owned()),
                        None => {}
                    }
                }
            }
            _ => {}
        }
    }
    Some((kernel?, initrd, words.join(" ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_and_architectures_in_what_makers_write() {
        let debian = "Debian GNU/Linux 12.11.0 \"Bookworm\" - Official amd64 NETINST with firmware 20250517-09:52";
        assert_eq!(version_in(debian), "12.11.0");
        assert_eq!(arch_in(debian), Architecture::X86_64);
        let ubuntu = "Ubuntu-Server 24.04.3 LTS \"Noble Numbat\" - Release arm64 (20250805.1)";
        assert_eq!(version_in(ubuntu), "24.04.3");
        assert_eq!(arch_in(ubuntu), Architecture::Aarch64);
        assert_eq!(slug("Rescue CD (v2)!"), "rescue-cd-v2");
        assert_eq!(slug("../.."), "image");
    }

    #[test]
    fn the_first_label_of_a_menu() {
        let menu = "default vesamenu.c32\nlabel a\n  kernel vmlinuz\n  append initrd=a.img,b.img quiet {{ x }}\nlabel b\n kernel other\n";
        assert_eq!(
            first_label(menu),
            Some((
                "vmlinuz".to_owned(),
                vec!["a.img".to_owned(), "b.img".to_owned()],
                "quiet x".to_owned()
            ))
        );
        assert_eq!(first_label("label a\n kernel menu.c32\n"), None);
    }

    proptest! {
        #[test]
        fn a_name_made_of_any_text_is_a_name(text in "(?s).{0,80}") {
            let name = slug(&text);
            prop_assert!(name.parse::<crate::base::ProfileName>().is_ok(), "{name}");
            let _ = (version_in(&text), arch_in(&text), first_label(&text), ini(&text, "a", "b"));
        }
    }
}
