//! Numbers by which Lua collects what it waits for.

use std::sync::atomic::{AtomicU64, Ordering};

/// Tickets are unique in the process: several Lua VMs share an engine. They stay below 2^53, exact in a Lua number.
static NEXT_TICKET: AtomicU64 = AtomicU64::new(1);

/// A ticket that was never given before.
pub fn next_ticket() -> u64 {
    NEXT_TICKET.fetch_add(1, Ordering::Relaxed)
}
