//! Texts in servers' answers, without unwiped copies.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;
use zeroize::Zeroize;

/// A text, borrowed from the answer. Only one with escapes is copied (Go escapes `&`, `<` and `>`), and that copy is
/// wiped.
#[derive(Deserialize)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Drop for Text<'_> {
    fn drop(&mut self) {
        if let Cow::Owned(copy) = &mut self.0 {
            copy.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Holder<'a> {
        #[serde(borrow)]
        text: Option<Text<'a>>,
    }

    #[test]
    fn what_is_escaped_is_read_and_all_else_is_not_copied() {
        let read = |json: &'static str| serde_json::from_str::<Holder<'_>>(json).unwrap().text;
        for (json, text) in [
            (r#"{"text":"p\u0026ss"}"#, "p&ss"),
            (r#"{"text":"\/a\/b"}"#, "/a/b"),
            (r#"{"text":"\ud83d\udd10\"\\\n"}"#, "🔐\"\\\n"),
        ] {
            let found = read(json).unwrap();
            assert!(*found == *text && matches!(found.0, Cow::Owned(_)), "{json}");
        }
        let plain = read(r#"{"text":"plain"}"#).unwrap();
        assert!(&*plain == "plain" && matches!(plain.0, Cow::Borrowed(_)));
        assert!(read(r#"{"text":null}"#).is_none() && read("{}").is_none());
    }
}
