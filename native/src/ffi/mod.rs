//! The C ABI for LuaJIT's FFI: few functions, each of which converts, calls one safe function and converts back.
//! `lua/kong/vault/native.lua` declares the same; a test compares the two.
//!
//! It uses one VM's state. It must never decide: it converts, and calls.

#![expect(unsafe_code, reason = "the C ABI")]

mod guard;
mod handle;
pub mod status;

use std::ffi::CStr;
use std::os::raw::c_char;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

pub use handle::{Answer, Handle, hand_over, longest_value};

use guard::guard;

use kong_vault::audit::Read;
use kong_vault::resolver::node_protocol::operation::Reply;
use kong_vault::resolver::singleflight::Joiner;

/// The version of this ABI.
#[unsafe(no_mangle)]
pub extern "C" fn kong_vault_abi_version() -> u32 {
    status::ABI_VERSION
}

/// Which release this is, as a text that ends with a zero byte. `native.lua` refuses any other. The Lua files of all
/// releases call this one and the one above, so neither ever changes.
#[unsafe(no_mangle)]
pub extern "C" fn kong_vault_version() -> *const c_char {
    RELEASE.as_ptr().cast()
}

const RELEASE: &str = concat!("kong-vault ", env!("CARGO_PKG_VERSION"), "\0");

/// The generation, which moves when copies of values in Lua are outdated. It has 32 bits, as LuaJIT's interpreter would
/// allocate an object each time that it reads a 64-bit number.
///
/// # Safety
/// `handle` is a live handle; the pointer is valid as long as that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_generation(handle: *const Handle) -> *const u32 {
    // SAFETY: as demanded of the caller.
    unsafe { &*handle }.vm.generation() as *const AtomicU32 as *const u32
}

/// A pointer to the address of the epoch, which moves when any process changes vault entities.
///
/// # Safety
/// As `kong_vault_generation`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_epoch(handle: *const Handle) -> *const *const u32 {
    // SAFETY: as demanded of the caller.
    unsafe { &*handle }.vm.watch().epoch() as *const AtomicPtr<AtomicU32> as *const *const u32
}

/// The epoch at which this process last read the entities.
///
/// # Safety
/// As `kong_vault_generation`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_seen_epoch(handle: *const Handle) -> *const u32 {
    // SAFETY: as demanded of the caller.
    unsafe { &*handle }.vm.watch().seen_epoch() as *const AtomicU32 as *const u32
}

/// Looks a reference up. On a miss, joins a call (`PENDING` with `waits`, else `FAILED`) or creates one (`CREATED`).
/// With `waits`, its outcome must be collected. `queues`: the caller limits how many it has under way, so none is
/// refused.
///
/// # Safety
/// `handle` is a live handle, `reference` has `size` readable bytes, `answer` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_lookup(
    handle: *const Handle,
    reference: *const c_char,
    size: usize,
    waits: bool,
    queues: bool,
    answer: *mut Answer,
) -> i32 {
    guard(status::PANICKED, || {
        // SAFETY: as demanded of the caller.
        let (handle, reference, answer) = unsafe { (&*handle, bytes(reference, size), &mut *answer) };
        answer.generation = handle.vm.generation().load(Ordering::Acquire);
        handle.lookup(reference, Joiner { waits, queues }, answer)
    })
}

/// Joins or creates a call whose fetch begins after `since`. Answers as `kong_vault_lookup` with `waits`, or `NOTHING`,
/// where there is nothing to wait for.
///
/// # Safety
/// As `kong_vault_lookup`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_renew(
    handle: *const Handle,
    reference: *const c_char,
    size: usize,
    since: f64,
    queues: bool,
    answer: *mut Answer,
) -> i32 {
    guard(status::PANICKED, || {
        // SAFETY: as demanded of the caller.
        let (handle, reference, answer) = unsafe { (&*handle, bytes(reference, size), &mut *answer) };
        answer.generation = handle.vm.generation().load(Ordering::Acquire);
        handle.renew(reference, since, queues, answer)
    })
}

/// Continues a fetch of the node with Lua's reply to the last order. `reply` and `seconds` are about the claim, `owner`
/// is the claim that is there already, and `document` is what was read, or where the request stands in its trace
/// (`size` 0: nothing). The answer has the next order.
///
/// # Safety
/// `handle` is a live handle, `document` and `owner` have as many readable bytes as said, `answer` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_step(
    handle: *const Handle,
    ticket: u64,
    reply: i32,
    document: *const c_char,
    size: usize,
    owner: *const c_char,
    owner_size: usize,
    seconds: f64,
    answer: *mut Answer,
) {
    guard((), || {
        // SAFETY: as demanded of the caller.
        let (handle, document, owner, answer) =
            unsafe { (&*handle, bytes(document, size), bytes(owner, owner_size), &mut *answer) };
        answer.order = status::NONE;
        if matches!(reply, status::TRACED | status::WAITER_TRACED) {
            return handle.traced(ticket, reply == status::TRACED, document, answer);
        }
        let owner = String::from_utf8_lossy(owner);
        let reply = Reply {
            answer: status::answer(reply, &owner, seconds),
            document: Some(document).filter(|document| !document.is_empty()),
        };
        handle.step(ticket, reply, answer);
    });
}

/// Continues a fetch that is complete. The answer has an order where this worker must publish it.
///
/// # Safety
/// `handle` is a live handle, `answer` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_publish(handle: *const Handle, ticket: u64, answer: *mut Answer) {
    guard((), || {
        // SAFETY: as demanded of the caller.
        let (handle, answer) = unsafe { (&*handle, &mut *answer) };
        answer.order = status::NONE;
        handle.publish(ticket, answer);
    });
}

/// The value of a reference from the call that it waited for, with its lease in `seconds` (0: it has none); `PENDING`
/// where the call is still under way. The ticket is used up either way.
///
/// # Safety
/// As `kong_vault_lookup`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_collect(
    handle: *const Handle,
    ticket: u64,
    reference: *const c_char,
    size: usize,
    answer: *mut Answer,
) -> i32 {
    guard(status::PANICKED, || {
        // SAFETY: as demanded of the caller.
        let (handle, reference, answer) = unsafe { (&*handle, bytes(reference, size), &mut *answer) };
        answer.generation = handle.vm.generation().load(Ordering::Acquire);
        handle.collect(ticket, reference, answer)
    })
}

/// Whether a call or a job is complete, or unknown.
///
/// # Safety
/// `handle` is a live handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_completed(handle: *const Handle, ticket: u64) -> bool {
    guard(true, || {
        // SAFETY: as demanded of the caller.
        let handle = unsafe { &*handle };
        handle.vm.resolver().map_or(true, |resolver| resolver.is_completed(ticket))
    })
}

/// The next event of this VM's notifier, or `NOTHING`.
///
/// # Safety
/// `handle` is a live handle, `answer` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_event(handle: *const Handle, answer: *mut Answer) -> i32 {
    guard(status::PANICKED, || {
        // SAFETY: as demanded of the caller.
        let (handle, answer) = unsafe { (&*handle, &mut *answer) };
        handle.event(answer)
    })
}

/// Has the audit log note a look-up. A text that is not known is null.
///
/// # Safety
/// `handle` is a live handle, `reference` has `size` readable bytes; the other texts end with a zero byte, or are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_audit_read(
    handle: *const Handle,
    reference: *const c_char,
    size: usize,
    served: bool,
    phase: *const c_char,
    plugin: *const c_char,
    plugin_id: *const c_char,
    route: *const c_char,
    service: *const c_char,
    server: *const c_char,
    location: *const c_char,
    request_id: *const c_char,
) {
    guard((), || {
        // SAFETY: as demanded of the caller.
        let (handle, reference) = unsafe { (&*handle, bytes(reference, size)) };
        // SAFETY: as demanded of the caller.
        let text = |text: *const c_char| unsafe { text_or_none(text) };
        let read = Read {
            reference,
            served,
            phase: text(phase),
            plugin: text(plugin),
            plugin_id: text(plugin_id),
            route: text(route),
            service: text(service),
            server: text(server),
            location: text(location),
            request_id: text(request_id),
        };
        if let Ok(resolver) = handle.vm.resolver() {
            resolver.audit().read(&read);
        }
    });
}

/// Gives up the value of the last answer, once Lua has copied it: only those who need it keep it then.
///
/// # Safety
/// `handle` is a live handle; no `data` of an answer is read afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_release(handle: *const Handle) {
    guard((), || {
        // SAFETY: as demanded of the caller.
        unsafe { &*handle }.release();
    })
}

/// # Safety
/// `text` ends with a zero byte, or is null.
unsafe fn text_or_none<'a>(text: *const c_char) -> &'a [u8] {
    if text.is_null() {
        return &[];
    }
    // SAFETY: as demanded of the caller.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}

/// # Safety
/// `data` has `size` readable bytes; with `size` 0 it may be anything.
unsafe fn bytes<'a>(data: *const c_char, size: usize) -> &'a [u8] {
    match size {
        0 => &[],
        // SAFETY: as demanded of the caller.
        _ => unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) },
    }
}
