//! The messages on the leader's socket, in both directions: a length (4 bytes, little-endian), a root, a zero byte, and a
//! path below the root. Neither contains a zero byte. To the leader, `+` or `-` comes before the root.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::directory::Directory;

/// The longest message, in bytes: two paths of Linux.
const LONGEST: u32 = 8192 + 2;

const WANTED: &str = "+";
const UNWANTED: &str = "-";

/// Tells the leader whether a directory is wanted.
pub async fn write_wish(
    stream: &mut (impl AsyncWrite + Unpin),
    directory: &Directory,
    is_wanted: bool,
) -> io::Result<()> {
    write_text(stream, if is_wanted { WANTED } else { UNWANTED }, directory).await
}

pub async fn write(stream: &mut (impl AsyncWrite + Unpin), directory: &Directory) -> io::Result<()> {
    write_text(stream, "", directory).await
}

async fn write_text(stream: &mut (impl AsyncWrite + Unpin), sign: &str, directory: &Directory) -> io::Result<()> {
    let text = [sign.as_bytes(), directory.root.as_bytes(), b"\0", directory.path.as_bytes()].concat();
    let Some(length) = u32::try_from(text.len()).ok().filter(|length| *length <= LONGEST) else {
        // Linux has no such path.
        return Ok(());
    };
    stream.write_all(&[&length.to_le_bytes()[..], &text].concat()).await
}

/// A directory, and whether it is wanted.
pub async fn read_wish(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Directory, bool)> {
    let Directory { root, path } = read(stream).await?;
    let wish = |sign, is_wanted| Some((root.strip_prefix(sign)?.to_owned(), is_wanted));
    let (root, is_wanted) = wish(WANTED, true).or_else(|| wish(UNWANTED, false)).ok_or(io::ErrorKind::InvalidData)?;
    Ok((Directory { root, path }, is_wanted))
}

pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Directory> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let length = stream.read_u32_le().await?;
    if length > LONGEST {
        return Err(invalid());
    }
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text).await?;
    let text = String::from_utf8(text).map_err(|_| invalid())?;
    let (root, path) = text.split_once('\0').ok_or_else(invalid)?;
    Ok(Directory { root: root.to_owned(), path: path.to_owned() })
}
