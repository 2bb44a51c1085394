//! The list of entities: by tags, page by page.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::AdminResponse;
use super::key::is_uuid;
use super::{AdminApi, Record};

/// How many entities a page has by default, and at most.
const SIZE: usize = 100;
const LARGEST: usize = 1000;

/// How many tags may be asked for at once.
const TAGS: usize = 5;

/// What a query asks for.
#[derive(Debug, Default)]
struct Query {
    size: Option<usize>,
    /// The id that the page begins after.
    after: Option<String>,
    tags: Option<Tags>,
}

#[derive(Debug)]
struct Tags {
    written: String,
    wanted: Vec<String>,
    all: bool,
}

impl AdminApi<'_> {
    pub(super) fn list(&self, vaults: &[Record], collection: &str, query: &[u8]) -> AdminResponse {
        let query = match Query::parse(query) {
            Ok(query) => query,
            Err(answer) => return answer,
        };
        let mut vaults: Vec<&Record> = vaults.iter().collect();
        vaults.sort_by(|one, other| one.text("id").cmp(other.text("id")));
        let size = query.size.unwrap_or(SIZE);
        let mut wanted = vaults.into_iter().filter(|vault| query.is_after(vault) && query.wants(vault)).peekable();
        let page: Vec<&Record> = wanted.by_ref().take(size).collect();
        let offset = wanted.peek().and(page.last()).map(|last| URL_SAFE_NO_PAD.encode(last.text("id")));
        let shown: Vec<Record> = page.into_iter().map(|vault| self.shown(vault)).collect();
        let mut body = json!({ "data": shown, "next": null });
        if let Some(offset) = offset {
            body["next"] = query.next(collection, &offset).into();
            body["offset"] = offset.into();
        }
        AdminResponse::list(&body)
    }
}

impl Query {
    fn parse(query: &[u8]) -> std::result::Result<Query, AdminResponse> {
        let mut read = Query::default();
        for (name, value) in form_urlencoded::parse(query) {
            match &*name {
                "size" => {
                    let size = value.parse().ok().filter(|size| (1..=LARGEST).contains(size));
                    let what =
                        || AdminResponse::invalid_size(&format!("size must be an integer between 1 and {LARGEST}"));
                    read.size = Some(size.ok_or_else(what)?);
                }
                "offset" => {
                    let id = URL_SAFE_NO_PAD.decode(&*value).ok().and_then(|id| String::from_utf8(id).ok());
                    let what = || {
                        AdminResponse::invalid_offset("not a valid offset: take `offset` or `next` of the page before")
                    };
                    read.after = Some(id.filter(|id| is_uuid(id)).ok_or_else(what)?);
                }
                "tags" => read.tags = Some(Tags::parse(&value).map_err(|what| AdminResponse::invalid_tags(&what))?),
                _ => {}
            }
        }
        Ok(read)
    }

    fn is_after(&self, vault: &Record) -> bool {
        self.after.as_deref().is_none_or(|after| vault.text("id") > after)
    }

    fn wants(&self, vault: &Record) -> bool {
        let Some(tags) = &self.tags else { return true };
        let has = |tag: &String| {
            vault.get("tags").and_then(Value::as_array).is_some_and(|has| has.iter().any(|it| it.as_str() == Some(tag)))
        };
        if tags.all { tags.wanted.iter().all(has) } else { tags.wanted.iter().any(has) }
    }

    fn next(&self, collection: &str, offset: &str) -> String {
        let mut next = format!("{collection}?offset={offset}");
        if let Some(tags) = &self.tags {
            next.push_str("&tags=");
            next.extend(utf8_percent_encode(&tags.written, NON_ALPHANUMERIC));
        }
        if let Some(size) = self.size {
            next.push_str(&format!("&size={size}"));
        }
        next
    }
}

impl Tags {
    /// `a,b`: both; `a/b`: either.
    fn parse(written: &str) -> std::result::Result<Tags, String> {
        let all = !written.contains('/');
        let wanted: Vec<_> = written.split(if all { ',' } else { '/' }).map(str::to_owned).collect();
        if written.is_empty() {
            Err("cannot be null".to_owned())
        } else if wanted.iter().any(|tag| tag.is_empty() || tag.contains(',') || tag.contains(char::is_control)) {
            Err("invalid filter syntax: `a,b` matches both, `a/b` either".to_owned())
        } else if wanted.len() > TAGS {
            Err(format!("cannot query more than {TAGS} tags"))
        } else {
            Ok(Tags { written: written.to_owned(), wanted, all })
        }
    }
}
