//! The `fs` vault: files below a directory, as Kubernetes, Docker, systemd and Vault Agent write them.
//!
//! The whole path of a reference names a file, or a file and a field of it (`name`). `beneath` opens files below the
//! directory and nowhere else, `content` reads one, `reader` reads several from one version. All of that blocks, and runs
//! on a thread of the pool.

mod beneath;
mod content;
mod diagnosis;
mod error;
mod listing;
pub mod name;
mod reader;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::backend::{
    Backend, Changes, Descriptor, Diagnosing, Fetched, FetchedGroup, Fetching, FetchingGroup, SecretId, Setup,
};
use crate::error::Result;
use crate::file;
use crate::node::watch::Watch;
use crate::options::{Holds, Opt, Type};
use crate::sync::lock;
use content::FileTrouble;
use error::FsErrorContext;
use name::FileName;
use reader::{Found, FoundGroup};

const OPTIONS: &[Opt] = &[Opt::new("prefix", Type::Text, "directory below which files are read, as an absolute path")
    .pattern("/[^[:cntrl:]]*", "an absolute path")
    .holds(Holds::File)
    .required()];

pub const DESCRIPTOR: Descriptor = Descriptor {
    name: "fs",
    title: "files",
    options: OPTIONS,
    requirements: &[],
    immediate: false,
    files: true,
    batch: 1,
    build,
};

/// How many directories of one vault are watched. Files in further ones are read again after `ttl`.
const MOST_WATCHED: usize = 256;

struct Fs {
    prefix: PathBuf,
    context: FsErrorContext,
    /// How long a fetch waits for its thread.
    patience: Duration,
    /// Whether the vault lives on after the call, so that it watches directories.
    lasts: bool,
    directories: Mutex<BTreeSet<String>>,
    watch: OnceLock<Watch>,
}

fn build(setup: &Setup<'_>) -> Result<Arc<dyn Backend>> {
    let prefix = PathBuf::from(setup.settings.text("prefix").unwrap_or_default());
    Ok(Arc::new(Fs {
        context: FsErrorContext::new(setup.vault, &prefix),
        prefix,
        patience: file::PATIENCE.min(setup.timeout * 9 / 10),
        lasts: setup.lasts,
        directories: Mutex::default(),
        watch: OnceLock::new(),
    }))
}

impl Backend for Fs {
    fn fetch<'a>(&'a self, secret_id: &'a SecretId) -> Fetching<'a> {
        Box::pin(async move { Ok(self.read(secret_id, &[], false).await?.first) })
    }

    fn fetch_group<'a>(&'a self, secret_id: &'a SecretId, others: &'a [SecretId]) -> FetchingGroup<'a> {
        Box::pin(self.read(secret_id, others, others.is_empty()))
    }

    fn changes(&self) -> Option<Changes> {
        if !self.lasts {
            return None;
        }
        let (watch, changes) = Watch::new(&self.prefix);
        for directory in lock(&self.directories).iter() {
            watch.add(directory);
        }
        // A watch that is there already belongs to an earlier caller.
        self.watch.set(watch).ok().map(|()| changes)
    }

    fn diagnose<'a>(&'a self, secret_id: Option<&'a SecretId>) -> Diagnosing<'a> {
        Box::pin(self.walk(secret_id))
    }
}

impl Fs {
    async fn read(&self, secret_id: &SecretId, others: &[SecretId], with_siblings: bool) -> Result<FetchedGroup> {
        if let Some(version) = secret_id.version.filter(|version| *version != 1) {
            return Err(self.context.of_version(version));
        }
        FileName::parse(&secret_id.resource, &self.context.label)?;
        // A missing file may be created later.
        self.watch(&[String::new()]);
        let (prefix, first) = (self.prefix.clone(), secret_id.resource.clone());
        let others: Vec<_> = others.iter().map(|other| other.resource.clone()).collect();
        let outcome = self.on_a_thread(move || read_all(&prefix, &first, &others, with_siblings)).await?;
        let FoundGroup { first, others, siblings } = outcome.map_err(|trouble| self.context.of_prefix(trouble))?;
        let first = match first {
            Ok(found) => self.fetched(found),
            Err(trouble) => return Err(self.context.of_name(&secret_id.resource, trouble)),
        };
        let others = others.into_iter().map(|(place, found)| (place, self.fetched(found))).collect();
        let siblings = siblings.into_iter().map(|(name, found)| (name, self.fetched(found))).collect();
        Ok(FetchedGroup { first, others, siblings })
    }

    fn fetched(&self, found: Found) -> Fetched {
        self.watch(&found.directories);
        let document = Arc::unwrap_or_clone(found.secret);
        Fetched { group: Some(found.group), ..Fetched::new(document) }
    }

    /// Watches directories.
    fn watch(&self, directories: &[String]) {
        let mut known = lock(&self.directories);
        for directory in directories {
            if known.len() < MOST_WATCHED
                && known.insert(directory.clone())
                && let Some(watch) = self.watch.get()
            {
                watch.add(directory);
            }
        }
    }

    /// Runs a job of this vault, one at a time: a file system that hangs occupies one thread.
    async fn on_a_thread<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let key = [b"fs vault ", self.prefix.as_os_str().as_encoded_bytes()].concat();
        file::on_a_thread(&key, self.patience, job).await.map_err(|flaw| self.context.of_thread(flaw))
    }
}

/// Reads a name, and those of the others that belong to its group. It blocks.
fn read_all(
    prefix: &Path,
    first: &str,
    others: &[String],
    with_siblings: bool,
) -> std::result::Result<FoundGroup, FileTrouble> {
    let parse = |name| FileName::parse(name, "").ok();
    let Some(first) = parse(first) else {
        let (others, siblings) = (Vec::new(), Vec::new());
        return Ok(FoundGroup { first: Err(FileTrouble::Missing.into()), others, siblings });
    };
    let others: Vec<_> = others.iter().map(|name| parse(name)).collect();
    let known: Vec<_> = others.iter().enumerate().filter_map(|(place, name)| Some((place, name.clone()?))).collect();
    let names: Vec<_> = known.iter().map(|(_, name)| name.clone()).collect();
    let FoundGroup { first, others, siblings } = reader::read_group(prefix, &first, &names, with_siblings)?;
    let others = others.into_iter().filter_map(|(at, found)| Some((known.get(at)?.0, found))).collect();
    Ok(FoundGroup { first, others, siblings })
}
