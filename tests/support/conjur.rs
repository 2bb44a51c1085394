//! A `conjur` vault as a worker has it, and the Conjur that stands in for the real one.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use kong_vault::backend::{self, Backend, SecretId, Setup};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind, Result};
use kong_vault::options::settings::Settings;

use super::certs::{self, Pair};
use super::clouds::Asked;
use super::cyberark::{ACCOUNT, KEY, LOGIN, World};
use super::login::Signer;
use super::{Fake, tls};

pub struct Conjur {
    pub fake: Fake,
    world: Arc<Mutex<World>>,
    pub signer: Arc<Signer>,
    directory: tempfile::TempDir,
}

impl Conjur {
    /// `None` where it cannot have a key to sign JWTs with.
    pub async fn start() -> Option<Conjur> {
        if !certs::available() {
            super::skip("there is no openssl command");
            return None;
        }
        let signer = signer();
        let world = Arc::new(Mutex::new(World::new()));
        let answers = answers(&world, &signer);
        let fake = Fake::lasting("127.0.0.1:0", answers).await.expect("a loopback port");
        Some(Conjur { fake, world, signer, directory: tempfile::tempdir().expect("a folder") })
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// The same over TLS. Returns the port.
    pub fn secure(&self, pair: &Pair) -> u16 {
        tls::answering(pair, answers(&self.world, &self.signer))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.fake.address)
    }

    pub fn host(&self) -> String {
        self.fake.address.to_string()
    }

    /// A file with some text, for as long as this lives.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    }

    pub fn given(&self, by: &str) -> usize {
        self.world().given.get(by).copied().unwrap_or_default()
    }

    /// A vault with these options beside address and account.
    pub fn vault(&self, options: &[(&str, &str)], environment: &[(&str, &str)]) -> Arc<dyn Backend> {
        let url = self.url();
        let mut all = vec![("endpoint_url", url.as_str()), ("account", ACCOUNT)];
        all.extend(options);
        build(&all, environment)
    }

    /// A vault that logs in with an API key.
    pub fn usual(&self) -> Arc<dyn Backend> {
        self.vault(&[("login", LOGIN), ("api_key", KEY)], &[])
    }
}

fn answers(world: &Arc<Mutex<World>>, signer: &Arc<Signer>) -> impl Fn(&str) -> Vec<u8> + Send + Sync + use<> {
    let (world, signer) = (Arc::clone(world), Arc::clone(signer));
    move |request: &str| {
        let mut world = lock(&world);
        let asked = Asked::of(request);
        world.asked.push(format!("{} {}", asked.method, asked.path));
        world.answer(&asked, &signer)
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One key for all tests of a program: making one takes long.
fn signer() -> Arc<Signer> {
    static SIGNER: OnceLock<(tempfile::TempDir, Arc<Signer>)> = OnceLock::new();
    let made = SIGNER.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a folder");
        let signer = Arc::new(Signer::new(directory.path()));
        (directory, signer)
    });
    Arc::clone(&made.1)
}

pub fn build(options: &[(&str, &str)], environment: &[(&str, &str)]) -> Arc<dyn Backend> {
    try_build(options, environment).expect("a backend")
}

pub fn try_build(options: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Arc<dyn Backend>> {
    let quiet = [("HOME", "/nonexistent"), ("AWS_EC2_METADATA_DISABLED", "true")];
    let environment = Environment::from_variables(quiet.into_iter().chain(environment.iter().copied()));
    let descriptor = backend::registry::find("conjur").expect("the backend");
    let mut settings = Settings::default();
    for option in descriptor.options {
        let given = options.iter().rfind(|(name, _)| option.is_called(name)).map(|(_, value)| *value);
        if let Some(text) = given.or(option.default) {
            settings.set(option.name, option.parse(text).expect("a value"));
        }
    }
    let timeout = Duration::from_secs(5);
    let setup = Setup { vault: "mine", settings: &settings, environment: &environment, timeout, lasts: true };
    (descriptor.build)(&setup)
}

/// Reads `name`, or `name#version`.
pub async fn fetch(vault: &Arc<dyn Backend>, reference: &str) -> Result<Vec<u8>> {
    let (resource, version) = match reference.rsplit_once('#').map(|(name, version)| (name, version.parse().ok())) {
        Some((resource, Some(version))) => (resource, Some(version)),
        _ => (reference, None),
    };
    let fetched = vault.fetch(&SecretId { resource: resource.to_owned(), version }).await?;
    Ok(fetched.document.as_bytes().to_vec())
}

pub async fn reads(vault: &Arc<dyn Backend>, reference: &str) -> String {
    let bytes = fetch(vault, reference).await.unwrap_or_else(|error| panic!("{reference}: {error}"));
    String::from_utf8(bytes).expect("text")
}

/// A failure that holds no secret.
pub async fn fails(vault: &Arc<dyn Backend>, reference: &str, kind: Kind, part: &str) -> Error {
    let error = fetch(vault, reference).await.expect_err(reference);
    harmless(&error, part);
    assert_eq!(error.kind(), kind, "{error}");
    error
}

pub fn harmless(error: &Error, part: &str) {
    let text = error.to_string();
    assert!(text.starts_with("conjur vault (mine)") && text.contains(part), "{part}: {text}");
    // Neither keys nor tokens, as they are or in base64.
    let shows = ["hunter2", "eyJ", "\n"].into_iter().find(|secret| text.contains(secret));
    assert!(shows.is_none(), "{text}");
}
