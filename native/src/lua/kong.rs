//! What Kong's strategies and the plugin need of the library.

use std::collections::BTreeMap;

use mlua::{IntoLuaMulti, Lua, LuaString, MultiValue, Nil, Table, UserDataMethods};

use super::native::{Native, copied, or_error};
use kong_vault::backend::{
    Descriptor, When,
    registry::{ALL, find},
};
use kong_vault::config::{entity, options_of, unverified_in_words};
use kong_vault::error::{Error, Kind, Result};
use kong_vault::options::{LONGEST, Opt, Type};

/// Adds functions to the module.
pub fn functions(lua: &Lua, module: &Table) -> mlua::Result<()> {
    module.set("backends", ALL.iter().map(|backend| backend.name).collect::<Vec<_>>())?;
    module.set("options", lua.create_function(options)?)?;
    module.set("requirements", lua.create_function(requirements)?)?;
    module.set("refusal", lua.create_function(refusal)?)
}

/// Adds methods to a VM's handle.
pub fn methods<M: UserDataMethods<Native>>(methods: &mut M) {
    type ValueArguments = (String, BTreeMap<String, String>, LuaString, Option<u32>, bool);
    methods.add_method(
        "reference_of_strategy",
        |lua, this, (backend, options, resource, version, trusted): ValueArguments| {
            let reference = this.0.resolver().and_then(|resolver| {
                resolver.reference_of_strategy(known(&backend)?, &options, &resource.as_bytes(), version, trusted)
            });
            match reference {
                Ok(reference) => lua.create_string(reference)?.into_lua_multi(lua),
                Err(error) => (Nil, error.for_users()).into_lua_multi(lua),
            }
        },
    );
    methods.add_method("configure_by_kong", |lua, this, (conf, references): (BTreeMap<String, String>, Vec<Table>)| {
        let references = references.iter().map(|pair| Ok((pair.get("key")?, pair.get("reference")?)));
        let references: Vec<_> = references.collect::<mlua::Result<_>>()?;
        or_error(lua, this.0.vm.configure_by_kong(&conf, &references).map(|()| true))
    });
    methods.add_method("operators_value", |lua, this, reference: LuaString| {
        match this.0.resolver().and_then(|resolver| resolver.operators_value(&reference.as_bytes())) {
            Ok(Some(secret)) => copied(lua, &secret)?.into_lua_multi(lua),
            Ok(None) => Nil.into_lua_multi(lua),
            Err(error) => (Nil, error.for_users()).into_lua_multi(lua),
        }
    });
    // Why the configuration forbids a value that an option accepts; nothing where it does not.
    methods.add_method("refusal", |lua, this, (backend, name, text): (String, String, String)| {
        let opt = find(&backend).and_then(|backend| options_of(backend).find(|opt| opt.is_called(&name)));
        let verification = this.0.resolver().map(|resolver| resolver.config().verification());
        match (opt, verification) {
            (Some(opt), Ok(verification)) if verification.forbids_text(opt, &text) => {
                unverified_in_words(opt).into_lua_multi(lua)
            }
            _ => Nil.into_lua_multi(lua),
        }
    });
    methods.add_method("is_lazy", |_, this, ()| Ok(this.0.resolver().is_ok_and(|resolver| resolver.config().lazy)));
    methods.add_method("names_no_vault", |_, this, reference: LuaString| {
        let resolved = this.0.resolver().and_then(|resolver| resolver.resolve(&reference.as_bytes()));
        Ok(resolved.is_err_and(|error| error.kind() == Kind::UnknownVault))
    });
    methods.add_method("replace_entities", |lua, this, (json, place): (LuaString, String)| {
        let changed = serde_json::from_slice::<Vec<serde_json::Value>>(&json.as_bytes())
            .map_err(|_| Error::new(Kind::Config, format!("the vault entities of {place} are no list in JSON")))
            .and_then(|entities| {
                let entities = entities.iter().map(|entity| entity::listed(entity, ALL, &place)).collect();
                Ok(this.0.resolver()?.replace_entities(entities, &place))
            });
        or_error(lua, changed)
    });
}

fn known(name: &str) -> Result<&'static Descriptor> {
    find(name).ok_or_else(|| Error::new(Kind::UnknownVault, format!("could not find vault ({name})")))
}

/// The options of a backend, in the order of the docs; none for an unknown backend.
fn options(lua: &Lua, backend: String) -> mlua::Result<Table> {
    let list = lua.create_table()?;
    for opt in find(&backend).into_iter().flat_map(options_of) {
        list.push(option(lua, opt)?)?;
    }
    Ok(list)
}

/// Which options of a backend need others: a list of `{ option, value, all, any }`. Without a value, an option needs
/// them when it is set at all.
fn requirements(lua: &Lua, backend: String) -> mlua::Result<Table> {
    let list = lua.create_table()?;
    for need in find(&backend).into_iter().flat_map(|backend| backend.requirements) {
        let table = lua.create_table()?;
        let (option, value) = match need.when {
            When::Is(option, value) => (option, Some(value)),
            When::Set(option) => (option, None),
        };
        table.set("option", option)?;
        table.set("value", value)?;
        table.set("all", need.all.to_vec())?;
        table.set("any", need.any.to_vec())?;
        list.push(table)?;
    }
    Ok(list)
}

fn option(lua: &Lua, opt: &Opt) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.set("name", opt.name)?;
    table.set("aliases", opt.aliases.to_vec())?;
    table.set("help", opt.help)?;
    table.set("type", opt.type_in_kong())?;
    table.set("default", opt.default)?;
    table.set("required", opt.required)?;
    table.set("sensitive", opt.sensitive)?;
    table.set("may_hold_secret", opt.may_hold_secret())?;
    table.set("overridable", opt.overridable)?;
    table.set("guards", opt.guards)?;
    table.set("operators", opt.operators)?;
    table.set("unverified", opt.unverified)?;
    if !opt.one_of.is_empty() {
        table.set("one_of", opt.one_of.to_vec())?;
    }
    match opt.kind {
        Type::Integer { min, max } => table.set("between", vec![min as f64, max as f64])?,
        Type::Seconds { min } => table.set("between", vec![min, LONGEST])?,
        Type::Text | Type::Boolean | Type::List => {}
    }
    Ok(table)
}

/// Why an option does not accept a text; nothing where it does.
fn refusal(lua: &Lua, (backend, name, text): (String, String, String)) -> mlua::Result<MultiValue> {
    let opt = find(&backend).and_then(|backend| options_of(backend).find(|opt| opt.is_called(&name)));
    match opt {
        None => "unknown field".into_lua_multi(lua),
        Some(opt) if opt.parse(&text).is_none() => format!("must be {}", opt.accepts()).into_lua_multi(lua),
        Some(_) => Nil.into_lua_multi(lua),
    }
}
