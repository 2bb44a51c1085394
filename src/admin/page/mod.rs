//! The page that a browser gets at the list's address: one document, with its styles and its script inside. The files beside
//! this one are its parts. Everything that it shows it asks the API for, so that the document itself holds nothing secret.

use std::sync::OnceLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};

const DOCUMENT: &str = include_str!("page.html");

const STYLE: &str = include_str!("style.css");

/// In one scope. Their order doesn't matter but for the last one, which begins.
const SCRIPTS: &[&str] = &[
    include_str!("advice.js"),
    include_str!("api.js"),
    include_str!("check.js"),
    include_str!("choices.js"),
    include_str!("dialogs.js"),
    include_str!("dom.js"),
    include_str!("ends.js"),
    include_str!("fields.js"),
    include_str!("form.js"),
    include_str!("login.js"),
    include_str!("options.js"),
    include_str!("references.js"),
    include_str!("remove.js"),
    include_str!("time.js"),
    include_str!("vaults.js"),
    include_str!("main.js"),
];

/// The page, and what a browser has to be told about it.
#[derive(Debug)]
pub struct Page {
    pub html: String,
    /// The header `Content-Security-Policy`: nothing from elsewhere, no other script or style, in no frame; and what puts
    /// markup into the document is refused (Trusted Types).
    pub policy: String,
}

/// The page. It is made once.
pub fn page() -> &'static Page {
    static PAGE: OnceLock<Page> = OnceLock::new();
    PAGE.get_or_init(|| {
        let script = format!("(() => {{\n\"use strict\";\n{}}})();\n", SCRIPTS.concat());
        let policy = format!(
            "default-src 'none'; script-src '{}'; style-src '{}'; img-src data:; connect-src 'self'; form-action 'none'; \
             base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            hash(&script),
            hash(STYLE),
        );
        let html = DOCUMENT.replace("/*style*/", STYLE).replace("/*script*/", &script);
        Page { html, policy }
    })
}

/// How a policy names an inline text (CSP level 3, section 2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between<'a>(text: &'a str, start: &str, end: &str) -> Vec<&'a str> {
        text.split(start).skip(1).filter_map(|rest| rest.split_once(end)).map(|(inside, _)| inside).collect()
    }

    #[test]
    fn the_policy_allows_just_what_the_document_has_inside() {
        let page = page();
        for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
            let inside = between(&page.html, &format!("<{tag}>"), &format!("</{tag}>"));
            let [inside] = inside[..] else { panic!("not one {tag}") };
            assert!(page.policy.contains(&format!("{directive} '{}';", hash(inside))), "{directive}");
        }
    }

    #[test]
    fn it_names_nothing_elsewhere() {
        // A name, which nothing is loaded by.
        let html = page().html.replace("http://www.w3.org/2000/svg", "");
        for address in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!html.contains(address), "{address}");
        }
    }
}
