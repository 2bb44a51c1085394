//! The C ABI for LuaJIT's FFI: few functions, each of which converts, calls one safe function and converts back.
//! `lua/kong/vault/native.lua` declares the same; a test compares the two.

mod guard;
pub mod status;

use std::os::raw::c_char;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Kind, Result};
use crate::resolver::{Lookup, Resolver, Value};
use crate::secret::Secret;
use crate::vm::Vm;
use guard::guard;

/// A VM as Lua sees it, with what the last answer points to.
pub struct Handle {
    pub vm: Vm,
    last: Mutex<Option<Arc<Secret>>>,
}

/// What a call answers. `data` stays valid until the next call with the same handle.
#[repr(C)]
pub struct Answer {
    ticket: u64,
    generation: u64,
    data: *const c_char,
    size: usize,
}

impl Handle {
    pub fn new(vm: Vm) -> Self {
        Self { vm, last: Mutex::new(None) }
    }

    fn show(&self, answer: &mut Answer, bytes: Arc<Secret>) {
        answer.data = bytes.as_bytes().as_ptr().cast();
        answer.size = bytes.len();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
    }

    fn answer(&self, answer: &mut Answer, outcome: Result<Option<Value>>) -> i32 {
        match outcome {
            Ok(Some(Value { secret, lasting })) => {
                self.show(answer, secret);
                if lasting { status::VALUE } else { status::FLEETING }
            }
            Ok(None) => status::PENDING,
            Err(error) => {
                self.show(answer, Arc::new(Secret::new(error.for_users())));
                status::FAILED
            }
        }
    }
}

fn lookup(resolver: &Arc<Resolver>, reference: &[u8], waits: bool, ticket: &mut u64) -> Result<Option<Value>> {
    match resolver.lookup(reference)? {
        Lookup::Value(value) => {
            if !value.lasting {
                resolver.watch()?;
            }
            Ok(Some(value))
        }
        Lookup::Miss(plan) => {
            let old = if waits { None } else { resolver.stale(&plan) };
            *ticket = resolver.depart(&plan, waits)?;
            if waits {
                return Ok(None);
            }
            if let Some(old) = old {
                return old.map(Some);
            }
            let text = format!(
                "{} would block in this phase: the secret is being fetched in the background, ask again later or warm it up in init_worker",
                plan.origin.label()
            );
            Err(Error::new(Kind::WouldBlock, text))
        }
    }
}

/// The version of this ABI.
#[unsafe(no_mangle)]
pub extern "C" fn kong_vault_abi_version() -> u32 {
    status::ABI_VERSION
}

/// The counter that changes whenever a value that Lua may have kept is not to be served any more.
///
/// # Safety
/// `handle` is a live handle; the pointer is valid as long as that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_generation(handle: *const Handle) -> *const u64 {
    // SAFETY: as demanded of the caller.
    unsafe { &*handle }.vm.generation() as *const AtomicU64 as *const u64
}

/// Looks a reference up. On a miss the fetch is started: with `waits`, the answer is `PENDING` and a ticket that has to
/// be claimed, else `FAILED`.
///
/// # Safety
/// `handle` is a live handle, `reference` has `size` readable bytes, `answer` is writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_lookup(
    handle: *const Handle,
    reference: *const c_char,
    size: usize,
    waits: bool,
    answer: *mut Answer,
) -> i32 {
    guard(status::PANICKED, || {
        // SAFETY: as demanded of the caller.
        let (handle, reference, answer) =
            unsafe { (&*handle, std::slice::from_raw_parts(reference.cast::<u8>(), size), &mut *answer) };
        answer.generation = handle.vm.generation().load(Ordering::Acquire);
        let found = handle.vm.resolver().and_then(|resolver| lookup(resolver, reference, waits, &mut answer.ticket));
        handle.answer(answer, found)
    })
}

/// The value of a reference from the flight it waited for; `PENDING` where that is still under way. Either way the
/// ticket is used up.
///
/// # Safety
/// As `kong_vault_lookup`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kong_vault_claim(
    handle: *const Handle,
    ticket: u64,
    reference: *const c_char,
    size: usize,
    answer: *mut Answer,
) -> i32 {
    guard(status::PANICKED, || {
        // SAFETY: as demanded of the caller.
        let (handle, reference, answer) =
            unsafe { (&*handle, std::slice::from_raw_parts(reference.cast::<u8>(), size), &mut *answer) };
        answer.generation = handle.vm.generation().load(Ordering::Acquire);
        let claimed = handle.vm.resolver().and_then(|resolver| resolver.claim(ticket, reference));
        handle.answer(answer, claimed)
    })
}
