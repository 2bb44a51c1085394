//! AWS's shared profile files, and the profile chosen in them. The files are read here, so that an error can say which of
//! them this worker may not read; what is in them is aws-config's to parse.

mod recipe;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_types::os_shim_internal::{Env, Fs};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::files::{self, Unread};
use super::region::set;
use crate::backend::file::{self, Flaw};
use crate::environment::Environment;
use crate::redact;

pub use recipe::{Base, Named, Recipe, SignOn, WebIdentity};

/// What a profile may say beside credentials, and what is asked for here.
const PROPERTIES: [&str; 6] = [
    "region",
    "use_fips_endpoint",
    "use_dualstack_endpoint",
    "ec2_metadata_service_endpoint",
    "ec2_metadata_service_endpoint_mode",
    "ec2_metadata_v1_disabled",
];

/// The files of one vault and the profile chosen in them.
pub struct Profiles {
    name: String,
    /// Whether the environment names it: then it has to be there.
    named: bool,
    /// The credentials file wins over the config file.
    files: [Place; 2],
    known: Mutex<Option<(Stamps, Arc<Profile>)>>,
}

/// What the chosen profile says.
pub struct Profile {
    /// Where a region could be set, for error texts.
    pub origin: String,
    properties: HashMap<&'static str, String>,
    pub recipe: Result<Recipe, Unfit>,
}

/// Why a profile gives no credentials: a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It has none: the next source is asked.
    Absent(String),
    /// It is to give some and can't: the next source would be somebody else.
    Broken(String),
}

impl Profile {
    /// What it says of a matter other than credentials.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }
}

struct Place {
    kind: EnvConfigFileKind,
    /// None where there is neither the variable nor a home.
    path: Option<PathBuf>,
    variable: &'static str,
}

/// What a file's status says of its content: the same stamp, the same content.
#[derive(Clone, PartialEq, Eq)]
enum Stamp {
    File { device: u64, inode: u64, length: u64, modified: (i64, i64), changed: (i64, i64) },
    None(Flaw),
}

type Stamps = [Stamp; 2];

impl Profiles {
    pub fn new(environment: &Environment) -> Self {
        let home = set(environment, "HOME").map(Path::new);
        let place = |kind, variable, usual: &str| Place {
            kind,
            path: match set(environment, variable) {
                Some(path) => match (path.strip_prefix("~/"), home) {
                    (Some(rest), Some(home)) => Some(home.join(rest)),
                    _ => Some(PathBuf::from(path)),
                },
                None => home.map(|home| home.join(usual)),
            },
            variable,
        };
        let name = set(environment, "AWS_PROFILE");
        Self {
            name: name.unwrap_or("default").to_owned(),
            named: name.is_some(),
            files: [
                place(EnvConfigFileKind::Credentials, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
                place(EnvConfigFileKind::Config, "AWS_CONFIG_FILE", ".aws/config"),
            ],
            known: Mutex::new(None),
        }
    }

    /// The profile as it is now. The files' status is asked each time, so that a rotated key is seen at once; they are
    /// read again only where it changed.
    pub async fn current(&self) -> Arc<Profile> {
        let mut known = self.known.lock().await;
        let patience = if known.is_some() { file::PATIENCE_FOR_RENEWAL } else { file::PATIENCE };
        let [credentials, config] = &self.files;
        let (credentials, config) = tokio::join!(credentials.stamp(patience), config.stamp(patience));
        let stamps = credentials.and_then(|credentials| Ok([credentials, config?]));
        match (&*known, &stamps) {
            (Some((of, profile)), Ok(stamps)) if of == stamps => return profile.clone(),
            // Where a file does not answer, what it said last stands.
            (Some((_, profile)), Err(_)) => return profile.clone(),
            _ => {}
        }
        let loaded = match stamps {
            Ok(stamps) => self.load().await.map(|profile| (stamps, Arc::new(profile))),
            Err(clause) => Err(clause),
        };
        match (loaded, &*known) {
            (Ok(loaded), _) => known.insert(loaded).1.clone(),
            (Err(_), Some((_, profile))) => profile.clone(),
            // Whoever else there is, is somebody else.
            (Err(clause), None) => Arc::new(Profile { recipe: Err(Unfit::Broken(clause)), ..self.nothing() }),
        }
    }

    fn nothing(&self) -> Profile {
        let origin = format!("profile {} in {}", self.name, self.files[1].name());
        Profile { origin, properties: HashMap::new(), recipe: Err(Unfit::Absent(String::new())) }
    }

    /// Fails, with a clause, where a file does not answer.
    async fn load(&self) -> Result<Profile, String> {
        let mut profile = self.nothing();
        let mut builder = EnvConfigFiles::builder();
        let mut remarks = Vec::new();
        // The parser lets the later file win.
        for place in self.files.iter().rev() {
            let mut text = Zeroizing::new(String::new());
            match place.read().await {
                Ok(content) => text = content,
                Err(unread) if unread.at_the_moment => return Err(unread.clause),
                Err(unread) => remarks.insert(0, unread.clause),
            }
            builder = builder.with_contents(place.kind, std::mem::take(&mut *text));
        }
        let name = Cow::Owned(self.name.clone());
        let parsed =
            aws_config::profile::load(&Fs::from_slice(&[]), &Env::from_slice(&[]), &builder.build(), Some(name)).await;
        // The parser's reason is left out: it may quote the line.
        let Ok(profiles) = parsed else {
            let names = self.files.each_ref().map(Place::name).join(" or ");
            profile.recipe = Err(Unfit::Broken(format!("a line of {names} is malformed")));
            return Ok(profile);
        };
        for name in PROPERTIES {
            let text = profiles.get(name).filter(|text| !recipe::goes_on(text));
            if let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) {
                profile.properties.insert(name, text.to_owned());
            }
        }
        profile.recipe = recipe::of(&profiles, &self.name).map_err(|unfit| match unfit {
            Unfit::Absent(reason) => {
                remarks.insert(0, reason);
                let reason = remarks.join(", ");
                // Who names a profile does not mean whoever else there is.
                if self.named { Unfit::Broken(reason) } else { Unfit::Absent(reason) }
            }
            broken => broken,
        });
        Ok(profile)
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Place {
    fn name(&self) -> String {
        match &self.path {
            Some(path) => redact::likely_path(path),
            None => format!("the file of {}", self.variable),
        }
    }

    /// Fails, with a clause, where the file does not answer.
    async fn stamp(&self, patience: Duration) -> Result<Stamp, String> {
        let Some(path) = &self.path else { return Ok(Stamp::None(Flaw::Missing)) };
        match file::status(path, patience).await {
            Ok(status) => Ok(Stamp::of(&status)),
            Err(flaw @ (Flaw::Hangs | Flaw::Busy(_))) => Err(format!("{} {flaw}", redact::likely_path(path))),
            Err(flaw) => Ok(Stamp::None(flaw)),
        }
    }

    /// The file's text, or a clause that says why it can't be had.
    async fn read(&self) -> Result<Zeroizing<String>, Unread> {
        match &self.path {
            Some(path) => files::read(path).await,
            None => {
                let clause = format!("no file, as neither HOME nor {} is set", self.variable);
                Err(Unread { clause, at_the_moment: false })
            }
        }
    }
}

impl Stamp {
    fn of(status: &Metadata) -> Self {
        Stamp::File {
            device: status.dev(),
            inode: status.ino(),
            length: status.len(),
            modified: (status.mtime(), status.mtime_nsec()),
            changed: (status.ctime(), status.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests;
