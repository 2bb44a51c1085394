//! Describes where the credentials of a login come from, and never what they are.

use std::path::PathBuf;

use crate::options::Holds;
use crate::options::settings::Settings;
use crate::redact;

use super::options;

/// How much of a value is shown, in characters.
const SHOWN: usize = 128;

/// The method, and the options that were set for it.
pub(super) struct ConfiguredCredentials {
    method: String,
    set: Vec<SetOption>,
}

struct SetOption {
    option: &'static str,
    what: What,
}

enum What {
    Hidden,
    Text(String),
    /// Whether it may be shown is decided when it is described.
    File(PathBuf),
}

impl ConfiguredCredentials {
    pub fn from_settings(settings: &Settings) -> Self {
        let method = settings.text("auth_method").unwrap_or_default();
        let mut set = Vec::new();
        for opt in options::of_auth().iter().filter(|opt| opt.name != "auth_method") {
            if settings.secret(opt.name).is_some_and(|secret| !secret.is_empty()) {
                set.push(SetOption { option: opt.name, what: What::Hidden });
            }
            let text = settings.text(opt.name).filter(|text| !text.is_empty());
            // The defaults of other methods' options are left out.
            let said =
                text.filter(|text| opt.default != Some(*text) || method == "kubernetes" && opt.name.ends_with("_file"));
            if let Some(text) = said {
                let what = match redact::value(opt, text, SHOWN) {
                    Some(_) if opt.holds == Holds::File => What::File(PathBuf::from(text)),
                    Some(text) => What::Text(text),
                    None => What::Hidden,
                };
                set.push(SetOption { option: opt.name, what });
            }
        }
        Self { method: method.to_owned(), set }
    }

    /// For `doctor`. It reads the file system.
    pub fn describe(&self) -> String {
        let set = self.set.iter().map(|set| {
            let shown = match &set.what {
                What::Hidden => None,
                What::Text(text) => Some(text.clone()),
                What::File(path) => redact::path(path),
            };
            shown.map_or(format!("`{}`", set.option), |shown| format!("`{}` {shown}", set.option))
        });
        match (self.method.as_str(), set.collect::<Vec<_>>().as_slice()) {
            ("token", []) => "none: `token` and `token_file` are not set, so an agent must add a token".to_owned(),
            (method, []) => format!("`auth_method` {method}"),
            (method, set) => format!("`auth_method` {method}, by {}", set.join(", ")),
        }
    }
}
