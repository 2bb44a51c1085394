//! Credentials and region from AWS's shared profile files. The files are read here, so that an error can say which of
//! them this worker may not read; what is in them is aws-config's to parse.

use std::borrow::Cow;
use std::fs::Metadata;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_config::profile::ProfileSet;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_types::os_shim_internal::{Env, Fs};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::credentials::{Absence, Login, login};
use super::endpoint::set;
use crate::environment::Environment;

/// Far above any profile file.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// What a profile may hold in place of keys, none of which can be used yet.
const OTHER_WAYS: [&str; 7] = [
    "role_arn",
    "credential_source",
    "web_identity_token_file",
    "sso_session",
    "sso_start_url",
    "credential_process",
    "login_session",
];

/// The files of one vault and the profile chosen in them.
pub struct Profiles {
    name: String,
    /// The credentials file wins over the config file.
    files: [Place; 2],
    known: Mutex<Option<(Stamps, Arc<Profile>)>>,
}

/// What the chosen profile says.
#[derive(Debug)]
pub struct Profile {
    /// Where a region could be set, for error texts.
    pub origin: String,
    pub region: Option<String>,
    pub login: Result<Login, Absence>,
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
    None(ErrorKind),
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
        Self {
            name: set(environment, "AWS_PROFILE").unwrap_or("default").to_owned(),
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
        let stamps = self.files.each_ref().map(Place::stamp);
        if let Some((of, profile)) = &*known
            && *of == stamps
        {
            return profile.clone();
        }
        let profile = Arc::new(self.load().await);
        *known = Some((stamps, profile.clone()));
        profile
    }

    async fn load(&self) -> Profile {
        let origin = format!("profile {} in {}", self.name, self.files[1].name());
        let nothing = |absence| Profile { origin: origin.clone(), region: None, login: Err(absence) };
        let mut builder = EnvConfigFiles::builder();
        let mut remarks = Vec::new();
        // The parser lets the later file win.
        for place in self.files.iter().rev() {
            let mut text = Zeroizing::new(String::new());
            match place.read() {
                Ok(content) => text = content,
                Err(remark) => remarks.insert(0, remark),
            }
            builder = builder.with_contents(place.kind, std::mem::take(&mut *text));
        }
        let name = Cow::Owned(self.name.clone());
        let parsed =
            aws_config::profile::load(&Fs::from_slice(&[]), &Env::from_slice(&[]), &builder.build(), Some(name)).await;
        // The parser's reason is left out: it may quote the line.
        let Ok(profiles) = parsed else {
            let names = self.files.each_ref().map(Place::name).join(" or ");
            return nothing(format!("profile {}: a line of {names} is malformed", self.name));
        };
        let region = profiles.get("region").map(str::trim).filter(|region| !region.is_empty()).map(str::to_owned);
        let login = self.login(&profiles).map_err(|reason| {
            remarks.insert(0, reason);
            format!("profile {}: {}", self.name, remarks.join(", "))
        });
        Profile { origin, region, login }
    }

    fn login(&self, profiles: &ProfileSet) -> Result<Login, Absence> {
        let Some(profile) = profiles.get_profile(&self.name) else {
            return Err("not found".to_owned());
        };
        let property = |name| profile.get(name).map(str::trim).filter(|value| !value.is_empty());
        let unsupported = |name| Err(format!("it uses {name}, which is not supported"));
        if property("role_arn").is_some() {
            return unsupported("role_arn");
        }
        match (property("aws_access_key_id"), property("aws_secret_access_key")) {
            (Some(id), Some(key)) => {
                let origin = format!("profile {}", self.name);
                login(origin, id, key, property("aws_session_token"))
            }
            (Some(_), None) => Err("it has no aws_secret_access_key".to_owned()),
            (None, Some(_)) => Err("it has no aws_access_key_id".to_owned()),
            (None, None) => match OTHER_WAYS.into_iter().find(|name| property(name).is_some()) {
                Some(name) => unsupported(name),
                None => Err("it has no aws_access_key_id and aws_secret_access_key".to_owned()),
            },
        }
    }
}

impl Place {
    fn name(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => format!("the file of {}", self.variable),
        }
    }

    fn stamp(&self) -> Stamp {
        let Some(path) = &self.path else {
            return Stamp::None(ErrorKind::NotFound);
        };
        match std::fs::metadata(path) {
            Ok(status) => Stamp::of(&status),
            Err(error) => Stamp::None(error.kind()),
        }
    }

    /// The file's text, or a clause that says why it can't be had.
    fn read(&self) -> Result<Zeroizing<String>, String> {
        let Some(path) = &self.path else {
            return Err(format!("no file, as neither HOME nor {} is set", self.variable));
        };
        let clause = |what: &str| format!("{} {what}", path.display());
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => clause("does not exist"),
            ErrorKind::PermissionDenied => clause("is not readable by this process's user"),
            ErrorKind::InvalidData => clause("is no UTF-8 text"),
            kind => clause(&format!("is not readable: {kind}")),
        };
        // A FIFO would hold up every fetch.
        let status = std::fs::metadata(path).map_err(failed)?;
        if !status.is_file() {
            return Err(clause("is no regular file"));
        }
        if status.len() > SIZE_LIMIT {
            return Err(clause("is too large for a profile file"));
        }
        let mut text = Zeroizing::new(String::with_capacity(status.len() as usize + 1));
        std::fs::File::open(path).and_then(|file| file.take(SIZE_LIMIT).read_to_string(&mut text)).map_err(failed)?;
        Ok(text)
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
