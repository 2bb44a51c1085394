//! The mlua module behind `native.lua`: the cold calls. mlua turns a panic in any of them into a Lua error.

use std::collections::BTreeMap;

use mlua::{IntoLuaMulti, LightUserData, Lua, LuaString, MultiValue, Nil, Table, UserData, UserDataMethods, Value};

use crate::engine::Engine;
use crate::environment::Environment;
use crate::error::Result;
use crate::ffi::Handle;
use crate::reference;
use crate::vm::Vm;

/// `luaopen_kong_vault_native`: the library as Lua's `package.loadlib` finds it.
#[mlua::lua_module(name = "kong_vault_native")]
fn open(lua: &Lua) -> mlua::Result<Table> {
    // Loaded in init_by_lua, this is the last moment to see the environment: nginx wipes it in the workers.
    Environment::captured();
    let module = lua.create_table()?;
    module.set("version", env!("CARGO_PKG_VERSION"))?;
    module.set(
        "open",
        lua.create_function(|_, ()| Ok(Native(Box::new(Handle::new(Vm::new(Environment::captured().clone()))))))?,
    )?;
    module.set("parse_reference", lua.create_function(|lua, text: LuaString| parse_reference(lua, &text))?)?;
    Ok(module)
}

/// One Lua VM's handle; boxed, so that the pointer given to the FFI stays where it is.
struct Native(Box<Handle>);

impl UserData for Native {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("pointer", |_, this, ()| {
            let handle: *const Handle = &*this.0;
            Ok(LightUserData(handle.cast_mut().cast()))
        });
        methods.add_method("configure", |lua, this, conf: BTreeMap<String, String>| {
            or_error(lua, this.0.vm.configure(&conf).map(|()| true))
        });
        methods.add_method("fetch_timeout", |lua, this, ()| {
            let timeout = this.0.vm.resolver().map(|resolver| resolver.config().fetch_timeout.as_secs_f64());
            or_error(lua, timeout)
        });
        methods.add_method("cache_size", |lua, this, ()| {
            or_error(lua, this.0.vm.resolver().map(|resolver| resolver.config().cache_size))
        });
        methods.add_method("engine_address", |lua, _, ()| {
            or_error(lua, Engine::of_this_process(Environment::captured()).map(Engine::address))
        });
        methods.add_method("fetch_blocking", |lua, this, references: Vec<LuaString>| {
            let references: Vec<_> = references.iter().map(|text| text.as_bytes().to_vec()).collect();
            let answers = lua.create_table()?;
            let fetched = match this.0.vm.resolver() {
                Ok(resolver) => resolver.fetch_blocking(&references),
                Err(error) => references.iter().map(|_| Err(error.clone())).collect(),
            };
            for answer in fetched {
                let pair = lua.create_table()?;
                match answer {
                    Ok(secret) => pair.set("value", lua.create_string(secret.as_bytes())?)?,
                    Err(error) => pair.set("err", error.for_users())?,
                }
                answers.push(pair)?;
            }
            Ok(answers)
        });
        methods.add_method("flush", |lua, this, refetch: bool| {
            or_error(lua, this.0.vm.resolver().map(|resolver| resolver.flush(refetch)).map(|()| true))
        });
        methods.add_method("stats", |lua, this, ()| match this.0.vm.resolver() {
            Err(error) => (Nil, error.to_string()).into_lua_multi(lua),
            Ok(resolver) => {
                let (entries, bytes, under_way) = resolver.sizes();
                let stats = lua.create_table()?;
                stats.set("entries", entries)?;
                stats.set("bytes", bytes)?;
                stats.set("fetching", under_way)?;
                stats.set("generation", this.0.vm.generation().load(std::sync::atomic::Ordering::Relaxed))?;
                stats.set("cache_hits", resolver.metrics.hits.value())?;
                stats.set("negative_hits", resolver.metrics.negative_hits.value())?;
                stats.set("misses", resolver.metrics.misses.value())?;
                stats.set("fetches", resolver.metrics.fetches.value())?;
                stats.set("resurrected", resolver.metrics.resurrected.value())?;
                let failures = lua.create_table()?;
                for (kind, count) in resolver.metrics.failures() {
                    failures.set(kind, count)?;
                }
                stats.set("failures", failures)?;
                stats.into_lua_multi(lua)
            }
        });
    }
}

/// `value`, or `nil, err`.
fn or_error<T: mlua::IntoLua>(lua: &Lua, outcome: Result<T>) -> mlua::Result<MultiValue> {
    match outcome {
        Ok(value) => value.into_lua_multi(lua),
        Err(error) => (Nil, error.for_users()).into_lua_multi(lua),
    }
}

fn parse_reference(lua: &Lua, text: &LuaString) -> mlua::Result<MultiValue> {
    let reference = match reference::parse(&text.as_bytes()) {
        Ok(reference) => reference,
        Err(error) => return (Nil, error.to_string()).into_lua_multi(lua),
    };
    let parsed = lua.create_table()?;
    parsed.set("name", lua.create_string(&reference.name)?)?;
    parsed.set("resource", lua.create_string(&reference.resource)?)?;
    parsed.set("key", reference.key.map(|key| lua.create_string(key)).transpose()?)?;
    parsed.set("version", reference.version)?;
    if !reference.options.is_empty() {
        let config = lua.create_table()?;
        for (name, value) in reference.options {
            let value = match value {
                Some(value) => Value::String(lua.create_string(value)?),
                None => Value::Boolean(true),
            };
            config.set(lua.create_string(name)?, value)?;
        }
        parsed.set("config", config)?;
    }
    parsed.into_lua_multi(lua)
}
