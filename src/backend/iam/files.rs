//! Files with credentials in them: read whole, wiped when dropped, and a clause that says why one can't be had.

use std::path::Path;

use zeroize::Zeroizing;

use crate::backend::file;

/// Far above any file with credentials.
const SIZE_LIMIT: u64 = 1024 * 1024;

/// A file's text.
pub async fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    let clause = |what: &str| format!("{} {what}", file::shown(path));
    let read = file::read_soon(path, SIZE_LIMIT, file::PATIENCE).await;
    let (mut bytes, _) = read.map_err(|flaw| clause(&flaw.to_string()))?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            Err(clause("is no UTF-8 text"))
        }
    }
}

/// The token that is all of a file, without the line's end.
pub async fn token(path: &Path) -> Result<Zeroizing<String>, String> {
    let text = read(path).await?;
    match text.trim() {
        "" => Err(format!("{} is empty", file::shown(path))),
        token => Ok(Zeroizing::new(token.to_owned())),
    }
}
