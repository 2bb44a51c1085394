//! An answer's body. It is read up to `BODY_LIMIT`, and every copy that is given up is wiped.

use reqwest::Response;
use zeroize::{Zeroize, Zeroizing};

use super::transport::BODY_LIMIT;
use crate::secret::Secret;

/// Why a body could not be read.
pub(super) enum RefusedBody {
    TooLarge,
    Broken(reqwest::Error),
}

/// Reads the whole body, or stops at the limit.
pub(super) async fn read_bounded(mut response: Response) -> Result<Secret, RefusedBody> {
    let announced = response.content_length().unwrap_or(0);
    if announced > BODY_LIMIT as u64 {
        return Err(RefusedBody::TooLarge);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(announced as usize));
    while let Some(chunk) = response.chunk().await.map_err(RefusedBody::Broken)? {
        let fits = body.len() + chunk.len() <= BODY_LIMIT;
        if fits {
            append(&mut body, &chunk);
        }
        if let Ok(mut chunk) = chunk.try_into_mut() {
            chunk.as_mut().zeroize();
        }
        if !fits {
            return Err(RefusedBody::TooLarge);
        }
    }
    Ok(Secret::new(std::mem::take(&mut *body)))
}

/// `extend_from_slice`, but a buffer that is outgrown is wiped before it goes back to the allocator.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len() + chunk.len();
    if needed > body.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(needed.max(body.capacity() * 2)));
        larger.extend_from_slice(body);
        *body = larger;
    }
    body.extend_from_slice(chunk);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_pieces_is_the_whole_body() {
        let mut body = Zeroizing::new(Vec::new());
        for piece in [&b"one "[..], b"", b"two ", b"three"] {
            append(&mut body, piece);
        }
        assert_eq!(body.as_slice(), b"one two three");
    }
}
