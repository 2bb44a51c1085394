//! When a configuration was loaded, and whether its VM is one that ends with a request.

use std::sync::Mutex;
use std::time::Instant;

use crate::sync::lock;

/// When a VM, and with it its configuration, was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loaded {
    /// The process that made it, and how many that process had made with it.
    by: u32,
    number: u32,
    at: Instant,
    /// When that process made its first.
    first_at: Instant,
}

impl Loaded {
    pub fn now() -> Self {
        static LAST: Mutex<Option<Loaded>> = Mutex::new(None);
        let (by, at) = (std::process::id(), Instant::now());
        let mut last = lock(&LAST);
        let loaded = match *last {
            Some(last) if last.by == by => Self { at, number: last.number.saturating_add(1), ..last },
            _ => Self { by, number: 1, at, first_at: at },
        };
        *last = Some(loaded);
        loaded
    }

    pub fn is_throwaway(&self) -> bool {
        self.number > LASTING_VMS && self.by == std::process::id()
    }

    /// When the configuration was loaded. A VM that ends with its request loads it again without a reload: then the
    /// process's first load counts.
    pub fn at(&self) -> Instant {
        if self.is_throwaway() { self.first_at } else { self.at }
    }
}

/// With `lua_code_cache off` every request has a VM of its own: a process that makes more VMs than this (http and
/// stream need one each) is taken to do that.
const LASTING_VMS: u32 = 2;
