//! Where what we log in with comes from, for people: never what it is.

use crate::settings::Settings;

use super::options;

/// The method, and the options that were set for it.
pub(super) fn describe(settings: &Settings) -> String {
    let method = settings.text("auth_method").unwrap_or_default();
    let mut set = Vec::new();
    for opt in options::of_auth().iter().filter(|opt| opt.name != "auth_method") {
        if settings.secret(opt.name).is_some_and(|secret| !secret.is_empty()) {
            set.push(format!("`{}`", opt.name));
        }
        let text = settings.text(opt.name).filter(|text| !text.is_empty());
        // Other methods' defaults say nothing.
        let said =
            text.filter(|text| opt.default != Some(*text) || method == "kubernetes" && opt.name.ends_with("_file"));
        if let Some(text) = said.and_then(|text| opt.show(text)) {
            set.push(format!("`{}` {}", opt.name, crate::error::quote(text.as_bytes(), 128)));
        }
    }
    match (method, set.as_slice()) {
        ("token", []) => "none: neither `token` nor `token_file` is set, so an agent has to add a token".to_owned(),
        (method, []) => format!("`auth_method` {method}"),
        (method, set) => format!("`auth_method` {method}, by {}", set.join(", ")),
    }
}
