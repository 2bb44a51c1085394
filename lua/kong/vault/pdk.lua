-- In Kong: our functions in place of `kong.vault`'s own, configured by what Kong has read from kong.conf and the
-- environment.

local as_text = require("kong.vault.settings").as_text
local entities = require "kong.vault.entities"
local native = require "kong.vault.native"
local resolve = require "kong.vault.resolve"
local vault = require "kong.vault"
local walk = require "kong.vault.walk"

local ngx = ngx

local _M = {}

-- The options that Kong's configuration has, by their names in kong.conf. It can't be iterated.
local function options_of(configuration)
  local found = {}
  local function take(key, name)
    local value = configuration[key]
    if value ~= nil then
      found[name or key] = as_text(value)
    end
  end
  for _, opt in ipairs(native.own_options) do
    if opt.name ~= "vaults" then
      take(opt.name)
    end
  end
  local loaded, enabled = configuration.loaded_vaults or {}, {}
  for _, backend in ipairs(native.backends) do
    if loaded[backend] then
      enabled[#enabled + 1] = backend
    end
    for _, opt in ipairs(native.options(backend)) do
      local key = ("vault_%s_%s"):format(backend, opt.name)
      take(key)
      for _, alias in ipairs(opt.aliases) do
        if found[key] == nil then
          take(("vault_%s_%s"):format(backend, alias), key)
        end
      end
    end
  end
  found.vaults = #enabled > 0 and table.concat(enabled, ",") or "off"
  return found
end

local settled

--- Hands Kong's configuration to the library, once. What is wrong with it is logged: the other vaults work.
function _M.settle()
  if settled then
    return
  end
  settled = true
  local kong = rawget(_G, "kong")
  local configuration = type(kong) == "table" and kong.configuration
  local ok, err = native.vm:configure_by_kong(configuration and options_of(configuration) or {})
  if not ok then
    ngx.log(ngx.ERR, "kong.vault: ", err)
  end
end

-- What we took the places of, by name.
local originals

-- Splits a table's references by who knows their vaults: strategies of others only Kong itself does.
local function foreign(references)
  local found = {}
  for _, reference in ipairs(references) do
    if native.vm:names_no_vault(reference) then
      found[#found + 1] = reference
    end
  end
  return found
end

local elsewhere = {
  get = function(reference)
    return originals.get(reference)
  end,
  -- Kong takes an empty text for what it can't find. Nothing tells us when its value changes, so it is asked each time.
  cached = function(reference)
    local value = originals.update({ value = "", ["$refs"] = { value = reference } }).value
    if value == "" then
      return nil, "could not find cached value", false
    end
    return value, nil, false
  end,
}

-- Kong reads its declarative configuration in init, and then has all references in it resolved: the vaults among it are
-- not in its database yet.
local function warmup(input)
  if type(input) == "table" and type(input.vaults) == "table" and ngx.get_phase() == "init" then
    entities.take(input.vaults)
  end
  originals.warmup(foreign(walk.references(input)))
  return vault.warmup(input)
end

local function try(callback, options)
  if #foreign(walk.refs(options)) > 0 then
    return originals.try(callback, options)
  end
  return vault.try(callback, options)
end

-- Kong calls this when its declarative configuration was replaced, entities and all.
local function flush()
  entities.refresh()
  originals.flush()
  return vault.flush()
end

local function init_worker()
  entities.follow()
  return vault.init_worker()
end

--- Puts our functions into `kong.vault`. Doing it twice does nothing.
function _M.install(kong)
  if originals then
    return
  end
  _M.settle()
  local pdk = kong.vault
  originals = {}
  for name, value in pairs(pdk) do
    originals[name] = value
  end
  vault.install(kong)
  pdk.warmup, pdk.try, pdk.flush, pdk.init_worker = warmup, try, flush, init_worker
  resolve.set_elsewhere(elsewhere)
end

--- Gives Kong's own functions back.
function _M.uninstall(kong)
  if not originals then
    return
  end
  local pdk = kong.vault
  for name in pairs(pdk) do
    pdk[name] = nil
  end
  for name, value in pairs(originals) do
    pdk[name] = value
  end
  originals = nil
  resolve.set_elsewhere(nil)
end

return _M
