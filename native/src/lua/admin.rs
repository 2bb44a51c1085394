//! What `kong.vault.admin` needs of the library, and a look-up that finds vault entities changed.

use std::path::PathBuf;

use mlua::{IntoLuaMulti, Lua, LuaString, Nil, Table, UserDataMethods};
use serde_json::json;
use zeroize::Zeroizing;

use super::native::{Native, or_error};
use kong_vault::admin::{self, Access, Body, LIMIT, Request, Requester, Who};
use kong_vault::error::{Error, Kind};

/// What Lua says of a request: the bytes that a `Requester` borrows.
struct RequesterBytes {
    peers: Vec<Vec<u8>>,
    hosts: Vec<Vec<u8>>,
    headers: Vec<[Vec<u8>; 2]>,
}

impl RequesterBytes {
    fn new(peers: &[LuaString], hosts: &[LuaString], headers: &[[LuaString; 2]]) -> Self {
        let bytes = |text: &LuaString| text.as_bytes().to_vec();
        Self {
            peers: peers.iter().map(bytes).collect(),
            hosts: hosts.iter().map(bytes).collect(),
            headers: headers.iter().map(|header| header.each_ref().map(bytes)).collect(),
        }
    }

    fn requester(&self) -> Requester<'_> {
        Requester {
            peers: self.peers.iter().map(Vec::as_slice).collect(),
            hosts: self.hosts.iter().map(Vec::as_slice).collect(),
            headers: self.headers.iter().map(|[name, value]| (name.as_slice(), value.as_slice())).collect(),
            ..Requester::default()
        }
    }
}

/// Adds a table of functions to the module.
pub fn functions(lua: &Lua, module: &Table) -> mlua::Result<()> {
    let message = |_: &Lua, text: LuaString| Ok(json!({ "message": text.to_string_lossy() }).to_string());
    let functions = lua.create_table()?;
    functions.set("message", lua.create_function(message)?)?;
    let is_page = |_: &Lua, (method, target, accept): (LuaString, LuaString, LuaString)| {
        Ok(admin::wants_page(&method.to_string_lossy(), &target.as_bytes(), &accept.as_bytes()))
    };
    functions.set("wants_page", lua.create_function(is_page)?)?;
    let is_own = |_: &Lua, target: LuaString| Ok(admin::is_own(&target.as_bytes()));
    functions.set("is_own", lua.create_function(is_own)?)?;
    type BrowserArguments = (Vec<LuaString>, Vec<[LuaString; 2]>, bool);
    let refuses = |_: &Lua, (hosts, headers, wants_page): BrowserArguments| {
        let bytes = RequesterBytes::new(&[], &hosts, &headers);
        Ok(admin::refuses_browser(&Requester { wants_page, ..bytes.requester() }))
    };
    functions.set("refuses_browser", lua.create_function(refuses)?)?;
    let page = |_: &Lua, ()| Ok((admin::page().html.as_str(), admin::page().policy.as_str()));
    functions.set("page", lua.create_function(page)?)?;
    module.set("admin", functions)
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
    type AccessArguments = (Option<LuaString>, Vec<LuaString>, Vec<LuaString>, Vec<[LuaString; 2]>, bool);
    methods.add_method("check_access", |lua, this, (token, peers, hosts, headers, wants_page): AccessArguments| {
        let token = token.map(|it| Zeroizing::new(it.as_bytes().to_vec()));
        let bytes = RequesterBytes::new(&peers, &hosts, &headers);
        let requester = Requester { token: token.as_ref().map(|it| it.as_slice()), wants_page, ..bytes.requester() };
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
    type RequestArguments = (
        String,
        LuaString,
        Option<LuaString>,
        Option<LuaString>,
        Option<PathBuf>,
        Option<String>,
        Vec<LuaString>,
        bool,
    );
    methods.add_method("administer", |lua, this, arguments: RequestArguments| {
        let (method, target, content_type, body, file, token, peers, of_kong) = arguments;
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
            of_kong,
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
