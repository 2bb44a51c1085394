//! Where files are, as the tools of a repository know them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::check::input::Input;
use kong_vault::environment::Environment;

/// Where a file is.
#[derive(Debug, PartialEq, Eq)]
pub enum Location {
    /// Below the workspace of the pipeline, or else below the current directory.
    Below(PathBuf),
    /// The whole path of a file that is elsewhere.
    Elsewhere(PathBuf),
}

/// The locations of the files that were checked, by their names.
pub struct Locations<'a>(HashMap<&'a str, Location>);

impl<'a> Locations<'a> {
    pub fn of(files: &'a [Input]) -> Self {
        // Both without symbolic links, as they are in the identity of a file.
        let here = std::env::current_dir().unwrap_or_default();
        let workspace = Environment::captured().text("GITHUB_WORKSPACE").map(|path| here.join(path));
        let bases: Vec<_> = workspace.iter().chain([&here]).filter_map(|base| base.canonicalize().ok()).collect();
        Self(files.iter().map(|file| (file.name.as_str(), locate(file, &here, &bases))).collect())
    }

    /// `None` for a name of no file.
    pub fn get(&self, name: &str) -> Option<&Location> {
        self.0.get(name)
    }
}

/// `bases`: the first one that has the file below it counts.
fn locate(file: &Input, here: &Path, bases: &[PathBuf]) -> Location {
    let whole = here.join(&file.identity);
    // A link in the repository to a file elsewhere stands for that file there.
    let named = here.join(&file.name);
    let directory = named.parent().and_then(|directory| directory.canonicalize().ok());
    let named = directory.zip(named.file_name()).map(|(directory, name)| directory.join(name));
    let below = |base: &PathBuf| {
        let relative = |path: &PathBuf| path.strip_prefix(base).ok().map(Path::to_owned);
        relative(&whole).or_else(|| relative(named.as_ref()?))
    };
    bases.iter().find_map(below).map_or(Location::Elsewhere(whole.clone()), Location::Below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_is_below_the_first_directory_that_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        let at = |path: &str| root.join(path);
        for path in ["work/conf", "here", "far"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        for path in ["work/conf/a.yml", "here/b.yml", "far/c.yml"] {
            std::fs::write(at(path), "").unwrap();
        }
        symlink(at("work/conf"), at("here/conf")).unwrap();
        symlink(at("far/c.yml"), at("work/c.yml")).unwrap();
        let bases = [at("work"), at("here")];
        let locate = |path: &Path| locate(&Input::of(path, Vec::new(), None), &at("here"), &bases);
        for (path, wanted) in [
            (at("work/conf/a.yml"), Location::Below("conf/a.yml".into())),
            (at("here/conf/a.yml"), Location::Below("conf/a.yml".into())),
            // `..` is that of the directory to which a link leads.
            (at("here/conf/../c.yml"), Location::Below("c.yml".into())),
            (at("here/conf/../../here/b.yml"), Location::Below("b.yml".into())),
            (at("far/c.yml"), Location::Elsewhere(at("far/c.yml"))),
            ("gone.yml".into(), Location::Below("gone.yml".into())),
        ] {
            assert_eq!(locate(&path), wanted, "{}", path.display());
        }
    }
}
