//! The numbers that cross the C boundary. A number once given is never given to anything else.

/// The version of everything in this folder; `native.lua` refuses any other.
pub const ABI_VERSION: u32 = 1;

/// `data` is the value; it may be kept while the generation is the answer's.
pub const VALUE: i32 = 0;
/// `data` is the value; it is good for this call only.
pub const FLEETING: i32 = 1;
/// The document is being fetched; `ticket` has to be claimed.
pub const PENDING: i32 = 2;
/// `data` says why there is no value.
pub const FAILED: i32 = 3;
/// A panic was caught; there is nothing in the answer.
pub const PANICKED: i32 = -1;
