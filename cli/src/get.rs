//! `kong-vault get`: one reference, fetched on this thread.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::outcome::Outcome;
use crate::session::{Opened, explain, open, warn, whole};
use kong_vault::error::Result;
use kong_vault::resolver::Resolver;
use kong_vault::secret::Secret;

pub fn run(reference: Option<&OsStr>, timeout: Option<&str>, conf: Option<&Path>) -> Outcome {
    let Some(reference) = reference else {
        return Outcome::Misuse("the 'get' command needs a <reference> argument".to_owned());
    };
    let Opened { resolver, flaw, surprises } = match open(timeout, conf) {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    surprises.iter().for_each(warn);
    let reference = whole(reference.as_bytes());
    match fetch(&reference, &resolver).map_err(|error| explain(&reference, error)) {
        Ok(secret) => {
            flaw.iter().for_each(warn);
            Outcome::Done(Secret::new([secret.as_bytes(), b"\n"].concat()))
        }
        Err(error) => {
            flaw.iter().filter(|flaw| **flaw != error).for_each(warn);
            Outcome::NoValue(error.for_users())
        }
    }
}

fn fetch(reference: &[u8], resolver: &Arc<Resolver>) -> Result<Arc<Secret>> {
    match resolver.fetch_blocking(&[reference.to_vec()]).pop() {
        Some(answer) => answer,
        None => unreachable!(),
    }
}
