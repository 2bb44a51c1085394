//! The process environment as it was at load.
//!
//! nginx wipes a worker's environment, so whatever `init_by_lua` in the master could see is copied once and inherited
//! over the fork. Nothing else in this crate may ask `std::env` for a variable.

#![expect(clippy::disallowed_methods, reason = "the one place that asks for the environment, at load")]

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::secret::Secret;

/// A copy of environment variables, cheap to clone. Values may be secrets (the `env` vault reads them).
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: Arc<HashMap<Vec<u8>, Secret>>,
    reader: Reader,
}

/// Whose environment it is: each is set in another way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    #[default]
    Command,
    Nginx,
}

/// Whether both are the same copy: what is in them is not compared.
impl PartialEq for Environment {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.variables, &other.variables)
    }
}

impl Environment {
    /// The environment at the first call in this process, or in the process that it was forked from.
    pub fn captured() -> &'static Environment {
        static CAPTURED: OnceLock<Environment> = OnceLock::new();
        CAPTURED.get_or_init(|| {
            use std::os::unix::ffi::OsStringExt;
            Self::from_variables(std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())))
        })
    }

    /// The same, as nginx's.
    pub fn in_nginx(self) -> Self {
        Self { reader: Reader::Nginx, ..self }
    }

    pub fn reader(&self) -> Reader {
        self.reader
    }

    /// A command's, of these variables.
    pub fn from_variables<N: Into<Vec<u8>>, V: Into<Vec<u8>>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), Secret::new(value)));
        Self { variables: Arc::new(variables.collect()), reader: Reader::default() }
    }

    /// The same without some variables.
    pub fn without(&self, names: &[&str]) -> Self {
        let left =
            self.variables.iter().filter(|(name, _)| !names.iter().any(|gone| gone.as_bytes() == name.as_slice()));
        Self { variables: Arc::new(left.map(|(name, value)| (name.clone(), value.clone())).collect()), ..self.clone() }
    }

    /// The bytes of a variable.
    pub fn secret(&self, name: &[u8]) -> Option<&Secret> {
        self.variables.get(name)
    }

    /// A variable as text; one that is no UTF-8 counts as missing.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.secret(name.as_bytes())?.as_str()
    }

    /// All variables whose names are text, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        let mut variables: Vec<_> =
            self.variables.iter().filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, value))).collect();
        variables.sort_by_key(|(name, _)| *name);
        variables.into_iter()
    }
}
