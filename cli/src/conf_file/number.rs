//! Reads a value that begins as a number as LuaJIT does, and writes the number as LuaJIT does.

/// From this exponent on, LuaJIT does not take a text for a number.
const LARGEST_EXPONENT: i32 = 1 << 20;

/// Returns a value that is a number as Lua writes that number; `None` for any other value. Only a value that begins
/// with a digit or a sign can be a number here.
pub fn read(value: &[u8]) -> Option<String> {
    if !begins(value) {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    let number = parse(text).or_else(|| parse(&text.strip_suffix(" kB")?.replace(" kB", "")))?;
    Some(write(number))
}

/// Whether Kong takes a value for a size and removes the unit, even where the rest is not a number.
pub fn has_unit(value: &[u8]) -> bool {
    begins(value) && value.ends_with(b" kB")
}

fn begins(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'0'..=b'9' | b'+' | b'-'))
}

/// `tonumber` of LuaJIT.
fn parse(text: &str) -> Option<f64> {
    let text = text.trim_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let number = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => f64::NAN,
        _ => match (lower.strip_prefix("0x"), lower.strip_prefix("0b")) {
            (Some(digits), _) => of_base(digits, 16)?,
            (_, Some(digits)) => of_base(digits, 2)?,
            // Rust's `parse` would also accept a second sign, and words.
            _ if lower.starts_with(|first: char| first.is_ascii_digit() || first == '.') => {
                lower.split_once('e').map_or(Some(0), |(_, exponent)| exponent_of(exponent))?;
                lower.parse().ok()?
            }
            _ => return None,
        },
    };
    Some(if is_negative { -number } else { number })
}

/// A number with binary or hexadecimal digits, a point among them, and an exponent of 2 behind `p`.
fn of_base(text: &str, base: u32) -> Option<f64> {
    let (mantissa, exponent) = match text.split_once('p') {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
        None => (text, 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && part.is_empty() || base == 2 && text.contains(['.', 'p']) {
        return None;
    }
    let add = |sum: f64, digit: char| Some(sum * f64::from(base) + f64::from(digit.to_digit(base)?));
    let digits = whole.chars().chain(part.chars()).try_fold(0.0, add)?;
    let places = i32::try_from(part.len()).ok()?.checked_mul(4)?;
    Some(digits * 2f64.powi(exponent.checked_sub(places)?))
}

fn exponent_of(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i32>().ok().filter(|size| *size < LARGEST_EXPONENT)?;
    Some(if text.starts_with('-') { -size } else { size })
}

/// Formats a number as C's `%.14g`, but rounds a tie away from zero, as LuaJIT does.
fn write(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let exact = format!("{:.60e}", number.abs());
    let tail = exact.get(15..).and_then(|tail| tail.split('e').next()).unwrap_or_default();
    let is_tie = tail.strip_prefix('5').is_some_and(|rest| rest.bytes().all(|digit| digit == b'0'));
    let number = match number {
        number if !is_tie => number,
        number if number < 0.0 => number.next_down(),
        number => number.next_up(),
    };
    let scientific = format!("{number:.13e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let bare = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..14).contains(&exponent) {
        let places = usize::try_from(13 - exponent).unwrap_or(0);
        return bare(&format!("{number:.places$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", bare(digits), exponent.unsigned_abs())
}
