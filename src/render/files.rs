//! Which boot files a host needs, and which of them are not there.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::kinds::{Kind, kinds};
use super::load::InForce;
use super::uses::Uses;
use super::{AssetRef, RenderedBoot, View, check};
use crate::base::{Architecture, BootLoader, Firmware, HardwareAddr, has_extension, pace};
use crate::config::signed::{self, IsThere};
use crate::config::snapshot::{Host, Profile, Subnet};
use crate::config::variables::for_fetching;
use crate::config::{Problem, Snapshot};
use crate::wire::looks;

/// The architecture that a host's boot files are for when none was seen: its own, else the profile's
/// first one, else x86_64.
pub fn usual_architecture(host: &Host, profile: Option<&Profile>) -> Architecture {
    host.arch
        .or_else(|| profile.and_then(|profile| profile.arch.first().copied()))
        .unwrap_or(Architecture::X86_64)
}

/// The firmware that machines of an architecture usually have. 32-bit UEFI is rare, and its loader is
/// in no distribution: it is told when such a machine comes.
fn usual_firmware(arch: Architecture) -> &'static [Firmware] {
    match arch {
        Architecture::X86_64 => &[Firmware::Bios, Firmware::UefiX64],
        Architecture::I386 => &[Firmware::Bios],
        Architecture::Aarch64 => &[Firmware::UefiArm64],
        Architecture::Arm => &[Firmware::UefiArm32],
    }
}

/// The boot files of a host: its loaders, then what its profile loads, with the architecture they are
/// for. A boot text that cannot be rendered gives nothing here; `check` reports it.
pub fn needed(config: &InForce, host: &Host) -> Vec<(AssetRef, Architecture)> {
    // A signed iPXE, which may be there, is the operator's own.
    let (arch, files) = needed_by(config, host, &|_| false);
    files.into_iter().map(|(asset, _)| (asset, arch)).collect()
}

/// The same files, each with the firmware that alone needs it, where the machine may have another one.
fn needed_by(
    config: &InForce,
    host: &Host,
    is_there: IsThere<'_>,
) -> (Architecture, Vec<(AssetRef, Option<Firmware>)>) {
    let snapshot = &config.snapshot;
    let profile = host
        .profile
        .as_ref()
        .and_then(|name| snapshot.profile(name));
    let arch = usual_architecture(host, profile.map(AsRef::as_ref));
    let mut files = loaders_of(snapshot, host, profile.map(AsRef::as_ref), is_there);
    if let (Some(profile), Some(subnet)) = (profile, snapshot.subnet_of(host)) {
        let view = View {
            snapshot,
            host,
            profile,
            arch,
            server: subnet.example_server,
            token: None,
        };
        if let Ok(boot) = config.renderer.boot(&view) {
            files.extend(boot.assets().into_iter().map(|asset| (asset.clone(), None)));
        }
    }
    (arch, files)
}

/// The loaders among them.
fn loaders_of(
    snapshot: &Snapshot,
    host: &Host,
    profile: Option<&Profile>,
    is_there: IsThere<'_>,
) -> Vec<(AssetRef, Option<Firmware>)> {
    let arch = usual_architecture(host, profile);
    let mut files = Vec::new();
    let own = host
        .loader
        .as_ref()
        .filter(|_| host.named_loader().is_none());
    if let Some(loader) = own {
        files.extend(AssetRef::parse(loader).map(|asset| (asset, None)));
    } else if snapshot.boots_signed(host) {
        let uefi = usual_firmware(arch)
            .iter()
            .filter(|firmware| firmware.is_uefi());
        let signed =
            uefi.flat_map(|firmware| signed::needed(snapshot, profile, *firmware, is_there));
        files.extend(signed.filter_map(|path| Some((AssetRef::parse(&path).ok()?, None))));
    } else {
        let usual = usual_firmware(arch);
        for firmware in usual {
            let only = (usual.len() > 1).then_some(*firmware);
            let loader = snapshot.server.loader_of(host, *firmware);
            let asset = loader.and_then(|loader| AssetRef::parse(loader).ok());
            files.extend(asset.map(|asset| (asset, only)));
        }
    }
    files
}

/// The boot files that a host's kernel command line, script and answers name by `asset()`, beside those that its
/// boot loads. A folder stands for what the profile's `[fetch]` brings into it; where that is nothing, it is the
/// folder itself. What cannot be rendered names nothing; `check` reports it.
pub fn named(config: &InForce, view: &View<'_>) -> Vec<String> {
    let renderer = &config.renderer;
    let prepared = renderer.prepare(view);
    let boot = renderer.prepared_boot(&prepared).ok();
    for answer in &view.profile.answers {
        let _ = renderer.prepared_answer(&prepared, &answer.name);
    }
    let loaded = boot.as_ref().map(RenderedBoot::paths).unwrap_or_default();
    let brought: Vec<String> = view
        .profile
        .fetch
        .iter()
        .flat_map(|fetch| {
            let values = for_fetching(view.snapshot, view.profile, Some(view.host));
            fetch.with(view.arch, &values).files
        })
        .filter(|file| !file.optional && !file.path.contains("{{"))
        .map(|file| file.path)
        .collect();
    let mut found = BTreeSet::new();
    for path in prepared.named_files() {
        if loaded.contains(&path.as_str()) {
            continue;
        }
        let within = format!("{path}/");
        let is_within = |file: &str| file.starts_with(&within);
        let mut beneath = brought.iter().filter(|file| is_within(file)).peekable();
        if beneath.peek().is_some() {
            found.extend(
                beneath
                    .filter(|file| !loaded.contains(&file.as_str()))
                    .cloned(),
            );
        } else if !loaded.iter().any(|file| is_within(file)) {
            found.insert(path);
        }
    }
    found.into_iter().collect()
}

/// Whether a file or folder that a template names is there.
pub fn is_named_there(is_there: &dyn Fn(&str) -> bool, path: &str) -> bool {
    is_there(path) || is_there(&format!("{path}/"))
}

/// The files of [`named`] of all hosts with a profile, each with its hosts. Those that have everything in common are
/// rendered once: what a function is given is the same for all of them.
pub fn named_by_hosts(config: &InForce) -> BTreeMap<String, Vec<&Host>> {
    named_by_kinds(config, &kinds(&config.snapshot))
}

/// The same, where the kinds of its hosts are known already.
fn named_by_kinds<'a>(config: &'a InForce, kinds: &[Kind<'a>]) -> BTreeMap<String, Vec<&'a Host>> {
    let mut found: BTreeMap<String, Vec<&Host>> = BTreeMap::new();
    // Rendering all of a profile for each kind anew would take as long as proving it.
    let mut named_by: HashMap<_, Vec<String>> = HashMap::new();
    let of = |profile, subnet: &Subnet, host: &Host| {
        let view = View {
            snapshot: &config.snapshot,
            host,
            profile,
            arch: usual_architecture(host, Some(profile)),
            server: subnet.example_server,
            token: None,
        };
        named(config, &view)
    };
    for kind in kinds {
        let (profile, subnet) = (kind.profile, kind.subnet);
        if kind.parts.own_assets {
            for (count, host) in kind.hosts.iter().copied().enumerate() {
                pace::give_way(count);
                for path in of(profile, subnet, host) {
                    found.entry(path).or_default().push(host);
                }
            }
        } else if kind.parts.assets {
            let settings = std::sync::Arc::as_ptr(&kind.example.settings);
            let named = named_by
                .entry((&profile.name, std::ptr::from_ref(subnet), settings))
                .or_insert_with(|| of(profile, subnet, &kind.example));
            for path in named.iter() {
                found.entry(path.clone()).or_default().extend(&kind.hosts);
            }
        }
    }
    found
}

/// A warning for each boot file that some host with a profile needs and that is not there, or not all of it.
/// `is_there` is asked with paths under `boot_assets`, those of folders ending with `/`; `amiss` says what is wrong with one that is there in part.
pub fn missing(
    config: &InForce,
    is_there: &dyn Fn(&str) -> bool,
    amiss: &dyn Fn(&str) -> Option<String>,
) -> Vec<Problem> {
    missing_for(config, &kinds(&config.snapshot), is_there, amiss)
}

/// The same, where the kinds of its hosts are known already.
pub(super) fn missing_for<'a>(
    config: &'a InForce,
    kinds: &[Kind<'a>],
    is_there: &dyn Fn(&str) -> bool,
    amiss: &dyn Fn(&str) -> Option<String>,
) -> Vec<Problem> {
    let mut hosts_by_path: BTreeMap<(String, Option<Firmware>), Vec<&Host>> = BTreeMap::new();
    let mut seen: BTreeMap<String, bool> = BTreeMap::new();
    let mut missing_of = |host: &Host| -> Vec<(String, Option<Firmware>)> {
        let needed = needed_by(config, host, is_there).1;
        let paths = needed.into_iter().filter_map(|(asset, only)| match asset {
            AssetRef::Path(path) => Some((path, only)),
            AssetRef::Url(_) => None,
        });
        paths
            .filter(|(path, _)| !*seen.entry(path.clone()).or_insert_with(|| is_there(path)))
            .collect()
    };
    for (path, hosts) in named_by_kinds(config, kinds) {
        if !is_named_there(is_there, &path) {
            hosts_by_path.entry((path, None)).or_default().extend(hosts);
        }
    }
    // Without a profile a host boots nothing over the network but what somebody arms it with.
    for kind in kinds {
        // One looks for all of them, unless the files' names hold something of the host.
        if Uses::of_paths(&kind.profile.boot).is_nothing() {
            for missing in missing_of(&kind.example) {
                hosts_by_path
                    .entry(missing)
                    .or_default()
                    .extend(&kind.hosts);
            }
            continue;
        }
        for (count, host) in kind.hosts.iter().enumerate() {
            pace::give_way(count);
            for missing in missing_of(host) {
                hosts_by_path.entry(missing).or_default().push(host);
            }
        }
    }
    for hosts in hosts_by_path.values_mut() {
        // They were found kind by kind.
        hosts.sort_by_key(|host| host.span);
    }
    let folder = config.snapshot.server.boot_assets.display();
    hosts_by_path
        .into_iter()
        .map(|((path, only), hosts)| {
            let names = check::host_names(&hosts);
            let amiss = amiss(&path);
            let is = amiss.as_deref().unwrap_or("not there");
            let message = match only {
                None => format!(
                    "the boot file `{path}` is {is}, and {names} cannot be installed without it"
                ),
                Some(firmware) => format!(
                    "the boot loader `{path}` is {is}, and {names} cannot be installed without it if {} {}",
                    if hosts.len() == 1 { "it has" } else { "they have" },
                    match firmware {
                        Firmware::Bios => "BIOS firmware",
                        _ => "UEFI firmware",
                    }
                ),
            };
            let code = if amiss.is_some() {
                "boot-file-partial"
            } else {
                "boot-file-missing"
            };
            let problem = Problem::warning(code, message).help(
                match fetched_by(&config.snapshot, &path) {
                    Some(command) => format!("`{command}` brings it, or put it at {folder}/{path}"),
                    None => match by_hand(&config.snapshot, &hosts, &path, is_there) {
                        Some(by_hand) => format!("put it at {folder}/{path}: {by_hand}"),
                        None => format!("put it at {folder}/{path}"),
                    },
                },
            );
            check::at_host(problem, &hosts)
        })
        .collect()
}

/// A warning for each folder of boot files that hides behind a mirror. `is_folder` is asked with paths under
/// `boot_assets`.
pub fn behind_mirrors(snapshot: &Snapshot, is_folder: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    let hiding = snapshot
        .mirrors
        .iter()
        .filter(|mirror| is_folder(&mirror.path));
    hiding
        .map(|mirror| {
            let (path, folder) = (&mirror.path, snapshot.server.boot_assets.display());
            let problem = Problem::warning(
                "boot-file-hidden",
                format!(
                    "{folder}/{path} is not what machines get: files of this folder come from {}",
                    mirror.url
                ),
            )
            .help("take the folder away, or give the [[mirror]] another `path`");
            match mirror.span {
                Some(span) => problem.at(span, "this mirror"),
                None => problem,
            }
        })
        .collect()
}

/// So many bytes of a boot file tell whether it is signed.
pub const HEAD: usize = 4_096;

/// A warning for each kernel or program that hosts with Secure Boot are to run and that bears no signature at all.
/// `head` gives the first [`HEAD`] bytes of a file under `boot_assets`.
pub(super) fn unsigned(
    config: &InForce,
    kinds: &[Kind<'_>],
    is_there: IsThere<'_>,
    head: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Vec<Problem> {
    let snapshot = &config.snapshot;
    let mut signed: BTreeMap<String, bool> = BTreeMap::new();
    let mut hosts_by_path: BTreeMap<String, Vec<&Host>> = BTreeMap::new();
    for kind in kinds {
        if !snapshot.secure_boot(&kind.example) {
            continue;
        }
        let needed = needed_by(config, &kind.example, is_there).1;
        let paths = needed.into_iter().filter_map(|(asset, _)| match asset {
            AssetRef::Path(path) => Some(path),
            AssetRef::Url(_) => None,
        });
        // Of what is no program, such as an initial RAM disk, nothing is said.
        for path in paths.filter(|path| is_there(path)) {
            let is_signed = *signed.entry(path.clone()).or_insert_with(|| {
                head(&path)
                    .and_then(|head| looks::is_signed(&head))
                    .unwrap_or(true)
            });
            if !is_signed {
                hosts_by_path.entry(path).or_default().extend(&kind.hosts);
            }
        }
    }
    let problem = |(path, mut hosts): (String, Vec<&Host>)| {
        hosts.sort_by_key(|host| host.span);
        let names = check::host_names(&hosts);
        let problem = Problem::warning(
            "unsigned-boot-file",
            format!("the boot file `{path}` is not signed: with Secure Boot it is refused, and {names} cannot boot it"),
        )
        .help("take a signed build of it, or write `secure_boot = false` and switch it off in the firmware's setup");
        check::at_host(problem, &hosts)
    };
    hosts_by_path.into_iter().map(problem).collect()
}

/// A warning for each boot file that hides behind a rendered script of the same name (design section 3).
/// Looked at is where loaders ask: at the top, beside themselves, GRUB in its usual folders, and iPXE in the folder of
/// each MAC.
/// `at_top` are the names in `boot_assets` itself.
pub fn hidden(
    config: &InForce,
    is_there: &dyn Fn(&str) -> bool,
    at_top: &[String],
) -> Vec<Problem> {
    let snapshot = &config.snapshot;
    let loaders = snapshot.server.loaders.values();
    let mut own: Vec<&String> = Vec::new();
    for loader in snapshot
        .hosts()
        .iter()
        .filter_map(|host| host.loader.as_ref())
    {
        if own.last() != Some(&loader) {
            own.push(loader);
        }
    }
    let named = Firmware::ALL.into_iter().flat_map(|firmware| {
        let files = own.iter().filter_map(|loader| loader.parse().ok());
        files.filter_map(move |loader| snapshot.server.loader_by_name(loader, firmware))
    });
    let mut folders = BTreeSet::from([String::new()]);
    let mut configurations: BTreeSet<String> = [
        "grub.cfg",
        "grub/grub.cfg",
        "boot/grub/grub.cfg",
        "pxelinux.cfg/default",
    ]
    .map(str::to_owned)
    .into();
    for loader in loaders
        .chain(snapshot.server.loaders_by_code.values())
        .chain(own.iter().copied())
        .map(String::as_str)
        .chain(named)
    {
        let Ok(AssetRef::Path(path)) = AssetRef::parse(loader) else {
            continue;
        };
        let end = path.rfind('/').map_or(0, |at| at + 1);
        let folder = path.get(..end).unwrap_or_default();
        match BootLoader::of_file(&path) {
            BootLoader::Ipxe => folders.insert(folder.to_owned()),
            BootLoader::Grub => configurations.insert(format!("{folder}grub.cfg")),
            BootLoader::Pxelinux => configurations.insert(format!("{folder}pxelinux.cfg/default")),
        };
    }
    let configurations: Vec<String> = configurations
        .into_iter()
        .filter(|path| is_there(path))
        .collect();
    let scripts = folders
        .iter()
        .map(|folder| format!("{folder}autoexec.ipxe"))
        .chain(["boot.ipxe".to_owned()]);
    let macs = at_top.iter().filter(|name| {
        let mac = name.parse::<HardwareAddr>().ok();
        mac.is_some_and(|mac| {
            mac.dashed() == **name
                && snapshot
                    .host_by_mac(mac)
                    .is_some_and(|host| host.boots_by(mac))
        })
    });
    scripts
        .chain(macs.map(|mac| format!("{mac}/boot.ipxe")))
        .filter(|path| is_there(path))
        .map(|path| {
            Problem::warning(
                "boot-file-hidden",
                format!("the boot file `{path}` is not what machines get by TFTP: under this name they get their own boot script"),
            )
            .help("take the file away; a script of your own is a profile with `kind = \"script\"`, or `kind = \"chain\"` and another name")
        })
        .chain(configurations.into_iter().map(|path| {
            Problem::warning(
                "boot-file-hidden",
                format!("the boot file `{path}` is not what machines with a reservation get: under this name each gets its own configuration, and only other machines get the file"),
            )
            .help("take the file away, or leave it for machines without a reservation")
        }))
        .collect()
}

/// How an operator comes by a boot file that no command brings, going by the first of its hosts.
fn by_hand(
    snapshot: &Snapshot,
    hosts: &[&Host],
    path: &str,
    is_there: IsThere<'_>,
) -> Option<String> {
    if path.rsplit('/').next() == Some("wimboot") {
        return Some("it comes from ipxe.org/wimboot".to_owned());
    }
    let host = hosts.first()?;
    let profile = snapshot.profile(host.profile.as_ref()?)?;
    // A profile that lists its files says it of these, and `fetched_by` knows them.
    let fetch = profile
        .fetch
        .as_ref()
        .filter(|fetch| fetch.files.is_empty())?;
    let loaders = loaders_of(snapshot, host, Some(profile), is_there);
    let is_loader = loaders.iter().any(|(asset, _)| asset.path() == Some(path));
    fetch.by_hand.clone().filter(|_| !is_loader)
}

/// The command that brings a boot file, for those of which a profile or the product knows where they are.
pub fn fetched_by(snapshot: &Snapshot, path: &str) -> Option<String> {
    const FETCH: &str = "bootwright assets fetch";
    let mut profiles = snapshot.profiles().values();
    let declared = profiles.find_map(|profile| {
        let fetch = profile.fetch.as_ref()?;
        let arch = fetch.brings(path)?;
        let from = if fetch.is_by_hand() {
            " --from FILE"
        } else {
            ""
        };
        Some(match arch {
            Architecture::X86_64 => format!("{FETCH} {}{from}", profile.name),
            other if !fetch.is_per_arch() || profile.arch.first() == Some(&other) => {
                format!("{FETCH} {}{from}", profile.name)
            }
            other => format!("{FETCH} {} --arch {other}{from}", profile.name),
        })
    });
    declared.or_else(|| match path.split('/').next() {
        Some("ipxe") => Some(format!("{FETCH} ipxe")),
        Some("shim") => Some(format!("{FETCH} shim")),
        _ if path == "alpine/bootwright.apkovl.tar.gz" => {
            Some("scripts/alpine-overlay.sh".to_owned())
        }
        Some("pxelinux") => Some(format!("{FETCH} pxelinux")),
        Some("grub") if has_extension(path, "efi") => Some(format!("{FETCH} grub")),
        _ if path.starts_with("debian/12/") => Some(format!("{FETCH} debian-12")),
        _ => None,
    })
}
