//! The numbers that cross the C boundary. A number once given is never given to anything else.

/// The version of everything in this folder; `native.lua` refuses any other.
pub const ABI_VERSION: u32 = 5;

/// `data` is the value; it may be kept while the generation is the answer's.
pub const VALUE: i32 = 0;
/// `data` is the value; it is good for this call only.
pub const FLEETING: i32 = 1;
/// The document is being fetched; its outcome has to be collected with `ticket`.
pub const PENDING: i32 = 2;
/// `data` says why there is no value.
pub const FAILED: i32 = 3;
/// The document has to be fetched: `ticket` is the call to start, `data` the document's name.
pub const CREATED: i32 = 4;
/// There is nothing of what was asked for.
pub const NOTHING: i32 = 5;
/// The other worker's fetch began too early to serve the call, which has to be started otherwise.
pub const TOO_EARLY: i32 = 6;
/// A panic was caught; there is nothing in the answer.
pub const PANICKED: i32 = -1;

/// Events: the call `ticket` is completed.
pub const COMPLETED: i32 = 16;
/// The call `ticket` has to be started. `data` is the document's name (32 characters), then the dead worker's address.
pub const START: i32 = 17;
/// The same for a call that probes whether its vault is back. `data` is the names of the document and of the vault.
pub const PROBE: i32 = 18;
/// A vault came back, or went bad. `data` is its name and a line for the log.
pub const VAULT_UP: i32 = 19;
pub const VAULT_DOWN: i32 = 20;
/// Copies of values are outdated.
pub const OUTDATED: i32 = 21;
/// A vault still is bad. `data` is its name; `seconds`, for how long nobody is to be told anew.
pub const VAULT_STILL_BAD: i32 = 22;
/// A vault answered for the first time. `data` is its name, the name of its notices, and a line for the log.
pub const VAULT_ANSWERS: i32 = 23;
/// There is a notice for the log.
pub const CACHE_CROWDED: i32 = 24;
