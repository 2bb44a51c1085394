//! A clock that a target sets: what reads the monotonic clock in this program reads this one. It stands still but for a
//! nanosecond at each look, so that no two things are at the same time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static NANOSECONDS: AtomicU64 = AtomicU64::new(1_000_000_000_000);

const SECOND: u64 = 1_000_000_000;

pub fn advance(by: Duration) {
    NANOSECONDS.fetch_add(u64::try_from(by.as_nanos()).unwrap_or(0), Ordering::SeqCst);
}

/// The C library's, for this program.
///
/// # Safety
///
/// `time` points to a `timespec`, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    if id != libc::CLOCK_MONOTONIC || time.is_null() {
        // SAFETY: the system checks both arguments.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, id, time) } as libc::c_int;
    }
    let now = NANOSECONDS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the caller's promise.
    unsafe {
        (*time).tv_sec = (now / SECOND) as libc::time_t;
        (*time).tv_nsec = (now % SECOND) as libc::c_long;
    }
    0
}
