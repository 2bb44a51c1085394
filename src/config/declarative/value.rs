//! Reads the values of a vault entity: expands aliases, merges `<<`, and gives plain texts the types that YAML does.

use serde_json::{Map, Number, Value};

use super::kongs;
use super::tree::{Id, NodeKind, Tree};

pub const ENDLESS: &str = "its alias (`*name`) is inside its own anchor";
const MERGES_NO_MAP: &str = "its `<<` merges a value that is not a mapping";
const TAGGED: &str = "it has a tag (`!name`), which is not read";
const TOO_LARGE: &str = "it has a number that is too large to be read";

/// What is wrong, and where.
pub type RefusedValue = (Id, &'static str);

/// Fields that may be in every entity of Kong's format, as comments. They mean nothing.
pub const ANNOTATIONS: [&str; 2] = ["_comment", "_ignore"];

/// Reads a vault entity, as `from_tree` does; but where a number or boolean is expected, the one that Kong reads.
pub fn entity(tree: &Tree, id: Id) -> Result<Value, RefusedValue> {
    let mut value = from_tree(tree, id)?;
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, _| !ANNOTATIONS.contains(&name.as_str()));
        kongs::settle(tree, id, fields);
    }
    Ok(value)
}

/// Reads one value, which must be neither endless nor too large (`Tree::vaults`).
pub fn from_tree(tree: &Tree, id: Id) -> Result<Value, RefusedValue> {
    let Some((id, kind)) = tree.meaning(id) else { return Err((id, ENDLESS)) };
    let tag = Tag::from_tag(tree.tag(id)).ok_or((id, TAGGED))?;
    match kind {
        NodeKind::Text { plain } => scalar(tree.text(id).unwrap_or_default(), plain, tag).map_err(|why| (id, why)),
        NodeKind::List if matches!(tag, Tag::None | Tag::List) => {
            tree.items(id).map(|item| from_tree(tree, item)).collect::<Result<_, _>>().map(Value::Array)
        }
        NodeKind::Map if matches!(tag, Tag::None | Tag::Map) => map(tree, id).map(Value::Object),
        NodeKind::List | NodeKind::Map => Err((id, TAGGED)),
        NodeKind::Alias => Err((id, ENDLESS)),
    }
}

fn map(tree: &Tree, id: Id) -> Result<Map<String, Value>, RefusedValue> {
    let mut fields = Map::new();
    for (key, written) in tree.pairs(id).filter(|(key, _)| !tree.is_merge(*key)) {
        let Value::String(name) = from_tree(tree, key)? else {
            return Err((key, "the names in a vault entity must be texts"));
        };
        fields.insert(name, from_tree(tree, written)?);
    }
    for (key, value) in tree.merging(id) {
        if !matches!(tree.meaning(value), Some((_, NodeKind::Map | NodeKind::List))) {
            return Err((key, MERGES_NO_MAP));
        }
        for map in tree.merged_by(value) {
            let Value::Object(merged) = from_tree(tree, map)? else { return Err((key, MERGES_NO_MAP)) };
            for (name, value) in merged {
                fields.entry(name).or_insert(value);
            }
        }
    }
    Ok(fields)
}

/// The tags of YAML itself. No other tag is accepted.
#[derive(Clone, Copy, PartialEq)]
enum Tag {
    None,
    Text,
    Null,
    Boolean,
    Integer,
    Float,
    List,
    Map,
}

impl Tag {
    fn from_tag(tag: Option<&str>) -> Option<Self> {
        let Some(tag) = tag else { return Some(Tag::None) };
        Some(match tag.strip_prefix("tag:yaml.org,2002:")? {
            "str" => Tag::Text,
            "null" => Tag::Null,
            "bool" => Tag::Boolean,
            "int" => Tag::Integer,
            "float" => Tag::Float,
            "seq" => Tag::List,
            "map" => Tag::Map,
            _ => return None,
        })
    }
}

fn scalar(text: &str, plain: bool, tag: Tag) -> Result<Value, &'static str> {
    let value = match (tag, plain) {
        (Tag::None, false) | (Tag::Text, _) => return Ok(text.into()),
        (Tag::List | Tag::Map, _) => return Err(TAGGED),
        _ => untagged(text)?,
    };
    let is_right = match tag {
        Tag::Null => value.is_null(),
        Tag::Boolean => value.is_boolean(),
        Tag::Integer => value.is_i64() || value.is_u64(),
        Tag::Float => value.is_number(),
        _ => true,
    };
    if is_right { Ok(value) } else { Err(TAGGED) }
}

/// Reads a plain text; an error for a whole number of more than 64 bits.
fn untagged(text: &str) -> Result<Value, &'static str> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) => text.into(),
        // JSON has no such numbers.
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN"
        | ".NAN" => Value::Null,
        _ => {
            if let Some(number) = whole(text) {
                return number.ok_or(TOO_LARGE);
            }
            match text.strip_prefix('+').unwrap_or(text).parse::<f64>() {
                // `parse` would accept a second sign.
                Ok(number)
                    if number.is_finite() && !is_padded(text) && !text.starts_with("+-") && !text.starts_with("++") =>
                {
                    Number::from_f64(number).map_or(Value::Null, Value::Number)
                }
                _ => text.into(),
            }
        }
    })
}

/// Reads a whole number: `Some(None)` for one of more than 64 bits; `None` for one of more than 128 bits, which may be
/// read as a float.
fn whole(text: &str) -> Option<Option<Value>> {
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let other = radixes.iter().find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, *radix)));
    let (digits, radix) = other.unwrap_or((digits, 10));
    if digits.starts_with('+') || (radix == 10 && is_padded(text)) {
        return None;
    }
    let number = u128::from_str_radix(digits, radix).ok()?;
    if negative {
        let number = i128::try_from(number).ok()?;
        Some(i64::try_from(-number).ok().map(Value::from))
    } else {
        Some(u64::try_from(number).ok().map(Value::from))
    }
}

/// Whether a number has leading zeros, so that it is a text.
fn is_padded(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}
