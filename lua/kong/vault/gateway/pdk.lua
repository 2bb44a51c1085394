-- Replaces the functions of Kong's `kong.vault` with kong-vault's, and configures them with the options that Kong has read
-- from kong.conf and the environment.

local vault = require "kong.vault"
local audit = require "kong.vault.audit"
local audit_context = require "kong.vault.gateway.audit_context"
local capabilities = require "kong.vault.gateway.capabilities"
local certificates = require "kong.vault.gateway.certificates"
local entities = require "kong.vault.gateway.entities"
local hand_over = require "kong.vault.gateway.hand_over"
local lazy = require "kong.vault.gateway.lazy"
local marks = require "kong.vault.gateway.marks"
local shdict_keys = require "kong.vault.gateway.shdict_keys"
local tracing = require "kong.vault.gateway.tracing"
local l1 = require "kong.vault.l1"
local native = require "kong.vault.native"
local option_text = require "kong.vault.option_text"
local refs = require "kong.vault.refs"
local resolve = require "kong.vault.resolve"
local text = require "kong.vault.text"
local update = require "kong.vault.update"

local ngx = ngx

local _M = {}

-- Options of kong-vault that do not begin with `vault_`. Not every Kong knows them.
local OTHERS = { "tls_certificate_verify", "vaults_lazy_load_secrets" }

-- Returns what a vault's options begin with in kong.conf.
local function prefix_of(name)
  return "vault_" .. name:gsub("-", "_") .. "_"
end

-- Returns the names of all options in kong.conf, for a Kong whose configuration cannot be iterated. There, a misspelt name goes
-- unnoticed.
local function known_keys()
  local keys = {}
  for _, backend in ipairs(native.backends) do
    local prefix = prefix_of(backend)
    for _, opt in ipairs(native.options(backend)) do
      keys[prefix .. opt.name] = true
      for _, alias in ipairs(opt.aliases) do
        keys[prefix .. alias] = true
      end
    end
  end
  return keys
end

-- Returns the options of Kong's configuration that are for kong-vault, by their names in kong.conf: all that begin with
-- `vault_`, also misspelt ones, except those of vaults that others brought.
local function options_of(configuration)
  local loaded = configuration.loaded_vaults or {}
  local enabled, others = {}, {}
  for name in pairs(loaded) do
    others[prefix_of(name)] = true
  end
  for _, backend in ipairs(native.backends) do
    if loaded[backend] then
      enabled[#enabled + 1] = backend
    end
    others[prefix_of(backend)] = nil
  end
  local function is_others(key)
    for prefix in pairs(others) do
      if key:sub(1, #prefix) == prefix then
        return true
      end
    end
    return false
  end
  local found = {}
  for key in pairs(capabilities.configuration(configuration) or known_keys()) do
    if type(key) == "string" and key:sub(1, 6) == "vault_" and not is_others(key) then
      found[key] = option_text.as_text(configuration[key])
    end
  end
  for _, key in ipairs(OTHERS) do
    found[key] = option_text.as_text(configuration[key])
  end
  found.vaults = #enabled > 0 and table.concat(enabled, ",") or "off"
  return found
end

-- Returns the references that stood in kong.conf, each with its option. Kong has replaced them with values, and keeps them in
-- `$refs`.
local function references_of(configuration)
  local by_option = configuration["$refs"]
  local found = {}
  for key, references in pairs(type(by_option) == "table" and by_option or {}) do
    if type(key) == "string" and key:sub(1, 6) == "vault_" then
      for _, reference in ipairs(refs.find({ references })) do
        found[#found + 1] = { key = key, reference = reference }
      end
    end
  end
  return found
end

local settled

--- Hands Kong's configuration to the library, once. An error in it is logged, and the other vaults work.
function _M.settle()
  if settled then
    return
  end
  settled = true
  shdict_keys.guard()
  tracing.install()
  local kong = rawget(_G, "kong")
  local configuration = type(kong) == "table" and kong.configuration
  local conf, references = {}, {}
  if configuration then
    conf, references = options_of(configuration), references_of(configuration)
  end
  local ok, err = native.vm:configure_by_kong(conf, references)
  if not ok then
    ngx.log(ngx.ERR, "kong.vault: ", option_text.bare(err))
  end
end

-- Kong's own functions, by name, while kong-vault's replace them.
local originals

local function is_foreign(reference)
  local parsed = native.parse_reference(reference)
  return parsed ~= nil and entities.is_foreign(parsed.name)
end

-- Splits references: those of vaults that only Kong's own functions know, and the others.
local function split(references)
  local foreign, ours = {}, {}
  for _, reference in ipairs(references) do
    local list = is_foreign(reference) and foreign or ours
    list[#list + 1] = reference
  end
  return foreign, ours
end

-- Whether Kong has not read its declarative configuration yet, so that nobody knows the vaults in it. Kong's functions return
-- an empty text then.
local function is_too_early()
  return ngx.get_phase() == "init" and rawget(_G, "kong").configuration.database == "off"
end

-- Returns the value that Kong itself has cached, or an empty text.
local function cached_by_kong(own, reference)
  if own.update then
    return own.update({ value = "", ["$refs"] = { value = reference } }).value
  end
  -- Kong's `get` may wait for a value that is not cached, and raises an error where the phase forbids that.
  local done, value = pcall(own.get, reference)
  return done and value or ""
end

-- For references whose vault the library does not know: it belongs to a strategy that others brought, or is new. Kong's
-- functions may be given back while a call waits, so `get` keeps those that it began with.
local fallback = {
  get = function(reference)
    local own = originals
    if not is_foreign(reference) then
      entities.look_again()
      if not native.vm:names_no_vault(reference) then
        return vault.get(reference)
      end
    end
    if is_foreign(reference) or is_too_early() then
      return own.get(reference)
    end
    return native.vm:cached(reference)
  end,
  -- Kong returns an empty text for a value that it does not have. Nothing tells when its value changes, so Kong is asked each
  -- time.
  cached = function(reference)
    if not is_foreign(reference) then
      local _, err = native.vm:cached(reference)
      return nil, err, false
    end
    local value = cached_by_kong(originals, reference)
    if value == "" then
      return nil, "could not find cached value", false
    end
    return value, nil, false
  end,
  lacks = certificates.note,
}

-- Returns Kong's own functions; none once they were given back, as a plugin may still call one of kong-vault's that it kept.
local function own_functions()
  return originals or {}
end

-- In init, Kong calls this with its declarative configuration, to have all references in it resolved. The vault entities in it
-- are not in Kong's database yet, so they are taken from there.
local function warmup(input)
  if type(input) == "table" and type(input.vaults) == "table" and ngx.get_phase() == "init" then
    entities.take(input.vaults)
  end
  local own = own_functions()
  local is_lazy = type(input) == "table" and ngx.get_phase() == "init" and native.vm:is_lazy()
  local foreign, ours = split(is_lazy and lazy.put_off(input, is_foreign) or refs.find(input, marks.are_in_use()))
  if own.warmup then
    own.warmup(foreign)
  end
  return vault.warmup(ours)
end

local function try(callback, options)
  local own = own_functions()
  if own.try and #split(refs.declared(options)) > 0 then
    return own.try(callback, options)
  end
  return vault.try(callback, options)
end

-- Kong calls this whenever its declarative configuration was replaced. Values stay for their time, except those of vaults that
-- changed.
local function flush()
  local own = own_functions()
  entities.replaced()
  return own.flush and own.flush()
end

-- Kong's own `init_worker` is called as well: it rotates the values of vaults that others brought.
local function init_worker()
  local own = own_functions()
  entities.follow(own.flush ~= nil)
  if own.init_worker then
    own.init_worker()
  end
  return vault.init_worker()
end

-- Resolves the references that stand in kong.conf. Kong has resolved them before the plugin was loaded, but reads those of its
-- database again, from the cache, when a worker starts. Options of vaults are left out: Kong does not read them again, and other
-- references may not read the variables that theirs name.
local function warm_configuration(configuration)
  local by_option = configuration and configuration["$refs"]
  if type(by_option) ~= "table" or ngx.get_phase() ~= "init" then
    return
  end
  local asked_again = {}
  for option, reference in pairs(by_option) do
    if type(option) == "string" and option:sub(1, #"vault_") ~= "vault_" then
      asked_again[option] = reference
    end
  end
  local _, ours = split(refs.find(asked_again))
  local ok, err = vault.warmup(ours)
  if not ok then
    ngx.log(ngx.WARN, "kong.vault: of kong.conf's own references ", err)
  end
end

-- Kong's own `update`, once another one has stood in for it.
local kongs_update

-- Whether the log says already what this Kong lacks.
local told

local function tell_what_is_missing()
  local missing = capabilities.missing(originals)
  if #missing > 0 and not told then
    ngx.log(ngx.NOTICE, "kong.vault: in this Kong ", table.concat(missing, "; "), ": see docs/kong-versions.md")
  end
  told = true
end

--- Puts kong-vault's functions into `kong.vault`, unless they are there. Returns whether it has done so.
function _M.install(kong)
  if originals then
    return false
  end
  _M.settle()
  local pdk = kong.vault
  originals = {}
  for name, value in pairs(pdk) do
    originals[name] = value
  end
  originals.update = kongs_update or originals.update
  -- Kong's own functions may have written to tables since.
  l1.forget_updated()
  vault.install(kong)
  pdk.warmup, pdk.try, pdk.flush, pdk.init_worker = warmup, try, flush, init_worker
  if native.vm:is_lazy() then
    pdk.get, pdk.update = lazy.get, lazy.update
  end
  resolve.set_fallback(fallback)
  audit.set_context(audit_context.of_request)
  shdict_keys.hide(function(reference)
    return not is_foreign(reference)
  end)
  warm_configuration(kong.configuration)
  tell_what_is_missing()
  return true
end

--- Starts what runs in a worker, in a Kong that does not call `kong.vault.init_worker`.
function _M.start()
  if originals and not originals.init_worker then
    init_worker()
  end
end

-- Returns an `update` that does what Kong's own does, and knows texts with references inside.
local function update_by(own)
  local function read(reference)
    return text.fill(reference, function(one)
      return cached_by_kong(own, one)
    end)
  end
  return function(config)
    return type(config) == "table" and update.each(config, read) or config
  end
end

-- Has Kong forget the vault entities that it has cached: it may have read them while kong-vault's `get` was in place, which
-- never shows their credentials.
local function forget_entities(kong)
  local cache, dao = kong.core_cache, capabilities.vaults(kong)
  -- A cache with pages is the database itself.
  if cache and dao and not cache.flip then
    for _, prefix in ipairs(entities.prefixes()) do
      cache:invalidate_local(dao:cache_key(prefix))
    end
  end
end

--- Gives Kong's own functions back. Must not be called again before it has returned. Raises an error where Kong's entities
-- cannot be read; kong-vault's functions stay then. Phases: those that may wait, and init_worker.
function _M.uninstall(kong)
  local own = originals
  if not own then
    return
  end
  -- Kong resolves the credentials of a vault entity that it reads. Its own function can show any variable, kong-vault's cannot.
  local replaced = kong.vault.get
  kong.vault.get = own.get
  local done, err = pcall(function()
    forget_entities(kong)
    hand_over.run(kong, own, function(reference)
      return not is_foreign(reference)
    end)
  end)
  local pdk = kong.vault
  if not done then
    pdk.get = replaced
    error(err, 0)
  end
  for name in pairs(pdk) do
    pdk[name] = nil
  end
  for name, value in pairs(own) do
    pdk[name] = value
  end
  if own.update and marks.are_in_use() then
    kongs_update, pdk.update = own.update, update_by(own)
  end
  originals = nil
  resolve.set_fallback(nil)
  audit.set_context(nil)
  shdict_keys.hide(nil)
end

return _M
