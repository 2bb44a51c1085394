//! Finds the known name that a misspelt one is near to.

/// Above this, in characters, a name is near nothing; the distance takes long to compute.
const LONGEST: usize = 64;

/// Returns a name in lower case, with full-width characters replaced by normal ones.
pub fn folded(name: &str) -> String {
    let narrow = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        c => c,
    };
    name.chars().map(narrow).flat_map(char::to_lowercase).collect()
}

/// The nearest of the known names, if it was probably meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    if length > LONGEST {
        return None;
    }
    // The distance is no less than the difference of the lengths.
    let near = known.into_iter().filter(|known| known.len().abs_diff(length) <= 2 || !known.is_ascii());
    let nearest = near.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    nearest.filter(|(distance, _)| *distance <= 2 && distance * 2 <= length).map(|(_, known)| known)
}
