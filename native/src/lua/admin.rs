//! What `kong.vault.admin` needs of the library, and a look-up that finds vault entities changed.

use std::path::PathBuf;

use mlua::{IntoLuaMulti, Lua, LuaString, Nil, Table, UserDataMethods};
use serde_json::json;
use zeroize::Zeroizing;

use super::native::{Native, or_error};
use kong_vault::admin::{Access, Body, LIMIT, Request, Requester, Who};
use kong_vault::error::{Error, Kind};

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
    type AccessArguments = (Option<LuaString>, Vec<LuaString>, Vec<LuaString>, Vec<LuaString>);
    methods.add_method("check_access", |lua, this, (token, peers, hosts, headers): AccessArguments| {
        let token = token.map(|it| Zeroizing::new(it.as_bytes().to_vec()));
        let bytes = |list: &[LuaString]| list.iter().map(|it| it.as_bytes().to_vec()).collect::<Vec<_>>();
        let (peers, hosts, headers) = (bytes(&peers), bytes(&hosts), bytes(&headers));
        let requester = Requester {
            token: token.as_ref().map(|it| it.as_slice()),
            peers: peers.iter().map(Vec::as_slice).collect(),
            hosts: hosts.iter().map(Vec::as_slice).collect(),
            headers: headers.iter().map(Vec::as_slice).collect(),
        };
        match this.0.vm.check_access(&requester) {
            Ok((Access::Granted, name)) => (true, name).into_lua_multi(lua),
            Ok((Access::Unauthorized, _)) => (false, 401, "Unauthorized").into_lua_multi(lua),
            Ok((Access::Refused(why), _)) => (false, 403, why).into_lua_multi(lua),
            Err(error) => (false, 503, error.to_string()).into_lua_multi(lua),
        }
    });
    methods.add_method("refuse_all", |_, this, why: String| {
        this.0.vm.refuse_all(Error::new(Kind::Config, why));
        Ok(())
    });
    type RequestArguments =
        (String, LuaString, Option<LuaString>, Option<LuaString>, Option<PathBuf>, Option<String>, Vec<LuaString>);
    methods.add_method("administer", |lua, this, arguments: RequestArguments| {
        let (method, target, content_type, body, file, token, peers) = arguments;
        let bytes = |text: &LuaString| text.as_bytes().to_vec();
        let peers: Vec<_> = peers.iter().map(bytes).collect();
        let request = Request {
            method,
            target: bytes(&target),
            content_type: content_type.as_ref().map(bytes),
            body: match file {
                Some(file) => Body::File(file),
                None => Body::Bytes(Zeroizing::new(body.as_ref().map(bytes).unwrap_or_default())),
            },
            who: Who::at(token, &peers.iter().map(Vec::as_slice).collect::<Vec<_>>()),
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
