//! What the Lua module hands out: a VM's handle.

use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Nil};

use crate::ffi::{Handle, hand_over};
use kong_vault::error::Result;
use kong_vault::secret::Secret;

/// One Lua VM's handle; boxed, so that the pointer given to the FFI stays where it is.
pub(super) struct Native(pub(super) Box<Handle>);

/// `value`, or `nil, err`.
pub(super) fn or_error<T: mlua::IntoLua>(lua: &Lua, outcome: Result<T>) -> mlua::Result<MultiValue> {
    match outcome {
        Ok(value) => value.into_lua_multi(lua),
        Err(error) => (Nil, error.for_users()).into_lua_multi(lua),
    }
}

/// A value as a Lua string.
pub(super) fn copied(lua: &Lua, value: &Secret) -> mlua::Result<LuaString> {
    hand_over(value);
    lua.create_string(value.as_bytes())
}
