//! `assets add-iso`: what a recognised image becomes: a declaration of its files, a profile, a tree.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::iso::{Node, resolve};
use super::manifest::{Checked, Entry, Lock, Manifest};
use super::place::{make_folders, measure};
use super::recognise::Recognised;
use super::source::{from_image, open_image};
use super::{AssetError, Step, Tell};
use crate::config::fetch::{Fetch, FetchFile};
use crate::wire::looks::Looks;

/// The name of a whole image among the boot files of its profile.
const IMAGE: &str = "image.iso";
/// The name of the folder with all that is in an image.
const TREE: &str = "tree";

/// The files that a profile for an image needs, to be taken from the image.
pub fn declaration(found: &Recognised) -> Fetch {
    let folder = found.folder();
    let own = |path: &str| format!("{folder}/{}", path.rsplit('/').next().unwrap_or(path));
    let file = |path: &str, looks| FetchFile {
        path: own(path),
        from: Some(path.to_owned()),
        looks,
        ..FetchFile::default()
    };
    let mut files = vec![file(&found.kernel, Looks::LinuxKernel)];
    files.extend(found.initrd.iter().map(|path| file(path, Looks::Initrd)));
    files.extend(found.further.iter().map(|(path, looks)| file(path, *looks)));
    if found.whole {
        files.push(FetchFile {
            path: format!("{folder}/{IMAGE}"),
            from: Some(IMAGE.to_owned()),
            looks: Looks::Iso,
            ..FetchFile::default()
        });
    }
    Fetch {
        files,
        ..Fetch::default()
    }
}

/// Where the tree of an image belongs, under `boot_assets`.
pub fn tree_folder(found: &Recognised) -> String {
    format!("{}/{TREE}", found.folder())
}

/// The text of a profile for an image, which starts what is in it and answers none of its questions.
pub fn profile_text(found: &Recognised, with_tree: bool) -> String {
    let fetch = declaration(found);
    let mut text = String::new();
    let _ = writeln!(
        text,
        "# {}, as `bootwright assets add-iso` found it. It starts the installer or live system; without [[answers]]\n# somebody has to answer its questions.",
        line(&found.title)
    );
    if found.needs_tree() && !with_tree {
        let _ = writeln!(
            text,
            "# Variables (in the vars of a host, its groups or the defaults):\n#\n#   install_tree   URL of the tree that the installer takes its packages from; `assets add-iso --tree` brings it"
        );
    }
    let _ = writeln!(text, "\ntitle  = {}", quoted(&found.title));
    let _ = writeln!(text, "family = {}", quoted(found.family));
    let _ = writeln!(text, "arch   = [{}]", quoted(found.arch.as_str()));
    if found.family == "tool" {
        let _ = writeln!(text, "lifecycle = \"once\"");
    }
    let asset = |path: &str| format!("{{{{ asset({}) }}}}", quoted(path));
    let at = |index: usize| fetch.files.get(index).map_or("", |file| file.path.as_str());
    let further = found
        .further
        .first()
        .map_or_else(String::new, |_| asset(at(1 + found.initrd.len())));
    let tree = if with_tree {
        asset(&tree_folder(found))
    } else {
        "{{ vars.install_tree | line }}".to_owned()
    };
    let cmdline = found
        .cmdline
        .replace("{further}", &further)
        .replace("{image}", &asset(&format!("{}/{IMAGE}", found.folder())))
        .replace("{tree}", &tree);
    let initrd: Vec<String> = (1..=found.initrd.len())
        .map(|index| quoted(at(index)))
        .collect();
    let _ = writeln!(
        text,
        "\n[boot]\nkind    = \"linux\"\nkernel  = {}",
        quoted(at(0))
    );
    let _ = writeln!(text, "initrd  = [{}]", initrd.join(", "));
    let _ = writeln!(text, "cmdline = {}", quoted(&cmdline));
    text
}

/// A profile `new` after the one of the same distribution and version, `pattern` with its text: all of it, with files in
/// a folder of its own. `None`: where the pattern's files lie cannot be told from its text.
pub fn profile_after(found: &Recognised, pattern: (&str, &str), new: &str) -> Option<String> {
    let (name, text) = pattern;
    let document = DeTable::parse(text).ok()?;
    let document = document.get_ref();
    let table = |name: &str| match document.get(name)?.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    };
    let DeValue::String(kernel) = table("boot")?.get("kernel")?.get_ref() else {
        return None;
    };
    let (folder, _) = kernel.split_once("{{ arch }}")?;
    if !folder.ends_with('/') || folder.contains("{{") {
        return None;
    }
    let DeValue::Array(files) = table("fetch")?.get("files")?.get_ref() else {
        return None;
    };
    let in_folder = files.iter().all(|file| {
        let path = match file.get_ref() {
            DeValue::Table(file) => file.get("path").map(|path| path.get_ref().clone()),
            _ => None,
        };
        matches!(path, Some(DeValue::String(path)) if path.starts_with(folder))
    });
    if !in_folder {
        return None;
    }
    let mut edited = text.to_owned();
    if let Some(title) = document.get("title") {
        edited.replace_range(title.span(), &quoted(&found.title));
    }
    if new != name {
        edited = edited.replace(folder, &format!("{new}/"));
    }
    // What was edited as text must still be what it was.
    DeTable::parse(&edited).ok()?;
    Some(format!(
        "# {}, as `bootwright assets add-iso` found it; after the profile {name}.\n{edited}",
        line(&found.title)
    ))
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A text that stays on its line.
fn line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// What became of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tree {
    /// Files.
    pub files: usize,
    /// Bytes of them all.
    pub size: u64,
    /// Files and links that were passed over, because of their names or where they lead.
    pub passed_over: usize,
}

/// Copies all that is in an image to a folder under `boot_assets`, which is there whole afterwards; one of the
/// same name is replaced. `name` and `now` are for the manifest.
pub fn copy_tree(
    image_path: &Path,
    folder: &str,
    boot_assets: &Path,
    name: &str,
    now: &str,
    tell: Tell<'_>,
) -> Result<Tree, AssetError> {
    let mut image = open_image(image_path)?;
    let lock = Lock::take(boot_assets)?;
    let staging = lock.staging().join(format!("{name}-tree"));
    let new = staging.join("new");
    let _ = fs::remove_dir_all(&staging);
    let at = |action, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| AssetError::Io {
            action,
            path,
            source,
        }
    };
    make_folders(&new).map_err(at("cannot write", &new))?;
    let nodes: Vec<(String, Node)> = image
        .nodes()
        .iter()
        .map(|(path, node)| (path.clone(), node.clone()))
        .collect();
    let total: u64 = nodes
        .iter()
        .filter_map(|(path, _)| image.file_size(path))
        .sum();
    // Several names may stand for the same bytes, but not for many times the image.
    let most = image.length().saturating_mul(4).saturating_add(64 << 20);
    if total > most {
        return Err(AssetError::Iso {
            path: image_path.to_owned(),
            source: super::iso::IsoError::TooMuch {
                what: "bytes in its files",
                limit: most,
            },
        });
    }
    let told = "the tree".to_owned();
    tell(Step::Begins {
        name: told.clone(),
        have: 0,
        total: Some(total),
    });
    let mut done = Tree {
        files: 0,
        size: 0,
        passed_over: image.passed_over,
    };
    let mut entries: Vec<(String, Entry)> = Vec::new();
    let mut note = |path: &str, file: &Path| -> Result<u64, AssetError> {
        let measured = measure(file, None).map_err(at("cannot read", file))?;
        let entry = Entry {
            size: measured.size,
            sha256: measured.sha256,
            origin: format!("{path} in {}", image_path.display()),
            name: name.to_owned(),
            checked: Checked::Nothing,
            at: now.to_owned(),
        };
        entries.push((format!("{folder}/{path}"), entry));
        Ok(measured.size)
    };
    for (path, node) in &nodes {
        // Links come last, so that nothing is written through one.
        if !matches!(node, Node::File { .. }) {
            continue;
        }
        let target = new.join(path);
        if let Some(parent) = target.parent() {
            make_folders(parent).map_err(at("cannot write", parent))?;
        }
        from_image(image_path, &mut image, path, &target)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o644))
            .map_err(at("cannot write", &target))?;
        done.size = done.size.saturating_add(note(path, &target)?);
        done.files += 1;
        // Some look for it without the dot.
        if path == ".treeinfo" {
            let visible = new.join("treeinfo");
            fs::copy(&target, &visible).map_err(at("cannot write", &visible))?;
            note("treeinfo", &visible)?;
        }
        tell(Step::Bytes {
            name: told.clone(),
            have: done.size,
            total: Some(total),
        });
    }
    for (path, node) in &nodes {
        let Node::Link(to) = node else { continue };
        let target = new.join(path);
        let stays = resolve(path, to).is_some_and(|within| new.join(within).exists());
        let made = stays
            && target
                .parent()
                .is_none_or(|parent| make_folders(parent).is_ok())
            && std::os::unix::fs::symlink(to, &target).is_ok();
        done.passed_over += usize::from(!made);
    }
    File::open(&new)
        .and_then(|folder| nix::unistd::syncfs(folder).map_err(io::Error::from))
        .map_err(at("cannot write", &new))?;
    replace(&new, &boot_assets.join(folder), &staging)?;
    let mut manifest = Manifest::read(boot_assets)?;
    let within = format!("{folder}/");
    manifest.files.retain(|path, _| !path.starts_with(&within));
    manifest.files.extend(entries);
    manifest.write(&lock, boot_assets)?;
    let _ = fs::remove_dir_all(&staging);
    Ok(done)
}

/// Puts a folder in the place of another one, which is taken away.
fn replace(new: &Path, target: &Path, staging: &Path) -> Result<(), AssetError> {
    let writing = |source| AssetError::Io {
        action: "cannot write",
        path: PathBuf::from(target),
        source,
    };
    if let Some(parent) = target.parent() {
        make_folders(parent).map_err(writing)?;
    }
    let old = staging.join("old");
    let had = match fs::rename(target, &old) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(writing(error)),
    };
    fs::rename(new, target).map_err(|error| {
        if had {
            let _ = fs::rename(&old, target);
        }
        writing(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Architecture;

    fn rocky() -> Recognised {
        Recognised {
            distribution: "rocky".to_owned(),
            version: "9.4".to_owned(),
            title: "Rocky \"Linux\" 9.4".to_owned(),
            family: "redhat",
            arch: Architecture::X86_64,
            kernel: "images/pxeboot/vmlinuz".to_owned(),
            initrd: vec!["images/pxeboot/initrd.img".to_owned()],
            further: Vec::new(),
            whole: false,
            cmdline: "inst.repo={tree} ip=dhcp".to_owned(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_profile_of_its_own() {
        assert_eq!(rocky().profile_name(), "rocky-9");
        let text = profile_text(&rocky(), true);
        let table: toml::Table = text.parse().unwrap();
        let boot = table["boot"].as_table().unwrap();
        assert_eq!(table["title"].as_str(), Some("Rocky \"Linux\" 9.4"));
        assert_eq!(boot["kernel"].as_str(), Some("rocky/9.4/x86_64/vmlinuz"));
        assert_eq!(
            boot["cmdline"].as_str(),
            Some("inst.repo={{ asset(\"rocky/9.4/x86_64/tree\") }} ip=dhcp")
        );
        let text = profile_text(&rocky(), false);
        assert!(text.contains("vars.install_tree"), "{text}");
        assert!(text.parse::<toml::Table>().is_ok());
    }

    #[test]
    fn a_profile_after_another_one() {
        let base = "# Installs EL.\ntitle = 'EL 9'\nfamily = \"redhat\"\n[boot]\nkind = \"linux\"\nkernel = \"el/9/{{ arch }}/vmlinuz\"\ninitrd = [\n  \"el/9/{{ arch }}/initrd.img\",\n]\ncmdline = \"inst.stage2={{ asset('el/9/' ~ arch) }} inst.ks={{ answers.url }}\"\n[[answers]]\nname = \"ks.cfg\"\ntemplate = \"ks.j2\"\n[fetch]\nmirror = \"http://x/el/9\"\n[[fetch.files]]\npath = \"el/9/{{ arch }}/vmlinuz\"\n";
        let text = profile_after(&rocky(), ("el-9", base), "lab").unwrap();
        let table: toml::Table = text.parse().unwrap();
        let boot = table["boot"].as_table().unwrap();
        assert_eq!(boot["kernel"].as_str(), Some("lab/{{ arch }}/vmlinuz"));
        assert_eq!(
            boot["initrd"][0].as_str(),
            Some("lab/{{ arch }}/initrd.img")
        );
        assert_eq!(
            boot["cmdline"].as_str(),
            Some("inst.stage2={{ asset('lab/' ~ arch) }} inst.ks={{ answers.url }}")
        );
        assert_eq!(table["answers"].as_array().unwrap().len(), 1);
        assert_eq!(table["fetch"]["mirror"].as_str(), Some("http://x/el/9"));
        assert_eq!(
            table["fetch"]["files"][0]["path"].as_str(),
            Some("lab/{{ arch }}/vmlinuz")
        );
        assert_eq!(table["title"].as_str(), Some("Rocky \"Linux\" 9.4"));
        assert!(text.starts_with("# Rocky \"Linux\" 9.4, as"));

        let again = profile_after(&rocky(), ("el-9", base), "el-9").unwrap();
        assert!(again.contains("el/9/{{ arch }}/vmlinuz"), "{again}");
        let elsewhere = base.replace("path = \"el/9", "path = \"other");
        assert_eq!(profile_after(&rocky(), ("el-9", &elsewhere), "lab"), None);
        let computed = base.replace("el/9/{{ arch }}", "el/{{ vars.release }}/{{ arch }}");
        assert_eq!(profile_after(&rocky(), ("el-9", &computed), "lab"), None);
    }
}
