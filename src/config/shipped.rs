//! The templates, snippets and files of variables that come with this program. Nobody needs to use them.

/// Their paths under `templates`, one a line.
const PATHS: &str = include_str!("shipped-templates.txt");

/// Whether a file of this path comes with this program.
pub(crate) fn is_shipped(path: &str) -> bool {
    PATHS.lines().any(|line| line == path)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;

    fn files(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries
            .flat_map(|entry| {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    files(&path)
                } else {
                    vec![path]
                }
            })
            .collect()
    }

    #[test]
    fn the_list_is_what_lies_in_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/templates");
        let mut there: Vec<String> = files(&folder)
            .iter()
            .map(|path| path.strip_prefix(&folder).unwrap().display().to_string())
            .collect();
        there.sort();
        let mut listed: Vec<&str> = PATHS.lines().collect();
        listed.sort_unstable();
        assert_eq!(
            listed, there,
            "src/config/shipped-templates.txt lists the files below config/templates"
        );
        assert!(is_shipped("debian/preseed.cfg.j2"));
        assert!(!is_shipped("debian/ours.cfg.j2"));
    }
}
