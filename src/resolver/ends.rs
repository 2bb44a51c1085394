//! When a secret ends: the first of its certificates, a token that says so, or all of it, as its vault says.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cache::document::Document;
use crate::identity::x509;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// How many certificates and tokens of one secret are read, and how long a token may be.
const MOST: usize = 64;
const LONGEST_TOKEN: usize = 16_384;

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    Certificate = 1,
    Token = 2,
    Secret = 3,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Certificate => "certificate",
            What::Token => "token",
            What::Secret => "secret",
        }
    }

    pub fn from_number(number: u64) -> Option<Self> {
        [What::Certificate, What::Token, What::Secret].into_iter().find(|what| *what as u64 == number)
    }
}

/// The earliest end of a document or of anything in it, in seconds since 1970. Fields of a JSON document count as well.
pub fn of(document: &Document) -> Option<(u64, What)> {
    let whole = document.ends().map(|end| (end, What::Secret));
    whole.into_iter().chain(of_parts(document)).min()
}

fn of_parts(document: &Document) -> Option<(u64, What)> {
    let text = document.whole().as_str()?;
    let certificates = certificates(text).map(|end| (end, What::Certificate));
    certificates.chain(tokens(text).map(|end| (end, What::Token))).min()
}

/// The ends of the certificates in a text, whose lines may be broken as in PEM or as in JSON.
fn certificates(text: &str) -> impl Iterator<Item = u64> {
    let bodies = text.split(BEGIN).skip(1).take(MOST).filter_map(|rest| Some(rest.split_once(END)?.0));
    bodies.filter_map(|body| {
        let body = Zeroizing::new(body.replace("\\n", "").replace("\\r", "").replace("\\/", "/"));
        let dense: String = body.chars().filter(|letter| !letter.is_ascii_whitespace() && *letter != '=').collect();
        let der = CertificateDer::from(STANDARD_NO_PAD.decode(dense).ok()?);
        x509::not_after(&der)
    })
}

/// The ends of the JSON web tokens in a text.
fn tokens(text: &str) -> impl Iterator<Item = u64> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    let words = text.split(move |letter| !is_part(letter));
    let tokens = words.filter(|word| word.starts_with("eyJ") && word.len() <= LONGEST_TOKEN);
    tokens.take(MOST).filter_map(|token| {
        let mut parts = token.split('.');
        let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
        #[derive(serde::Deserialize)]
        struct Claims {
            exp: Value,
        }
        let exp = serde_json::from_slice::<Claims>(&claims).ok()?.exp;
        exp.as_u64().or_else(|| exp.as_f64().filter(|exp| *exp > 0.0).map(|exp| exp as u64))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn end(text: &str) -> Option<(u64, What)> {
        of(&Document::new(Secret::new(text)))
    }

    fn token(claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2lnbmF0dXJl", encode(r#"{"alg":"HS256"}"#), encode(claims))
    }

    #[test]
    fn the_vaults_own_end_counts_where_it_is_the_first() {
        let one = token(r#"{"exp":1800000000}"#);
        let end = |text: &str, ends| of(&Document::new(Secret::new(text)).that_ends(Some(ends)));
        assert_eq!(end("plain", 1_700_000_000), Some((1_700_000_000, What::Secret)));
        assert_eq!(end(&one, 1_700_000_000), Some((1_700_000_000, What::Secret)));
        assert_eq!(end(&one, 1_900_000_000), Some((1_800_000_000, What::Token)));
    }

    #[test]
    fn a_token_says_when_it_ends() {
        let one = token(r#"{"sub":"a","exp":1800000000}"#);
        let other = token(r#"{"exp":1700000000.9}"#);
        assert_eq!(end(&one), Some((1_800_000_000, What::Token)));
        assert_eq!(end(&format!("{{\"a\":\"{one}\",\"b\":\"{other}\"}}")), Some((1_700_000_000, What::Token)));
        for none in ["", "eyJ", "eyJhIn0.eyJhIn0", &token("{}"), &token(r#"{"exp":"soon"}"#), &token(r#"{"exp":-1}"#)] {
            assert_eq!(end(none), None, "{none}");
        }
    }

    #[test]
    fn the_first_certificate_that_ends_counts() {
        // What stands in it besides its validity is not read.
        let element = |tag: u8, content: &[u8]| [&[tag, content.len() as u8], content].concat();
        let certificate = |tag: u8, end: &str| {
            let validity = [element(0x17, b"260101000000Z"), element(tag, end.as_bytes())].concat();
            let parts = [&b""[..], b"", b"", &validity, b"", b""].map(|content| element(0x30, content));
            let whole = element(0x30, &element(0x30, &parts.concat()));
            let lines: Vec<_> = STANDARD_NO_PAD.encode(whole).as_bytes().chunks(64).map(<[u8]>::to_vec).collect();
            format!("{BEGIN}\n{}=\n{END}\n", String::from_utf8(lines.join(&b'\n')).unwrap())
        };
        let (one, other) = (certificate(0x17, "310301000000Z"), certificate(0x18, "20550301000000Z"));
        let wanted = Some((1_930_089_600, What::Certificate));
        assert_eq!(end(&one), wanted);
        assert_eq!(end(&format!("{other}{one}")), wanted);
        assert_eq!(end(&format!("{{\"cert\":\"{}\"}}", one.replace('\n', "\\n"))), wanted);
        assert_eq!(end(&other), Some((2_687_472_000, What::Certificate)), "with four digits for the year");
        assert_eq!(end(&format!("{BEGIN}\nbm90IG9uZQ==\n{END}")), None);
    }
}
