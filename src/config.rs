use crate::backend::Descriptor;
use crate::environment::Environment;
use crate::error::{Error, Kind, Result};
use crate::reference::Reference;
use crate::settings::{Settings, Value};
use std::collections::BTreeMap;
use std::time::Duration;
pub struct Vault {
    pub name: String,
    pub backend: &'static Descriptor,
}
pub struct Config {
    pub cache_size: usize,
    pub fetch_timeout: Duration,
    vaults: Vec<Vault>,
    conf: BTreeMap<String, String>,
}
impl Config {
    pub fn load(conf: &BTreeMap<String, String>, _environment: &Environment) -> Result<Config> {
        Ok(Config {
            cache_size: 1000,
            fetch_timeout: Duration::from_secs(5),
            conf: conf.clone(),
            vaults: crate::backend::ALL.iter().map(|d| Vault { name: d.name.into(), backend: d }).collect(),
        })
    }
    pub fn vault(&self, name: &[u8]) -> Result<&Vault> {
        self.vaults
            .iter()
            .find(|v| v.name.as_bytes() == name)
            .ok_or_else(|| Error::new(Kind::UnknownVault, "could not find vault (?)"))
    }
    pub fn settings(&self, v: &Vault, r: &Reference) -> Result<std::sync::Arc<Settings>> {
        let mut s = Settings::default();
        for o in v.backend.options.iter().chain(crate::options::COMMON) {
            let mut val =
                self.conf.get(&format!("vault_{}_{}", v.name, o.name)).cloned().or(o.default.map(|d| d.to_string()));
            for (k, q) in &r.options {
                if k == o.name.as_bytes() {
                    val = q.clone().map(|q| String::from_utf8(q).unwrap());
                }
            }
            if let Some(val) = val {
                s.set(
                    o.name,
                    match o.kind {
                        crate::options::Type::Seconds => Value::Seconds(val.parse().unwrap()),
                        crate::options::Type::Boolean => Value::Boolean(val == "true"),
                        crate::options::Type::Integer { .. } => Value::Integer(val.parse().unwrap()),
                        crate::options::Type::List => Value::List(val.split(',').map(|x| x.to_string()).collect()),
                        _ if o.sensitive => Value::Secret(crate::secret::Secret::new(val)),
                        _ => Value::Text(val),
                    },
                );
            }
        }
        Ok(std::sync::Arc::new(s))
    }
    pub fn check(&self) -> Result<()> {
        Ok(())
    }
}
