//! The messages on the leader's socket, in both directions: a length (4 bytes, little-endian), a root, a zero byte, and a
//! path below the root. Neither contains a zero byte.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::directory::Directory;

/// The longest message, in bytes: two paths of Linux.
const LONGEST: u32 = 8192 + 1;

pub async fn write(stream: &mut (impl AsyncWrite + Unpin), directory: &Directory) -> io::Result<()> {
    let text = [directory.root.as_bytes(), b"\0", directory.path.as_bytes()].concat();
    let Some(length) = u32::try_from(text.len()).ok().filter(|length| *length <= LONGEST) else {
        // Linux has no such path.
        return Ok(());
    };
    stream.write_all(&[&length.to_le_bytes()[..], &text].concat()).await
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
