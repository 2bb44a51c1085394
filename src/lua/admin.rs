//! What `kong.vault.admin` asks of the library, and what a look-up does that finds vault entities changed.

use std::path::PathBuf;

use mlua::{IntoLuaMulti, Lua, LuaString, Nil, Table, UserDataMethods};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Native, or_error};
use crate::admin::{Body, LIMIT, Request};

/// Adds functions to the module.
pub fn functions(lua: &Lua, module: &Table) -> mlua::Result<()> {
    let message = |_: &Lua, text: LuaString| Ok(json!({ "message": text.to_string_lossy() }).to_string());
    module.set("message", lua.create_function(message)?)
}

/// Adds methods to a VM's handle.
pub fn methods<M: UserDataMethods<Native>>(methods: &mut M) {
    methods.add_method("catch_up", |lua, this, on_the_spot: bool| {
        let resolver = this.0.resolver();
        if on_the_spot {
            return or_error(lua, resolver.and_then(|resolver| resolver.catch_up_on_the_spot()).map(|()| Nil));
        }
        or_error(lua, resolver.and_then(|resolver| resolver.catch_up_soon()))
    });
    methods.add_method("is_known", |_, this, reference: LuaString| {
        Ok(this.0.resolver().is_ok_and(|resolver| resolver.is_known(&reference.as_bytes())))
    });
    methods.add_method("admin_limit", |_, _, ()| Ok(LIMIT));
    methods.add_method("admits", |lua, this, token: Option<LuaString>| {
        let token = token.map(|it| Zeroizing::new(it.as_bytes().to_vec()));
        let admits = this.0.resolver().and_then(|resolver| resolver.admits(token.as_ref().map(|it| it.as_slice())));
        match admits {
            Ok(admits) => admits.into_lua_multi(lua),
            Err(error) => (Nil, error.to_string()).into_lua_multi(lua),
        }
    });
    type Asked = (String, LuaString, Option<LuaString>, Option<LuaString>, Option<PathBuf>);
    methods.add_method("administer", |lua, this, (method, target, content_type, body, file): Asked| {
        let bytes = |text: &LuaString| text.as_bytes().to_vec();
        let request = Request {
            method,
            target: bytes(&target),
            content_type: content_type.as_ref().map(bytes),
            body: match file {
                Some(file) => Body::File(file),
                None => Body::Bytes(Zeroizing::new(body.as_ref().map(bytes).unwrap_or_default())),
            },
        };
        match this.0.resolver().and_then(|resolver| resolver.administer_soon(request)) {
            Ok(ticket) => ticket.into_lua_multi(lua),
            Err(error) => (Nil, error.to_string()).into_lua_multi(lua),
        }
    });
    methods.add_method("answer", |lua, this, ticket: u64| {
        match this.0.resolver().ok().and_then(|resolver| resolver.answer(ticket)) {
            Some(answer) => (answer.status, answer.body, answer.allow).into_lua_multi(lua),
            None => Nil.into_lua_multi(lua),
        }
    });
}
