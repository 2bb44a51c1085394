//! Recognises texts by what they look like: keys and tokens, paths, users before a host. Nothing but the text is read.

/// Base64 of `-----BEGIN` at each of the three offsets that it may have among other bytes.
const ARMOR: [&str; 3] = ["LS0tLS1CRUdJT", "0tLS0tQkVHSU", "tLS0tLUJFR0lO"];

/// How the tokens of HashiCorp Vault and OpenBao begin, and JWTs. At least `TOKEN` letters and digits follow.
const TOKENS: [&str; 4] = ["hvs.", "hvb.", "hvr.", "eyJ"];
const TOKEN: usize = 16;

/// The same for older versions. A host's name may begin like this too, but has dots or is shorter.
const OLD_TOKENS: [&str; 2] = ["s.", "b."];
const OLD_TOKEN: usize = 24;

/// How many bytes behind a token's beginning are looked at: a text may hold many beginnings.
const LONGEST_LOOK: usize = 64;

/// How keys in DER begin in base64, and how long they are at least.
const DER: &str = "MI";
const SHORTEST_DER: usize = 64;

/// The schemes of the URLs that options accept, and others that users may write.
const SCHEMES: [&str; 8] = ["http", "https", "unix", "vault", "ftp", "socks5", "socks5h", "socks4"];

/// Whether a text seems to hold a key or a token: PEM, as text or in base64, a JWT, a token of a vault.
pub fn is_key(text: &str) -> bool {
    text.contains("-----BEGIN")
        || text.contains("PRIVATE KEY--")
        || ARMOR.iter().any(|armor| text.contains(armor))
        || words(text).any(is_token)
        || text.split(|c: char| !is_base64(c)).any(|run| {
            let run = run.trim_start_matches('/');
            run.starts_with(DER) && run.len() >= SHORTEST_DER && is_mixed(run.as_bytes())
        })
}

/// Returns the parts of a text that consist of characters of tokens.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
}

/// Whether a word holds a token, with or without a separator before it. The less it is separated, the more what follows
/// must look like a token.
fn is_token(word: &str) -> bool {
    let may_begin = |byte: u8| matches!(byte.to_ascii_lowercase(), b'h' | b'e' | b's' | b'b');
    (0..word.len()).filter(|at| may_begin(word.as_bytes()[*at])).any(|at| {
        let (before, rest) = word.as_bytes().split_at(at);
        let stands = match before.last() {
            None => Stands::First,
            Some(byte) if !byte.is_ascii_alphanumeric() => Stands::Apart,
            Some(_) => Stands::Within,
        };
        let after = |starts: &[&str]| {
            let is_begun = |start: &&str| {
                let begin = rest.get(..start.len());
                begin.is_some_and(|begin| match stands {
                    Stands::Within => begin == start.as_bytes(),
                    _ => begin.eq_ignore_ascii_case(start.as_bytes()),
                })
            };
            let rest = starts.iter().copied().find(is_begun).map_or(&b""[..], |start| &rest[start.len()..]);
            &rest[..rest.len().min(LONGEST_LOOK)]
        };
        is_new(after(&TOKENS), stands) || is_old(after(&OLD_TOKENS), stands)
    })
}

/// Where in a word a token begins.
#[derive(Clone, Copy, PartialEq)]
enum Stands {
    First,
    /// Behind a character that is neither letter nor digit.
    Apart,
    Within,
}

/// Whether this may follow the beginning of a token.
fn is_new(rest: &[u8], stands: Stands) -> bool {
    let is_long = rest.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() >= TOKEN;
    is_long && (stands != Stands::Within || is_made_at_random(rest))
}

/// Whether this may follow the beginning of an older token. Behind another dot may be its namespace.
fn is_old(rest: &[u8], stands: Stands) -> bool {
    let token = rest.split(|byte| *byte == b'.').next().unwrap_or_default();
    let is_long = token.len() >= OLD_TOKEN && token.iter().all(u8::is_ascii_alphanumeric);
    is_long
        && match stands {
            Stands::First => true,
            Stands::Apart => is_mixed(token),
            Stands::Within => is_made_at_random(token),
        }
}

/// Whether a text has lower-case and upper-case letters and digits.
fn is_made_at_random(text: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| text.iter().any(is);
    has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit)
}

/// Whether a text has letters, and also digits or letters of both cases: words do not.
fn is_mixed(text: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| text.iter().any(is);
    has(u8::is_ascii_alphabetic)
        && (has(u8::is_ascii_digit) || (has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)))
}

fn is_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')
}

/// Whether a text may hold something random: a key, or a long word of letters and digits.
pub fn is_random(text: &str) -> bool {
    is_key(text) || words(text).any(|word| word.len() >= TOKEN && is_mixed(word.as_bytes()))
}

/// Whether a user with a password precedes a host.
pub fn has_user(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(before, _)| before.contains(':'))
}

/// Whether a text is a URL's scheme. Only known ones count, as a password may look like a scheme.
pub fn is_scheme(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// Whether a text looks like a file's path. A key may begin with a slash as well, but has no dot, `-` or `_`.
pub fn is_path(text: &str) -> bool {
    let begins = ["/", "./", "../", "~/"].iter().any(|start| text.starts_with(start));
    let is_of_paths =
        |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '~' | ',' | ':' | '@' | '%' | ' ');
    if !begins || text.len() > 255 || !text.chars().all(is_of_paths) || is_key(text) {
        return false;
    }
    let has = |is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    let is_cut_at_random = text.len() >= 32
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
        && !text.contains(['.', '-', '_']);
    // Names of temporary directories end in a few random characters, so only a long random part counts.
    let is_random = |part: &str| {
        let longest = part.split(['-', '_', '.']).map(str::len).max().unwrap_or_default();
        let is_long = longest >= 20 || part.len() >= 32;
        is_long && is_mixed(part.as_bytes()) && part.bytes().any(|byte| byte.is_ascii_uppercase())
    };
    !is_cut_at_random && !text.split('/').any(is_random)
}

/// Whether it is a service account's address, which stands in the place of a path.
pub fn is_address(text: &str) -> bool {
    let is_part = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
    };
    text.split_once('@').is_some_and(|(name, host)| is_part(name) && is_part(host) && host.ends_with(".com"))
}
