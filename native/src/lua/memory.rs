//! Wipes what the Lua VM frees. A value handed to Lua is a Lua string. LuaJIT's allocator leaves a collected string's
//! bytes as they were until the memory is used again, which in a worker may be never. LuaJIT lets a program replace the
//! allocator of a running VM (`lua_setallocf`), and passes it the size of each block that it frees.
//!
//! A wipe brings memory back into the processor's cache, which makes long blocks expensive. So blocks that are much
//! longer than any value that Lua was given are not wiped. `make bench` shows the cost of the others.

#![expect(unsafe_code, reason = "the allocator of a Lua VM is replaced in C")]

use std::os::raw::c_void;
use std::ptr;

use mlua::ffi::{
    LUA_REGISTRYINDEX, lua_Alloc, lua_State, lua_getallocf, lua_newthread, lua_setallocf, luaL_checkstack, luaL_ref,
};
use mlua::{Lua, UserData, Value};

use crate::ffi::longest_value;

/// Where the registry of a VM keeps its `WipedVm`.
const KEY: &str = "kong_vault_memory";

/// A VM whose freed memory is wiped. The VM's registry owns it, so it is dropped when the VM is closed, before the VM's
/// memory is given back: LuaJIT recognises its own allocator there, and unmaps all memory at once.
struct WipedVm {
    /// A coroutine's state that the registry keeps: the one that loads the library may end long before the VM.
    state: *mut lua_State,
    own: Box<Own>,
}

/// The allocator that the VM had.
struct Own {
    allocate: lua_Alloc,
    data: *mut c_void,
}

impl UserData for WipedVm {}

/// How many bytes a block may have besides the value in it, such as a string's head or a header's name.
const SURROUNDINGS: usize = 1024;

/// Wipes memory that this VM frees from now on and that may hold a value. A second call does nothing.
pub(super) fn wipe_when_freed(lua: &Lua) -> mlua::Result<()> {
    if !matches!(lua.named_registry_value(KEY)?, Value::Nil) {
        return Ok(());
    }
    let mut state = ptr::null_mut();
    // SAFETY: one slot is asked for, pushed, and popped into the registry.
    unsafe {
        lua.exec_raw::<()>((), |running| {
            luaL_checkstack(running, 1, ptr::null());
            state = lua_newthread(running);
            luaL_ref(running, LUA_REGISTRYINDEX);
        })?;
    }
    let mut data = ptr::null_mut();
    // SAFETY: the registry keeps the state for as long as the VM lives.
    let own = Box::new(Own { allocate: unsafe { lua_getallocf(state, &raw mut data) }, data });
    let own_data = ptr::from_ref(&*own).cast_mut().cast();
    // The owner first: after an error in this call, no allocator may be left that points to `own`.
    lua.set_named_registry_value(KEY, WipedVm { state, own })?;
    // SAFETY: `own` lives until `WipedVm` is dropped, which puts the VM's own allocator back.
    unsafe { lua_setallocf(state, allocate, own_data) };
    Ok(())
}

impl Drop for WipedVm {
    fn drop(&mut self) {
        let mut data = ptr::null_mut();
        // SAFETY: finalizers run before the VM frees what they may use.
        unsafe {
            lua_getallocf(self.state, &raw mut data);
            // Another allocator may have replaced this one since, and call it: then this one stays, with what it needs.
            if ptr::eq(data.cast(), &*self.own) {
                lua_setallocf(self.state, self.own.allocate, self.own.data);
            } else {
                let own = Box::new(Own { allocate: self.own.allocate, data: self.own.data });
                Box::leak(std::mem::replace(&mut self.own, own));
            }
        }
    }
}

/// Whether a block of that length may hold a value, alone or twice over.
fn may_hold_value(length: usize) -> bool {
    let longest = longest_value();
    longest > 0 && length <= 2 * longest + SURROUNDINGS
}

/// The VM's own allocator, except that it wipes memory that may hold a value before the memory is given up: a block,
/// the end of one that shrinks, and the old copy of one that grows. A growing block is copied here, as the system would
/// move it without a wipe.
///
/// # Safety
/// As `lua_Alloc`: `data` is an `Own`, and `block` has `old` bytes of its making.
unsafe extern "C" fn allocate(data: *mut c_void, block: *mut c_void, old: usize, new: usize) -> *mut c_void {
    // SAFETY: as demanded of the caller. The compiler knows nothing about the VM's own allocator, so it can't leave out
    // a wipe of memory that is about to be freed.
    unsafe {
        let own = &*data.cast::<Own>();
        if block.is_null() || new == old || !may_hold_value(old) {
            return (own.allocate)(own.data, block, old, new);
        }
        if new < old {
            block.cast::<u8>().add(new).write_bytes(0, old - new);
            return (own.allocate)(own.data, block, old, new);
        }
        let larger = (own.allocate)(own.data, ptr::null_mut(), 0, new);
        if !larger.is_null() {
            ptr::copy_nonoverlapping(block.cast::<u8>(), larger.cast(), old);
            block.cast::<u8>().write_bytes(0, old);
            (own.allocate)(own.data, block, old, 0);
        }
        larger
    }
}
