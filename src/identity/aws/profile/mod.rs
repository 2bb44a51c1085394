//! AWS's shared profile files, and the profile chosen in them. If the profile can't be known for certain, all requests
//! are refused: it might name another server, or other credentials.

mod ini;
mod set;
mod source_chain;
mod unfit;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::client::shown;
use super::region::set as set_to;
use crate::environment::Environment;
use crate::error::Kind;
use crate::file::{self, FileFlaw, FileStamp};
use crate::identity::files::{self, FileState, Unread};
use crate::redact;
use ini::Malformed;
use set::{Amiss, ProfileSet};

pub use source_chain::{Base, Named, SignOn, SourceChain, WebIdentity};
pub use unfit::Unfit;

/// The keys of a profile that are used, besides those for credentials.
const PROPERTIES: [&str; 11] = [
    "region",
    "use_fips_endpoint",
    "use_dualstack_endpoint",
    "ec2_metadata_service_endpoint",
    "ec2_metadata_service_endpoint_mode",
    "ec2_metadata_v1_disabled",
    "endpoint_url",
    "services",
    "ignore_configured_endpoint_urls",
    "ca_bundle",
    "sts_regional_endpoints",
];

/// The services whose addresses a section of `services` may set.
const SERVICES: [&str; 4] = ["secrets_manager", "sts", "sso", "sso_oidc"];

/// The variables that choose a profile, in the order of AWS's command line.
const CHOOSERS: [&str; 2] = ["AWS_DEFAULT_PROFILE", "AWS_PROFILE"];

/// The files of one vault and the profile chosen in them.
pub struct Profiles {
    name: String,
    /// The variable that names the profile: then the profile must exist.
    chosen_by: Option<&'static str>,
    /// The credentials file has priority over the config file.
    files: [ProfileFile; 2],
    /// The limit of the whole fetch that a profile is read for.
    timeout: Duration,
    known: Mutex<Option<(ProfileStamps, Arc<Profile>)>>,
}

/// The chosen profile.
pub struct Profile {
    /// Where a region could be set, for error texts.
    pub origin: String,
    /// Why the files, or the profile, were not found: clauses.
    pub remarks: Vec<String>,
    /// Whether there is a file that this process may not read.
    pub is_closed: bool,
    /// Whether a file has the profile.
    pub is_found: bool,
    /// Why no request may be sent.
    pub refusal: Option<(Kind, String)>,
    settings: HashMap<&'static str, ProfileSetting>,
    endpoints: HashMap<&'static str, ProfileSetting>,
    /// What is wrong with the section of `services` that the profile names.
    no_services: Option<String>,
    /// Whether the profile is a role that is assumed with other credentials.
    pub assumes: bool,
    /// Its settings for a web identity.
    pub web: Web,
    pub source_chain: Result<SourceChain, Unfit>,
}

/// A profile's settings for a web identity; the environment may have the others.
#[derive(Default)]
pub struct Web {
    pub token_file: Option<PathBuf>,
    pub role_arn: Option<String>,
    pub session: Option<String>,
}

struct ProfileSetting {
    text: String,
    /// `endpoint_url of profile prod (/x/config, line 3)`.
    origin: String,
}

impl Default for Profile {
    /// A profile without settings.
    fn default() -> Self {
        Self {
            origin: String::new(),
            remarks: Vec::new(),
            is_closed: false,
            is_found: false,
            refusal: None,
            settings: HashMap::new(),
            endpoints: HashMap::new(),
            no_services: None,
            assumes: false,
            web: Web::default(),
            source_chain: Err(Unfit::Absent(String::new())),
        }
    }
}

impl Profile {
    /// The value of a key that is not for credentials.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.setting(name).map(|(text, _)| text)
    }

    /// The same, with its origin.
    pub fn setting(&self, name: &str) -> Option<(&str, &str)> {
        self.settings.get(name).map(|setting| (setting.text.as_str(), setting.origin.as_str()))
    }

    /// A service's address and its origin, or a clause that says what is wrong.
    pub fn endpoint(&self, service: &str) -> Result<Option<(&str, &str)>, &str> {
        if let Some(reason) = &self.no_services {
            return Err(reason);
        }
        let own = self.endpoints.get(service).map(|setting| (setting.text.as_str(), setting.origin.as_str()));
        Ok(own.or_else(|| self.setting("endpoint_url")))
    }

    fn refuse(&mut self, kind: Kind, reason: String) {
        self.source_chain = Err(Unfit::Broken(reason.clone()));
        self.refusal.get_or_insert((kind, reason));
    }
}

struct ProfileFile {
    /// `None` where neither the variable nor `HOME` is set.
    path: Option<PathBuf>,
    variable: &'static str,
}

/// Each file's stamp, or why it has none.
type ProfileStamps = [Result<FileStamp, FileFlaw>; 2];

impl Profiles {
    pub fn new(environment: &Environment, timeout: Duration) -> Self {
        let home = set_to(environment, "HOME").map(Path::new);
        let place = |variable, usual: &str| ProfileFile {
            path: match set_to(environment, variable) {
                Some(path) => match (path.strip_prefix("~/"), home) {
                    (Some(rest), Some(home)) => Some(home.join(rest)),
                    _ => Some(PathBuf::from(path)),
                },
                None => home.map(|home| home.join(usual)),
            },
            variable,
        };
        let chosen = CHOOSERS.into_iter().find_map(|variable| Some((variable, set_to(environment, variable)?)));
        Self {
            name: chosen.map_or("default", |(_, name)| name).to_owned(),
            chosen_by: chosen.map(|(variable, _)| variable),
            files: [place("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"), place("AWS_CONFIG_FILE", ".aws/config")],
            timeout,
            known: Mutex::new(None),
        }
    }

    /// The profile as it is now. The files' status is read each time, so that a rotated key is noticed at once; their
    /// content is read again only after a change.
    pub async fn current(&self) -> Arc<Profile> {
        let mut known = self.known.lock().await;
        let patience = if known.is_some() { file::patience_for_renewal(self.timeout) } else { file::PATIENCE };
        let [credentials, config] = &self.files;
        let (credentials, config) = tokio::join!(credentials.stamp(patience), config.stamp(patience));
        let stamps = credentials.and_then(|credentials| Ok([credentials, config?]));
        match (&*known, &stamps) {
            (Some((of, profile)), Ok(stamps)) if of == stamps => return profile.clone(),
            // While a file does not answer, its last content stays in use.
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
            // Another source would be another identity.
            (Err(clause), None) => {
                let mut nothing = self.nothing();
                nothing.refuse(Kind::Unavailable, format!("{clause}: try again"));
                Arc::new(nothing)
            }
        }
    }

    fn nothing(&self) -> Profile {
        let origin = format!("profile {} in {}", shown(&self.name), self.file(set::CONFIG));
        Profile { origin, ..Profile::default() }
    }

    /// Fails, with a clause, where a file does not answer.
    async fn load(&self) -> Result<Profile, String> {
        let mut profile = self.nothing();
        let mut read = [Vec::new(), Vec::new()];
        for (place, sections) in self.files.iter().zip(&mut read) {
            match place.read_text().await {
                Ok(text) => match ini::parse(&text) {
                    Ok(parsed) => *sections = parsed,
                    Err(Malformed { line, what }) => {
                        let reason = format!("{} is malformed: line {line} {what}: correct it", place.name());
                        profile.refuse(Kind::Config, reason);
                    }
                },
                Err(Unread { clause, state: FileState::Silent }) => return Err(clause),
                Err(Unread { clause, state: FileState::Unfit }) => {
                    profile.refuse(Kind::Config, format!("{clause}: correct it"))
                }
                Err(Unread { clause, state }) => {
                    profile.is_closed |= state == FileState::Closed;
                    profile.remarks.push(clause);
                }
            }
        }
        if profile.refusal.is_none() {
            let [credentials, config] = read;
            self.choose(&ProfileSet::new(credentials, config), &mut profile);
        }
        Ok(profile)
    }

    /// Fills the profile from the files.
    fn choose(&self, all: &ProfileSet, profile: &mut Profile) {
        let Some(chosen) = all.profile(&self.name) else {
            let instead = all.instead_of(&self.name);
            let instead = instead.map(|(file, line, what)| format!("{}, line {line}, {what}", self.file(file)));
            let remarks = instead.into_iter().chain(profile.remarks.drain(..));
            profile.remarks = remarks.collect();
            return match self.chosen_by {
                Some(variable) => {
                    let files = self.files.each_ref().map(ProfileFile::name).join(" and ");
                    let found = if profile.remarks.is_empty() { files } else { profile.remarks.join(", ") };
                    let name = shown(&self.name);
                    let text =
                        format!("profile {name} ({variable}) is not found ({found}): correct {variable} or the file");
                    profile.refuse(Kind::Config, text);
                }
                None => profile.source_chain = Err(absent("not found", &profile.remarks)),
            };
        };
        for name in PROPERTIES {
            let Some((file, entry)) = chosen.entry(name) else { continue };
            let place = format!("{name} of profile {} ({}, line {})", shown(&self.name), self.file(file), entry.line);
            if source_chain::goes_on(&entry.value) {
                let reason = format!("{place} continues in an indented line: begin each of its lines without spaces");
                return profile.refuse(Kind::Config, reason);
            }
            let text = entry.value.trim();
            if !text.is_empty() {
                profile.settings.insert(name, ProfileSetting { text: text.to_owned(), origin: place });
            }
        }
        if let Some((section, origin)) = profile.setting("services") {
            let (section, origin) = (section.to_owned(), origin.to_owned());
            for service in SERVICES {
                let name = format!("endpoint_url of {service} in services {}", shown(&section));
                match all.endpoint_url(&section, service) {
                    Ok(Some((line, url))) => {
                        let origin = format!("{name} ({}, line {line})", self.file(set::CONFIG));
                        profile.endpoints.insert(service, ProfileSetting { text: url.to_owned(), origin });
                    }
                    Ok(None) => {}
                    Err(Amiss::Missing) => {
                        let section = shown(&section);
                        let reason = format!("{origin} names a section that does not exist: add [services {section}]");
                        profile.no_services = Some(reason);
                    }
                    Err(Amiss::Flat(line)) => {
                        let place = format!("{}, line {line}", self.file(set::CONFIG));
                        let reason =
                            format!("{place}: {service} has a value: put endpoint_url into a line below, indented");
                        profile.no_services = Some(reason);
                    }
                }
            }
        }
        profile.assumes = source_chain::assumes(chosen);
        profile.is_found = true;
        let own =
            |name| source_chain::property(chosen, name).filter(|text| !source_chain::goes_on(text)).map(str::to_owned);
        profile.web = Web {
            token_file: own("web_identity_token_file").map(PathBuf::from),
            role_arn: own("role_arn"),
            session: own("role_session_name"),
        };
        profile.source_chain = source_chain::build(all, chosen).map_err(|unfit| match unfit {
            Unfit::Absent(reason) => absent(&reason, &profile.remarks),
            broken => broken,
        });
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn file(&self, index: usize) -> String {
        self.files.get(index).map(ProfileFile::name).unwrap_or_default()
    }
}

fn absent(reason: &str, remarks: &[String]) -> Unfit {
    let clauses: Vec<_> = std::iter::once(reason).chain(remarks.iter().map(String::as_str)).collect();
    Unfit::Absent(clauses.join(", "))
}

impl ProfileFile {
    fn name(&self) -> String {
        match &self.path {
            Some(path) => redact::likely_path(path),
            None => format!("the file of {}", self.variable),
        }
    }

    /// Fails, with a clause, where the file does not answer.
    async fn stamp(&self, patience: Duration) -> Result<Result<FileStamp, FileFlaw>, String> {
        let Some(path) = &self.path else { return Ok(Err(FileFlaw::Missing)) };
        match file::status(path, patience).await {
            Ok(status) => Ok(Ok(FileStamp::from(&status))),
            Err(flaw @ (FileFlaw::Hangs | FileFlaw::Busy(_))) => Err(format!("{} {flaw}", redact::likely_path(path))),
            Err(flaw) => Ok(Err(flaw)),
        }
    }

    /// The file's text, or a clause that says why it can't be read.
    async fn read_text(&self) -> Result<Zeroizing<String>, Unread> {
        match &self.path {
            Some(path) => files::read_text(path).await,
            None => {
                let clause = format!("no file, as neither HOME nor {} is set", self.variable);
                Err(Unread { clause, state: FileState::Missing })
            }
        }
    }
}

#[cfg(test)]
mod tests;
