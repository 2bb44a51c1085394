//! Files with credentials in them: read whole, wiped when dropped, and a clause that says why one can't be had.

use std::io::{ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// Far above any file with credentials.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// A file's text.
pub fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let clause = |what: &str| format!("{} {what}", path.display());
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => clause("does not exist"),
        ErrorKind::PermissionDenied => clause("is not readable by this process's user"),
        ErrorKind::InvalidData => clause("is no UTF-8 text"),
        kind => clause(&format!("is not readable: {kind}")),
    };
    // A FIFO would hold up every fetch.
    let status = std::fs::metadata(path).map_err(failed)?;
    if !status.is_file() {
        return Err(clause("is no regular file"));
    }
    if status.len() > SIZE_LIMIT {
        return Err(clause("is too large for a file of credentials"));
    }
    let mut text = Zeroizing::new(String::with_capacity(status.len() as usize + 1));
    std::fs::File::open(path).and_then(|file| file.take(SIZE_LIMIT).read_to_string(&mut text)).map_err(failed)?;
    Ok(text)
}

/// The token that is all of a file, without the line's end.
pub fn token(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = read(path)?;
    match text.trim() {
        "" => Err(format!("{} is empty", path.display())),
        token => Ok(Zeroizing::new(token.to_owned())),
    }
}
