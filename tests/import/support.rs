//! What the tests of all formats need.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use bootwright::import::{ImportError, Imported, Source, write};

/// The files below `tests/import/samples` whose names begin so, sorted.
pub(crate) fn samples(below: &str) -> Vec<Source> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/samples");
    let mut files = Vec::new();
    collect(&base.join(below), &mut files);
    assert!(!files.is_empty(), "no samples in {below}");
    files.sort();
    files
        .into_iter()
        .map(|path| Source {
            text: std::fs::read_to_string(&path).unwrap(),
            name: path.strip_prefix(&base).unwrap().display().to_string(),
        })
        .collect()
}

fn collect(path: &Path, files: &mut Vec<std::path::PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else {
        files.push(path.to_owned());
    }
}

/// One text.
pub(crate) fn source(name: &str, text: &str) -> Vec<Source> {
    vec![Source {
        name: name.to_owned(),
        text: text.to_owned(),
    }]
}

/// All of a result, as people would read it.
pub(crate) fn shown(read: Result<Imported, ImportError>) -> String {
    let imported = match read {
        Ok(imported) => imported,
        Err(error) => return format!("refused: {error}\n"),
    };
    let mut text = imported.reservations().unwrap();
    for (title, more) in [("subnets", write::subnets(&imported.subnets))] {
        if !more.is_empty() {
            let _ = write!(text, "\n# --- {title}\n\n{more}");
        }
    }
    if !imported.left.is_empty() {
        text.push_str("\n# --- left\n\n");
        for left in &imported.left {
            let _ = writeln!(
                text,
                "{}:{}: {}\n    {}",
                left.file, left.line, left.what, left.why
            );
        }
    }
    text
}

/// Whether a text is a reservations file that can be read.
pub(crate) fn assert_is_toml(imported: &Imported) {
    let text = imported.reservations().unwrap();
    let table: toml::Table =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let count = |key: &str| {
        table
            .get(key)
            .map_or(0, |table| table.as_table().unwrap().len())
    };
    assert_eq!(count("hosts"), imported.hosts.len(), "{text}");
    let mut owners = BTreeMap::new();
    for host in &imported.hosts {
        let nics = host.nics.iter();
        let macs = nics.clone().flat_map(|nic| &nic.macs).chain(&host.macs);
        let ips = nics.filter_map(|nic| nic.ip).chain(host.ip);
        let all = macs
            .map(ToString::to_string)
            .chain(ips.map(|ip| ip.to_string()));
        for address in all {
            let owner = owners.entry(address).or_insert(&host.name);
            assert_eq!(*owner, &host.name, "{text}");
        }
    }
    assert_eq!(count("groups"), imported.groups.len(), "{text}");
    let subnets = write::subnets(&imported.subnets);
    toml::from_str::<toml::Table>(&subnets).unwrap_or_else(|error| panic!("{error}\n{subnets}"));
}
