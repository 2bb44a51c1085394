//! Reads the region, and other variables of the environment.

use std::sync::LazyLock;

use regex::Regex;

use crate::environment::Environment;
use crate::error::{Error, Kind, Result};

/// The pattern of a region's name. The name becomes part of a host name, so nothing else may pass.
pub const REGION: &str = "^[a-z]{2,16}(-[a-z]{1,16}){1,3}-[0-9]{1,2}$";

/// Checks a region's name; `origin` is where it is set.
pub fn check_region(label: &str, origin: &str, region: &str) -> Result<()> {
    static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(REGION).ok());
    match &*PATTERN {
        Some(pattern) if pattern.is_match(region) => Ok(()),
        _ => Err(Error::new(
            Kind::Config,
            format!("{label}: the region from {origin} is not a region's name: write it like `us-east-1`"),
        )),
    }
}

/// The region in the environment, with its variable.
pub fn environment_region(environment: &Environment) -> Option<(&'static str, &str)> {
    ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| Some((name, set(environment, name)?)))
}

/// A variable's value, if it is set and not empty.
pub fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.text(name).map(str::trim).filter(|value| !value.is_empty())
}

/// The value of a variable that is `true` or `false`, in upper or lower case.
pub fn flag(environment: &Environment, name: &str) -> Option<bool> {
    truth(set(environment, name)?)
}

pub fn truth(text: &str) -> Option<bool> {
    match text.trim() {
        yes if yes.eq_ignore_ascii_case("true") => Some(true),
        no if no.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_cannot_lead_elsewhere() {
        for region in [
            "",
            "us-east-1.evil.example/",
            "us-east-1#",
            "us-east-1@evil",
            "US-EAST-1",
            "us-east-1\n",
            "us",
            "1",
            "-1",
            "us--1",
            "us-east-1-",
        ] {
            let error = check_region("aws vault (aws)", "AWS_REGION", region).unwrap_err();
            assert_eq!(error.kind(), Kind::Config, "{region:?}");
            assert!(error.to_string().contains("AWS_REGION"));
        }
    }
}
