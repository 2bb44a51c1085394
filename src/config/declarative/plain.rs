//! Numbers and booleans as Kong's reader of YAML finds them in texts without quotes: by YAML 1.1.

/// Up to this number, an `f64` holds each whole number exactly.
pub const EXACT: f64 = 9_007_199_254_740_992.0;

pub fn boolean(text: &str) -> bool {
    let small = text.to_ascii_lowercase();
    let is_word = matches!(small.as_str(), "true" | "false" | "yes" | "no" | "on" | "off");
    // `TRUE`, `True` or `true`, but not `tRUE`.
    is_word && (text == small || text[1..] == small[1..] || text == text.to_ascii_uppercase())
}

/// The number that a text is.
pub fn number(text: &str) -> Option<f64> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (-1.0, unsigned),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let number = match text {
        ".nan" | ".NaN" | ".NAN" => f64::NAN,
        _ if matches!(unsigned, ".inf" | ".Inf" | ".INF") => f64::INFINITY,
        _ => whole(unsigned).or_else(|| sexagesimal(unsigned)).or_else(|| {
            let is_float = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            let is_float = is_float && unsigned.contains(['.', 'e', 'E']);
            unsigned.replace('_', "").parse().ok().filter(|_| is_float)
        })?,
    };
    Some(sign * number)
}

/// A whole number without a sign: with `0` before it one of base 8, with `0x` of base 16, with `0b` of base 2.
fn whole(text: &str) -> Option<f64> {
    let digits = |text: &str, base: u32| {
        let is_begun = text.trim_start_matches('_').starts_with(|c: char| c.is_digit(base));
        let add = |number: f64, c: char| match c {
            '_' => Some(number),
            c => c.to_digit(base).map(|digit| number * f64::from(base) + f64::from(digit)),
        };
        text.chars().try_fold(0.0, add).filter(|_| is_begun)
    };
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16);
    }
    if let Some(binary) = text.strip_prefix("0b") {
        return digits(binary, 2).filter(|_| binary.trim_start_matches('_').len() > 1);
    }
    let octal = text.strip_prefix('0').and_then(|rest| digits(rest, 8));
    octal.or_else(|| digits(text, 10))
}

/// `12:30:45` and `12:30:45.5`: a number of base 60.
fn sexagesimal(text: &str) -> Option<f64> {
    let (first, rest) = text.split_once(':')?;
    let (rest, fraction) = rest.split_once('.').map_or((rest, None), |(rest, fraction)| (rest, Some(fraction)));
    let all = |text: &str, allowed: fn(u8) -> bool| text.bytes().all(allowed);
    let is_digits = |text: &str| !text.is_empty() && all(text, |byte| byte.is_ascii_digit());
    let is_one = is_digits(first)
        && rest.starts_with(|c: char| c.is_ascii_digit())
        && all(rest, |byte| byte.is_ascii_digit() || byte == b':')
        && fraction.is_none_or(is_digits);
    let parts = std::iter::once(first).chain(rest.split(':').filter(|part| !part.is_empty()));
    let whole =
        parts.filter(|_| is_one).try_fold(0.0, |number, part| Some(number * 60.0 + part.parse::<f64>().ok()?))?;
    let fraction = fraction.map_or(Some(0.0), |digits| format!("0.{digits}").parse().ok())?;
    is_one.then_some(whole + fraction)
}

pub fn is_whole(number: f64) -> bool {
    number.floor() == number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_one_that_it_is_in_kong() {
        for (text, expected) in [
            ("8_200", 8200.0),
            ("010", 8.0),
            ("-017", -15.0),
            ("08", 8.0),
            ("0", 0.0),
            ("+0x1F", 31.0),
            ("0b_101", 5.0),
            ("1e3", 1000.0),
            ("1_0.5", 10.5),
            ("1:30", 90.0),
            ("-1:00:01.5", -3601.5),
            ("-.inf", f64::NEG_INFINITY),
        ] {
            assert_eq!(number(text), Some(expected), "{text}");
        }
    }
}
