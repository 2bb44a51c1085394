//! Reads several secrets from one version of a directory: two keys of a Kubernetes volume, or two fields of one file.
//!
//! Kubernetes keeps a volume's files in a hidden directory. The link `..data` leads to it, and each visible name is a link
//! through `..data`. An update points `..data` to another directory in one step. So a reader opens `..data` once, and
//! reads all keys through the open directory. It blocks.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::beneath::Dir;
use super::content::{self, FileState, FileTrouble, LARGEST};
use super::listing;
use super::name::{FileName, Reading};
use crate::cache::document::{Document, GroupVersion};
use crate::error::Error;
use crate::secret::Secret;

/// The link to the directory with a volume's files.
const DATA: &str = "..data";

/// How long a volume is tried that is replaced during each read, how many tries have no pause, and the pause after them.
const PATIENCE: Duration = Duration::from_millis(250);
const AT_ONCE: u32 = 8;
const PAUSE: Duration = Duration::from_millis(1);

/// The most files, and bytes in all, of a directory that is read as one object.
const MOST_LISTED: usize = 1024;
const MOST_LISTED_BYTES: u64 = 4 * LARGEST;

/// The most keys, and bytes in all, of a volume whose keys are read along with the first one.
const MOST_SIBLINGS: usize = 32;
const MOST_SIBLING_BYTES: usize = 256 * 1024;

/// The secret of a name.
#[derive(Debug)]
pub struct Found {
    pub secret: Arc<Secret>,
    pub group: GroupVersion,
    /// The path of the volume or file that is replaced as a whole.
    place: String,
    /// The directories on the way, as paths below the root: changes in them can change the value.
    pub directories: Vec<String>,
}

/// Why a name has no secret.
#[derive(Debug, Clone)]
pub enum Trouble {
    File(FileTrouble),
    /// The volume was replaced during the read: everything must be read again.
    Replaced,
    /// The field can't be picked from the file.
    Field(Error),
    /// The directory has too many or too large files to be read as one object.
    TooMany,
}

impl<T: Into<FileTrouble>> From<T> for Trouble {
    fn from(trouble: T) -> Self {
        Self::File(trouble.into())
    }
}

/// A file as it was read.
#[derive(Clone)]
struct FileRead {
    document: Arc<Document>,
    group: GroupVersion,
    place: String,
}

/// A volume, and the directory that `..data` led to.
struct Volume {
    data: Dir,
    state: FileState,
    name: String,
}

/// Reads from one version of a directory.
struct Reader {
    root: Dir,
    /// By a directory's path: the volume, if it is one.
    volumes: BTreeMap<String, Option<Arc<Volume>>>,
    /// By their paths.
    files: BTreeMap<String, Result<FileRead, Trouble>>,
}

/// The secret of a name, and those of other names in its group, each with its place in the list of names.
#[derive(Debug)]
pub struct FoundGroup {
    pub first: Result<Found, Trouble>,
    pub others: Vec<(usize, Found)>,
    /// The other keys of its volume, with their names.
    pub siblings: Vec<(String, Found)>,
}

/// Reads a name in the directory `root`, and those of `others` that belong to its group, all from one version. If a volume
/// is replaced meanwhile, it reads everything again. `with_siblings`: it also reads the other keys of the name's volume.
pub fn read_group(
    root: &Path,
    name: &FileName<'_>,
    others: &[FileName<'_>],
    with_siblings: bool,
) -> Result<FoundGroup, FileTrouble> {
    let (start, mut attempts) = (Instant::now(), 0);
    loop {
        let mut reader = Reader { root: Dir::open(root)?, volumes: BTreeMap::new(), files: BTreeMap::new() };
        let first = reader.find(name);
        let mut is_replaced = matches!(first, Err(Trouble::Replaced));
        let (mut found, mut siblings) = (Vec::new(), Vec::new());
        if let Ok(first) = &first {
            match with_siblings.then(|| reader.siblings(name, first)) {
                Some(Ok(all)) => siblings = all,
                Some(Err(_)) => is_replaced = true,
                None => {}
            }
            for (place, other) in others.iter().enumerate().filter(|(_, other)| is_below(other, &first.place)) {
                match reader.find(other) {
                    Ok(other) if other.group.group == first.group.group => found.push((place, other)),
                    Err(Trouble::Replaced) => is_replaced = true,
                    _ => {}
                }
            }
        }
        if !is_replaced {
            return Ok(FoundGroup { first, others: found, siblings });
        }
        attempts += 1;
        if start.elapsed() > PATIENCE {
            return Err(FileTrouble::Moves);
        }
        if attempts >= AT_ONCE {
            std::thread::sleep(PAUSE);
        }
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Whether a name is the path `place`, or lies below it.
fn is_below(name: &FileName<'_>, place: &str) -> bool {
    let mut parts = name.parts().iter();
    place.split('/').filter(|part| !part.is_empty()).all(|part| parts.next() == Some(&part))
}

impl Reader {
    fn find(&mut self, name: &FileName<'_>) -> Result<Found, Trouble> {
        if name.is_listing {
            return self.list(name);
        }
        for reading in name.readings() {
            match self.file(&reading) {
                Ok(read) => {
                    let field = reading.field.as_deref().map(str::as_bytes);
                    let secret = read.document.pick(field, false).map_err(Trouble::Field)?;
                    let directories = directories(reading.file);
                    return Ok(Found { secret, group: read.group, place: read.place, directories });
                }
                // A shorter path may lead to the file.
                Err(Trouble::File(FileTrouble::BelowFile)) => {}
                Err(other) => return Err(other),
            }
        }
        Err(FileTrouble::BelowFile.into())
    }

    fn file(&mut self, reading: &Reading<'_>) -> Result<FileRead, Trouble> {
        let path = reading.file.join("/");
        if let Some(known) = self.files.get(&path) {
            return known.clone();
        }
        let read = self.read_file(reading.file, &path);
        self.files.insert(path, read.clone());
        read
    }

    fn read_file(&mut self, parts: &[&str], path: &str) -> Result<FileRead, Trouble> {
        if let Some((volume, depth)) = self.volume_of(parts)? {
            match content::read_settled(&volume.data, &parts[depth..].join("/")) {
                Ok(content) => {
                    let (group, version) = (hash(("volume", &volume.name)), volume.state.number());
                    let group = GroupVersion { group, version, has_siblings: true };
                    let document = Arc::new(Document::new(content.secret));
                    return Ok(FileRead { document, group, place: volume.name.clone() });
                }
                // The open directory may have been removed.
                Err(FileTrouble::Missing) if !self.is_current(&volume) => return Err(Trouble::Replaced),
                // The file lies beside the volume's own files, or its link leads elsewhere.
                Err(FileTrouble::Missing | FileTrouble::Outside) => {}
                Err(other) => return Err(other.into()),
            }
        }
        let content = content::read(&self.root, path)?;
        let (group, version) = (hash(("file", path)), content.state.number());
        let group = GroupVersion { group, version, has_siblings: false };
        let document = Arc::new(Document::new(content.secret));
        Ok(FileRead { document, group, place: path.to_owned() })
    }

    /// Reads all files of a directory as a JSON object. Kong's own functions pick fields from it, as they know no
    /// directories.
    fn list(&mut self, name: &FileName<'_>) -> Result<Found, Trouble> {
        let parts = name.parts();
        match self.file(&Reading { file: parts, field: None }) {
            Err(Trouble::File(FileTrouble::Directory)) => {}
            Ok(read) => {
                let secret = read.document.pick(None, false).map_err(Trouble::Field)?;
                return Ok(Found { secret, group: read.group, place: read.place, directories: directories(parts) });
            }
            Err(other) => return Err(other),
        }
        let path = parts.join("/");
        let names = self.root.directory(&path)?.names()?;
        let names: Vec<_> = names.iter().filter(|name| *name != "." && !name.starts_with("..")).collect();
        if names.len() > MOST_LISTED {
            return Err(Trouble::TooMany);
        }
        let (mut fields, mut left) = (Vec::new(), MOST_LISTED_BYTES);
        let mut group = GroupVersion { group: hash(("directory", &path)), version: 0, has_siblings: false };
        for name in names {
            let file: Vec<_> = parts.iter().copied().chain([name.as_str()]).collect();
            let read = match self.file(&Reading { file: &file, field: None }) {
                Ok(read) => read,
                Err(Trouble::Replaced) => return Err(Trouble::Replaced),
                // A file that can't be read is no field.
                Err(_) => continue,
            };
            left = left.checked_sub(read.document.whole().len() as u64).ok_or(Trouble::TooMany)?;
            group.version = hash((group.version, name, read.group.version));
            fields.push((name.clone(), read.document));
        }
        let mut directories = directories(parts);
        directories.push(path.clone());
        Ok(Found { secret: Arc::new(listing::object(&fields)), group, place: path, directories })
    }

    /// Reads the other keys of the first one's volume; none if there are many, or if they are large. An error says that
    /// the volume was replaced meanwhile.
    fn siblings(&mut self, name: &FileName<'_>, first: &Found) -> Result<Vec<(String, Found)>, Trouble> {
        let Some(Some(volume)) = self.volumes.get(&first.place).cloned() else { return Ok(Vec::new()) };
        let keys = volume.data.names().unwrap_or_default();
        let keys: Vec<_> = keys.into_iter().filter(|key| key != "." && !key.starts_with("..")).collect();
        if keys.len() > MOST_SIBLINGS {
            return Ok(Vec::new());
        }
        let (mut siblings, mut left) = (Vec::new(), MOST_SIBLING_BYTES);
        for key in keys {
            let path = if volume.name.is_empty() { key } else { format!("{}/{key}", volume.name) };
            let Ok(sibling) = FileName::parse(&path, "") else { continue };
            if sibling.parts() == name.parts() {
                continue;
            }
            let found = match self.find(&sibling) {
                Ok(found) if found.group == first.group => found,
                Err(Trouble::Replaced) => return Err(Trouble::Replaced),
                // Its own fetch says why it can't be read.
                _ => continue,
            };
            match left.checked_sub(found.secret.len()) {
                Some(rest) => left = rest,
                None => return Ok(Vec::new()),
            }
            siblings.push((path, found));
        }
        Ok(siblings)
    }

    /// The outermost volume that a file lies in, and how many parts of the path lead to it.
    fn volume_of(&mut self, parts: &[&str]) -> Result<Option<(Arc<Volume>, usize)>, Trouble> {
        for depth in 0..parts.len() {
            if let Some(volume) = self.volume(&parts[..depth].join("/"))? {
                return Ok(Some((volume, depth)));
            }
        }
        Ok(None)
    }

    fn volume(&mut self, path: &str) -> Result<Option<Arc<Volume>>, Trouble> {
        if let Some(known) = self.volumes.get(path) {
            return Ok(known.clone());
        }
        let volume = self.open_volume(path)?.map(Arc::new);
        self.volumes.insert(path.to_owned(), volume.clone());
        Ok(volume)
    }

    /// `None` where the directory is no volume.
    fn open_volume(&self, path: &str) -> Result<Option<Volume>, Trouble> {
        // Opening a file below it fails as well, and says why.
        let Ok(directory) = self.root.directory(path) else { return Ok(None) };
        if !directory.has_link(DATA) {
            return Ok(None);
        }
        match directory.directory(DATA) {
            Ok(data) => {
                let (state, _) = FileState::of(&data)?;
                Ok(Some(Volume { data, state, name: path.to_owned() }))
            }
            // The target was removed after the kernel had read the link.
            Err(Errno::NOENT) => Err(Trouble::Replaced),
            Err(other) => Err(other.into()),
        }
    }

    /// Whether `..data` still leads to the directory that was opened.
    fn is_current(&self, volume: &Volume) -> bool {
        matches!(self.open_volume(&volume.name), Ok(Some(now)) if now.state == volume.state)
    }
}

/// The directories on the way to a file.
fn directories(file: &[&str]) -> Vec<String> {
    (0..file.len()).map(|depth| file[..depth].join("/")).collect()
}
