//! A `gcp` vault as a worker has it, and the Google Cloud that stands in for the real one.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use kong_vault::backend::{self, Backend, SecretId, Setup};
use kong_vault::environment::Environment;
use kong_vault::error::{Error, Kind, Result};
use kong_vault::options::settings::Settings;
use serde_json::{Value, json};

use super::Fake;
use super::clouds::Asked;
use super::google::{EMAIL, JWT, POOL, World, lock};
use super::login::Signer;

pub struct Google {
    pub fake: Fake,
    pub world: Arc<Mutex<World>>,
    pub signer: Arc<Signer>,
    directory: tempfile::TempDir,
}

impl Google {
    pub async fn start() -> Google {
        let directory = tempfile::tempdir().expect("a folder");
        let signer = signer();
        let world = Arc::new(Mutex::new(World::new()));
        let (seen, key) = (world.clone(), signer.clone());
        let answers = move |request: &str| {
            let mut world = lock(&seen);
            let asked = Asked::of(request);
            let quota = asked.header("x-goog-user-project").map(|project| format!(" for {project}"));
            world.asked.push(format!("{} {}{}", asked.method, asked.path, quota.unwrap_or_default()));
            world.answer(&asked, &key)
        };
        let fake = Fake::lasting("127.0.0.1:0", answers).await.expect("a loopback port");
        Google { fake, world, signer, directory }
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.fake.address)
    }

    pub fn host(&self) -> String {
        self.fake.address.to_string()
    }

    /// A service account's key, as the console gives it.
    pub fn key(&self) -> Value {
        let pem = std::fs::read_to_string(&self.signer.private).expect("the key");
        json!({"type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": pem,
            "client_email": EMAIL, "client_id": "1", "token_uri": self.url("/token"),
            "universe_domain": "googleapis.com"})
    }

    /// A file with some text, for as long as this lives.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    }

    /// Workload identity federation, with what is the source of subject tokens.
    pub fn external(&self, source: Value) -> Value {
        json!({"type": "external_account", "audience": POOL, "subject_token_type": JWT,
            "token_url": self.url("/v1/token"), "credential_source": source})
    }

    pub fn impersonation(&self, email: &str) -> String {
        self.url(&format!("/v1/projects/-/serviceAccounts/{email}:generateAccessToken"))
    }

    pub fn given(&self, by: &'static str) -> usize {
        self.world().given.get(by).copied().unwrap_or_default()
    }

    /// A vault in an environment without a person's own files.
    pub fn vault(&self, options: &[(&str, &str)], environment: &[(&str, &str)]) -> Arc<dyn Backend> {
        let endpoint = self.url("");
        let mut all = vec![("endpoint_url", endpoint.as_str())];
        all.extend(options);
        build(&all, environment)
    }
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

/// A vault that keeps what it knows from fetch to fetch.
pub fn build(options: &[(&str, &str)], environment: &[(&str, &str)]) -> Arc<dyn Backend> {
    try_build(options, environment).expect("a backend")
}

pub fn try_build(options: &[(&str, &str)], environment: &[(&str, &str)]) -> Result<Arc<dyn Backend>> {
    build_in(&bare(environment), options)
}

/// An environment without a person's own files.
pub fn bare(environment: &[(&str, &str)]) -> Environment {
    Environment::from_variables(environment.iter().copied().chain([("HOME", "/nonexistent")]))
}

pub fn build_in(environment: &Environment, options: &[(&str, &str)]) -> Result<Arc<dyn Backend>> {
    let descriptor = backend::registry::find("gcp").expect("the backend");
    let mut settings = Settings::default();
    for option in descriptor.options {
        let given = options.iter().rfind(|(name, _)| option.is_called(name)).map(|(_, value)| *value);
        if let Some(text) = given.or(option.default) {
            settings.set(option.name, option.parse(text).expect("a value"));
        }
    }
    let timeout = Duration::from_secs(5);
    let setup = Setup { vault: "mine", settings: &settings, environment, timeout, lasts: true };
    (descriptor.build)(&setup)
}

/// Reads `name`, or `name#version`.
pub async fn fetch(vault: &Arc<dyn Backend>, reference: &str) -> Result<String> {
    let (resource, version) = match reference.split_once('#') {
        Some((resource, version)) => (resource, Some(version.parse().expect("a number"))),
        None => (reference, None),
    };
    let fetched = vault.fetch(&SecretId { resource: resource.to_owned(), version }).await?;
    Ok(String::from_utf8_lossy(fetched.document.as_bytes()).into_owned())
}

pub async fn reads(vault: &Arc<dyn Backend>, reference: &str) -> String {
    fetch(vault, reference).await.unwrap_or_else(|error| panic!("{reference}: {error}"))
}

/// A failure that holds no secret.
pub async fn fails(vault: &Arc<dyn Backend>, reference: &str, kind: Kind, part: &str) -> Error {
    let error = fetch(vault, reference).await.expect_err(reference);
    let text = error.to_string();
    assert!(text.starts_with("gcp vault (mine)") && text.contains(part), "{part}: {text}");
    assert!(!text.contains("hunter2") && !text.contains('\n'), "{text}");
    assert_eq!(error.kind(), kind, "{text}");
    error
}
