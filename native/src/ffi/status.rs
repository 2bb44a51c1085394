//! The numbers that cross the C boundary. A number that was given is never given to anything else.

use std::time::Duration;

use kong_vault::resolver::node_protocol::operation::{Answer, Verb};

/// The version of everything in this folder. `native.lua` refuses any other.
pub const ABI_VERSION: u32 = 6;

/// `data` is the value; it may be kept while the generation is the answer's.
pub const VALUE: i32 = 0;
/// `data` is the value; it is good for this call only.
pub const FLEETING: i32 = 1;
/// The document is being fetched. Its outcome must be collected with `ticket`.
pub const PENDING: i32 = 2;
/// `data` says why there is no value.
pub const FAILED: i32 = 3;
/// The document must be fetched: `ticket` is the fetch to start, and the answer has an order.
pub const CREATED: i32 = 4;
/// There is no event, or nothing to wait for.
pub const NOTHING: i32 = 5;
/// `data` says why there is no value: the reference names a vault that nobody configured here.
pub const UNKNOWN_VAULT: i32 = 7;
/// There is no order.
pub const NONE: i32 = 31;
/// A panic was caught; there is nothing in the answer.
pub const PANICKED: i32 = -1;

/// Events: the fetch `ticket` is complete. If this worker must publish it, the answer has an order.
pub const COMPLETED: i32 = 16;
/// The fetch `ticket` must be started. The answer has an order.
pub const START: i32 = 17;
/// A vault is up again, or down. `data` is its name and a line for the log.
pub const VAULT_UP: i32 = 19;
pub const VAULT_DOWN: i32 = 20;
/// Copies of values are outdated.
pub const OUTDATED: i32 = 21;
/// A vault stays down. `data` is its name; `seconds`: for how long it is not logged again.
pub const VAULT_STILL_BAD: i32 = 22;
/// A vault answered for the first time. `data` is its name, the name of its notices, and a line for the log.
pub const VAULT_ANSWERS: i32 = 23;
/// There is a notice for the log.
pub const CACHE_CROWDED: i32 = 24;
/// There are debug lines for the log.
pub const DEBUG_LINES: i32 = 25;

/// Orders: what Lua must do next for a fetch of the node. First the operations on the shared dictionary, which are
/// those of `Verb`. `data` is a name, a claim of `claim_size` bytes and the rest; `seconds`: how long an added entry
/// lasts.
pub const LOOK: i32 = 32;
pub const READ: i32 = 33;
pub const CLAIM: i32 = 34;
pub const RECLAIM: i32 = 35;
pub const TAKE_OVER: i32 = 36;
pub const RELEASE: i32 = 37;
pub const PUBLISH: i32 = 38;
pub const PROBE_CLAIM: i32 = 39;
pub const PROBE_PAUSE: i32 = 40;
/// Lua must say where the request stands in its trace: before its fetch is started, or as it waits for another's.
pub const TRACE: i32 = 41;
pub const TRACE_WAITER: i32 = 42;
/// Orders without an operation: the fetch is under way; it is under way, and an older value serves; it is complete.
/// `data` is the document's name and a note for a debug line.
pub const UNDER_WAY: i32 = 48;
pub const SERVES: i32 = 49;
pub const COMPLETE: i32 = 50;

/// What Lua replies about a claim: none was to be made; it was made; another one is there, or was there and is gone;
/// there was no room for it; another worker probes the vault, or has found it up again.
pub const DONE: i32 = 64;
pub const CLAIMED: i32 = 65;
pub const OWNER: i32 = 66;
pub const GONE: i32 = 67;
pub const NO_ROOM: i32 = 68;
pub const PROBED: i32 = 69;
pub const IS_UP: i32 = 70;

/// `document` is where the request stands in its trace, if anywhere: the replies to `TRACE` and `TRACE_WAITER`.
pub const TRACED: i32 = 71;
pub const WAITER_TRACED: i32 = 72;

/// The number of an operation.
pub(super) fn order(verb: Verb) -> i32 {
    match verb {
        Verb::Look => LOOK,
        Verb::Read => READ,
        Verb::Claim => CLAIM,
        Verb::Reclaim => RECLAIM,
        Verb::TakeOver => TAKE_OVER,
        Verb::Release => RELEASE,
        Verb::Publish => PUBLISH,
        Verb::Probe => PROBE_CLAIM,
        Verb::Pause => PROBE_PAUSE,
    }
}

/// What Lua replied.
pub(super) fn answer(reply: i32, owner: &str, seconds: f64) -> Answer<'_> {
    match reply {
        CLAIMED => Answer::Claimed,
        OWNER => Answer::Owner(owner),
        GONE => Answer::Gone,
        NO_ROOM => Answer::NoRoom,
        PROBED => Answer::Probed(Duration::try_from_secs_f64(seconds).unwrap_or_default()),
        IS_UP => Answer::IsUp,
        _ => Answer::Done,
    }
}
