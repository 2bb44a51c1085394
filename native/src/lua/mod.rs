//! The mlua module behind `native.lua`: the cold calls. mlua turns a panic in any of them into a Lua error.
//!
//! It uses one VM's state and the FFI's handle. It must never decide: it converts, and calls.

mod admin;
mod audit;
mod figures;
mod kong;
mod memory;
mod native;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mlua::{IntoLuaMulti, LightUserData, Lua, LuaString, MultiValue, Nil, Table, UserData, UserDataMethods, Value};

use crate::ffi::Handle;
use kong_vault::config::ConfigSource;
use kong_vault::environment::Environment;
use kong_vault::node::Node;
use kong_vault::node::figures::NodeFigures;
use kong_vault::node::shared_slots::SharedSlots;
use kong_vault::reference;
use kong_vault::resolver::Lookup;
use kong_vault::runtime::engine::Engine;
use kong_vault::vm::Vm;
use native::{Native, copied, or_error};

/// `luaopen_kong_vault_native`: the library as Lua's `package.loadlib` finds it.
#[mlua::lua_module(name = "kong_vault_native")]
fn open(lua: &Lua) -> mlua::Result<Table> {
    // Loaded in init_by_lua, this is the last moment to see the environment: nginx wipes it in the workers.
    Environment::captured();
    // All workers must have one key, one clock, and one place for what only one of them can find out.
    Node::of_this_process();
    SharedSlots::of_this_process();
    NodeFigures::share();
    memory::wipe_when_freed(lua)?;
    let module = lua.create_table()?;
    module.set(
        "open",
        lua.create_function(|_, ()| {
            Ok(Native(Box::new(Handle::new(Vm::new(Environment::captured().clone().in_nginx())))))
        })?,
    )?;
    module.set("parse_reference", lua.create_function(|lua, text: LuaString| parse_reference(lua, &text))?)?;
    module.set(
        "name_reference",
        lua.create_function(|lua, text: LuaString| lua.create_string(reference::name(&text.as_bytes())))?,
    )?;
    admin::functions(lua, &module)?;
    kong::functions(lua, &module)?;
    Ok(module)
}

impl UserData for Native {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        admin::methods(methods);
        audit::methods(methods);
        kong::methods(methods);
        methods.add_method("pointer", |_, this, ()| {
            let handle: *const Handle = &*this.0;
            Ok(LightUserData(handle.cast_mut().cast()))
        });
        methods.add_method("configure", |lua, this, conf: BTreeMap<String, String>| {
            or_error(lua, this.0.vm.configure(&conf, ConfigSource::Configure).map(|()| true))
        });
        methods.add_method("fetch_timeout", |lua, this, ()| {
            let timeout = this.0.resolver().map(|resolver| resolver.config().fetch_timeout.as_secs_f64());
            or_error(lua, timeout)
        });
        methods.add_method("end_list", |_, this, ()| {
            if let Ok(resolver) = this.0.resolver() {
                resolver.end_list();
            }
            Ok(())
        });
        methods.add_method("fetches_in_batches", |_, this, reference: LuaString| {
            Ok(this.0.resolver().is_ok_and(|resolver| resolver.fetches_in_batches(&reference.as_bytes())))
        });
        methods.add_method("cache_size", |lua, this, ()| {
            or_error(lua, this.0.resolver().map(|resolver| resolver.config().cache_size))
        });
        methods.add_method("engine_address", |lua, _, ()| {
            or_error(lua, Engine::of_this_process(Environment::captured()).map(Engine::address))
        });
        methods
            .add_method("notifier", |lua, this, ()| or_error(lua, this.0.resolver().map(|it| it.notifier().number())));
        methods.add_method("quit", |_, this, ()| {
            if let Ok(resolver) = this.0.resolver() {
                resolver.quit();
            }
            Ok(())
        });
        methods.add_method("address", |lua, this, ()| {
            or_error(lua, this.0.resolver().and_then(|resolver| resolver.address().map(|address| address.to_string())))
        });
        methods.add_method("clock", |_, _, ()| {
            let clock = Node::of_this_process().map(|node| Duration::from_nanos(node.clock(Instant::now())));
            Ok(clock.unwrap_or_default().as_secs_f64())
        });
        methods.add_method("breaker_interval", |lua, this, ()| {
            or_error(lua, this.0.resolver().map(|resolver| resolver.config().breaker_interval.as_secs_f64()))
        });
        methods.add_method("enter", |_, this, (has_dictionary, worker): (bool, Option<u32>)| {
            if let Ok(resolver) = this.0.resolver() {
                resolver.has_dictionary(has_dictionary);
                resolver.entered();
                resolver.audit().enter(worker);
            }
            Ok(())
        });
        methods.add_method("start", |lua, this, ()| {
            or_error(lua, this.0.resolver().and_then(|resolver| resolver.start()).map(|()| true))
        });
        methods.add_method("wait", |_, this, ticket: u64| {
            if let Ok(resolver) = this.0.resolver() {
                resolver.wait(ticket);
            }
            Ok(())
        });
        methods.add_method("unpublished", |_, this, ()| {
            Ok(this.0.resolver().map(|resolver| resolver.unpublished()).unwrap_or_default())
        });
        methods.add_method("crowded_notice", |_, this, ()| {
            Ok(this.0.resolver().ok().and_then(|resolver| resolver.crowded_notice()))
        });
        methods.add_method("want_debug_lines", |_, this, wanted: bool| {
            if let Ok(resolver) = this.0.resolver() {
                resolver.notifier().tell_of_debug_lines(wanted);
            }
            Ok(())
        });
        methods.add_method("debug_lines", |_, this, ()| {
            Ok(this.0.resolver().map(|resolver| resolver.notifier().debug_lines()).unwrap_or_default())
        });
        methods.add_method("is_throwaway", |_, this, ()| Ok(this.0.vm.is_throwaway()));
        methods.add_method("cached", |lua, this, reference: LuaString| {
            let found =
                this.0.resolver().and_then(|resolver| match resolver.lookup_waiting(&reference.as_bytes())? {
                    Lookup::Value(value) => Ok(value.secret),
                    Lookup::Miss(resolved) => Err(resolved.key.would_block()),
                });
            match found {
                Ok(secret) => copied(lua, &secret)?.into_lua_multi(lua),
                Err(error) => (Nil, error.for_users()).into_lua_multi(lua),
            }
        });
        methods.add_method("would_block", |lua, this, reference: LuaString| {
            let resolved = this.0.resolver().and_then(|resolver| resolver.resolve(&reference.as_bytes()));
            let error = resolved.map_or_else(|error| error, |resolved| resolved.key.would_block());
            lua.create_string(error.for_users())
        });
        figures::methods(methods);
        methods.add_method("fetch_blocking", |lua, this, references: Vec<LuaString>| {
            let references: Vec<_> = references.iter().map(|text| text.as_bytes().to_vec()).collect();
            let answers = lua.create_table()?;
            let fetched = match this.0.resolver() {
                Ok(resolver) => resolver.fetch_blocking(&references),
                Err(error) => references.iter().map(|_| Err(error.clone())).collect(),
            };
            for answer in fetched {
                let pair = lua.create_table()?;
                match answer {
                    Ok(secret) => pair.set("value", copied(lua, &secret)?)?,
                    Err(error) => pair.set("err", error.for_users())?,
                }
                answers.push(pair)?;
            }
            Ok(answers)
        });
        methods.add_method("flush", |lua, this, refetch: bool| {
            or_error(lua, this.0.resolver().map(|resolver| resolver.flush(refetch)).map(|()| true))
        });
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
