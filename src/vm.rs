//! What one Lua VM holds: its configuration, once that is settled, and its resolver.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use crate::admin::{Access, Requester, Tokens, Who, check_access};
use crate::audit::Audit;
use crate::config::{Config, ConfigSource};
use crate::entities::epoch_watch::EpochWatch;
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::resolver::Resolver;
use crate::resolver::indirect;
use crate::resolver::loaded::Loaded;
use crate::resolver::previous::Previous;

/// The state behind `require "kong.vault"`. A reload of nginx makes a new VM, and with it a new one of these.
pub struct Vm {
    environment: Environment,
    resolver: OnceLock<Result<Arc<Resolver>>>,
    generation: Arc<AtomicU32>,
    watch: Arc<EpochWatch>,
    /// What is wrong with `vault_data_dir`.
    unfollowed: OnceLock<Error>,
    /// Why the audit log can't be written.
    unaudited: OnceLock<Error>,
    /// Why the Admin API refuses everybody: an error in the configuration that was to set its token.
    refused_all: OnceLock<Error>,
    loaded: Loaded,
}

/// How long a worker that ends waits for its vaults' last tasks.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);

impl Vm {
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            resolver: OnceLock::new(),
            generation: Arc::new(AtomicU32::new(1)),
            watch: Arc::default(),
            unfollowed: OnceLock::new(),
            unaudited: OnceLock::new(),
            refused_all: OnceLock::new(),
            loaded: Loaded::now(),
        }
    }

    /// Whether the VM ends with its request (`lua_code_cache off`), so that nothing should be kept running for it. A VM
    /// that was made before the fork does not.
    pub fn is_throwaway(&self) -> bool {
        self.loaded.is_throwaway()
    }

    /// Settles the configuration; allowed once, before the first secret is asked for. An error in the options of one
    /// vault, or in `vault_data_dir`, is returned, but leaves the other vaults usable.
    pub fn configure(&self, conf: &BTreeMap<String, String>, written_in: ConfigSource<'_>) -> Result<()> {
        self.settle(conf, || self.load(conf, written_in))
    }

    /// The same for options that Kong has read. `references` are those that Kong replaced by their values, with their
    /// keys.
    pub fn configure_by_kong(&self, conf: &BTreeMap<String, String>, references: &[(String, String)]) -> Result<()> {
        // No entities are followed: Kong has entities of its own, and an Admin API.
        self.settle(conf, || {
            Ok(Arc::new(self.resolver_of(indirect::load_by_kong(conf, references, &self.environment)?)))
        })
    }

    fn settle(&self, conf: &BTreeMap<String, String>, load: impl FnOnce() -> Result<Arc<Resolver>>) -> Result<()> {
        let mut late = true;
        let settled = self.resolver.get_or_init(|| {
            late = false;
            load()
        });
        if late {
            let text = "kong.vault is configured already: call configure once, in init_by_lua, before the first secret is asked for";
            let error = Error::new(Kind::Config, text);
            if conf.contains_key("vault_admin_token") || conf.contains_key("vault_admin_tokens") {
                self.refuse_all(error.clone());
            }
            return Err(error);
        }
        settled.as_ref().map_err(Clone::clone)?.config().check()?;
        self.unfollowed.get().or(self.unaudited.get()).map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Has the Admin API refuse everybody, as the token that it is to require can't be known.
    pub fn refuse_all(&self, why: Error) {
        let _ = self.refused_all.set(why);
    }

    /// Whether the Admin API serves somebody, and the name of the token that was shown. An error refuses everybody.
    pub fn check_access(&self, requester: &Requester<'_>) -> Result<(Access, Option<String>)> {
        if let Some(error) = self.refused_all.get() {
            return Err(error.clone());
        }
        let resolver = self.resolver()?;
        let sole = resolver.config().admin_token.as_ref().map_err(Clone::clone)?.as_ref();
        let tokens = Tokens { sole, named: resolver.config().admin_tokens.as_ref() };
        let (access, name) = (check_access(&tokens, requester), tokens.name_of(requester.token));
        let status = match access {
            Access::Granted => return Ok((access, name)),
            Access::Unauthorized => 401,
            Access::Refused(_) => 403,
        };
        resolver.audit().refused(&Who::at(None, &requester.peers), status);
        Ok((access, None))
    }

    /// The resolver; without `configure`, the environment alone configures it.
    pub fn resolver(&self) -> Result<&Arc<Resolver>> {
        self.resolver
            .get_or_init(|| self.load(&BTreeMap::new(), ConfigSource::Configure))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Changes whenever a copy of a value in Lua may no longer be served.
    pub fn generation(&self) -> &AtomicU32 {
        &self.generation
    }

    /// Tells whether vault entities have changed that this process has not read.
    pub fn watch(&self) -> &EpochWatch {
        &self.watch
    }

    /// Runs the vaults' last tasks, and waits for them for at most `SHUTDOWN_LIMIT`: the process is about to end, and
    /// the engine with it.
    fn take_leave(&self) -> Option<()> {
        let resolver = self.resolver.get()?.as_ref().ok()?;
        if !self.is_throwaway() {
            resolver.audit().end();
        }
        let (done, all) = mpsc::channel();
        for shutdown in resolver.shutdowns() {
            let done = done.clone();
            resolver.engine().ok()?.spawn(async move {
                shutdown.await;
                // Nobody may be waiting any more.
                let _ = done.send(());
            });
        }
        drop(done);
        let end = Instant::now() + SHUTDOWN_LIMIT;
        // A VM that ends with its request does not wait: the worker serves other requests.
        while !self.is_throwaway() && all.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok() {}
        Some(())
    }

    fn load(&self, conf: &BTreeMap<String, String>, written_in: ConfigSource<'_>) -> Result<Arc<Resolver>> {
        let config = indirect::load(conf, written_in, &self.environment)?;
        let previous = Previous::note(&config);
        let resolver = Arc::new(self.resolver_of(config).after(previous));
        if let Err(error) = resolver.follow_entities(&self.watch) {
            // It can't be set already, as the configuration is loaded once.
            let _ = self.unfollowed.set(error);
        }
        Ok(resolver)
    }

    fn resolver_of(&self, config: Config) -> Resolver {
        let audit = Audit::new(&config.audit_log, &config.audit_reads);
        if let Err(error) = audit.open(config.fetch_timeout) {
            // It can't be set already, as the configuration is loaded once. Whoever writes tries again.
            let _ = self.unaudited.set(error);
        }
        let resolver = Resolver::new(config, self.environment.clone(), Arc::clone(&self.generation));
        let resolver = resolver.loaded(self.loaded).audited(audit);
        resolver.tell_of_audit();
        resolver
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.take_leave();
    }
}
