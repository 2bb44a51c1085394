//! Writes files as the fields of a JSON object.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::cache::document::Document;
use crate::secret::Secret;

/// A JSON object with the files' contents by their names. Bytes that are not UTF-8 stay as they are: lua-cjson and this
/// library read them.
pub fn object(files: &[(String, Arc<Document>)]) -> Secret {
    // Room for the longest escapes keeps the buffer from being moved, which would leave copies behind.
    let room = files.iter().map(|(name, document)| 6 * (name.len() + document.whole().len()) + 8).sum::<usize>() + 2;
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    text.push(b'{');
    for (place, (name, document)) in files.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        add_text(&mut text, name.as_bytes());
        text.push(b':');
        add_text(&mut text, document.whole().as_bytes());
    }
    text.push(b'}');
    Secret::new(std::mem::take(&mut *text))
}

fn add_text(text: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    text.push(b'"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', *byte]),
            0..0x20 | 0x7f => {
                let digits = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
                text.extend_from_slice(b"\\u00");
                text.extend_from_slice(&digits);
            }
            _ => text.push(*byte),
        }
    }
    text.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back_as_fields() {
        let contents = [&b"plain"[..], b"", b"a\"b\\c\n\0\x7f\x1f", "\u{e4}\u{1f600}".as_bytes(), b"\xff\xfe\x80"];
        let files: Vec<_> = contents
            .iter()
            .enumerate()
            .map(|(number, bytes)| (format!("key\"{number}"), Arc::new(Document::new(Secret::new(*bytes)))))
            .collect();
        let document = Document::new(object(&files));
        for (name, file) in &files {
            let field = document.pick(Some(name.as_bytes()), false).unwrap();
            assert_eq!(field.as_bytes(), file.whole().as_bytes(), "{name}");
        }
        assert_eq!(object(&[]).as_bytes(), b"{}");
    }
}
