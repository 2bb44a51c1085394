--- Resolves references to secrets: `{vault://env/name}`, `{vault://hcv/path/field}`, `{vault://aws/name/field}`.
--
-- On failure, functions return `nil` and a message; an argument of a wrong type raises. See docs/functions.md for phases, and
-- docs/options.md for options.

local l1 = require "kong.vault.l1"
local native = require "kong.vault.native"
local resolve = require "kong.vault.resolve"
local option_text = require "kong.vault.option_text"
local refs = require "kong.vault.refs"
local text = require "kong.vault.text"
local try = require "kong.vault.try"
local update = require "kong.vault.update"
local view = require "kong.vault.view"

local error, type = error, type
local is_reference, resolve_one, update_all = refs.is_reference, resolve.one, update.all
local moved, values, updated = l1.moved, l1.values, l1.updated

-- Hits in the first-level cache.
local hits = 0

if ngx then
  -- So that no worker reads these first, as resolve.lua explains.
  require "kong.vault.admin"
  require("kong.vault.metrics").hits = function()
    return hits
  end
end

local _M = {
  _VERSION = native.version,
}

local function expect(value, kind, name)
  if type(value) ~= kind then
    error(("bad argument #1 to '%s' (%s expected, got %s)"):format(name, kind, type(value)), 3)
  end
end

local function miss(reference)
  expect(reference, "string", "get")
  return resolve_one(reference)
end

--- The value of a reference.
-- Phases: all. Where a fetch is needed, the call yields until it is complete (rewrite, access, content, preread,
-- ssl_certificate, ssl_client_hello, timers), blocks (init, init_worker, outside nginx), or returns an error while the fetch
-- goes on in the background (header_filter, body_filter, log, balancer, set, exit_worker).
-- @tparam string reference
-- @treturn string|nil the value
-- @treturn nil|string why there is none
function _M.get(...)
  -- Variadic, because LuaJIT starts no trace at a variadic function. At another function it starts one after enough calls. If
  -- values are missing then, that trace leads into the look-up. Compiled callers would jump to it, and come back by one more
  -- guard for each calling place, instead of having the hit in their own code.
  local reference = ...
  if moved() == 0 then
    local value = values[reference]
    if value then
      hits = hits + 1
      return value
    end
  end
  return miss(reference)
end

--- Whether a value looks like a reference; false for anything but a string.
-- @treturn boolean
_M.is_reference = is_reference

--- Takes a reference apart.
-- @tparam string reference
-- @treturn table|nil `{ name, resource, key, config, version }`
-- @treturn nil|string what is wrong with it
function _M.parse_reference(reference)
  expect(reference, "string", "parse_reference")
  return native.parse_reference(reference)
end

--- Resolves every reference among the keys and values of a table, at any depth, so that later calls find the values cached.
-- @tparam table input
-- @treturn boolean|nil true
-- @treturn nil|string how many have no value, and why the first has none
function _M.warmup(input)
  expect(input, "table", "warmup")
  local references = refs.find(input)
  local failed, reason = resolve.all(references)
  if failed == 0 then
    return true
  end
  return nil, ("%d of %d references have no value, the first: %s"):format(failed, #references, reason)
end

--- Sets the fields of a table to the values of their references. The table's `$refs` maps a field to a reference, or to an
-- array or map of references; nested tables may have `$refs` of their own. Only cached values are used: a field without one is
-- set to `""`, with a warning in the log, and its secret is fetched in the background. Cheap enough for each request.
-- Phases: all.
-- @tparam table config
-- @treturn table the same table
function _M.update(...)
  -- Variadic for the same reason as `get`.
  local config = ...
  if moved() == 0 and updated[config] then
    return config
  end
  if type(config) ~= "table" then
    return config
  end
  return update_all(config)
end

--- Puts values in the place of the references in a text. A reference ends at the first `}`; write one of its own as `%7D`.
-- Phases: as `get`. Several references are fetched side by side.
-- @tparam string template such as `Bearer {vault://hcv/api/token}`
-- @treturn string|nil the text with the values
-- @treturn nil|string why a reference has no value, or which does not end
function _M.interpolate(template)
  expect(template, "string", "interpolate")
  local found, err = text.interpolate(template, _M.get)
  if found == nil then
    return nil, err
  end
  return found
end

--- Returns a read-only view of a table, nested tables included. Reading a field of the view resolves the references in its text,
-- as `interpolate` does, at that moment; a field without a value is nil, with a warning in the log. `view(name)` returns the
-- same, or nil and why. `pairs`, `ipairs` and `#` work where LuaJIT has them ask a table (OpenResty); elsewhere, and to `next`,
-- a view is empty: walk the table itself.
-- Phases: as `get`.
-- @tparam table config
-- @treturn table the view
function _M.table(config)
  expect(config, "table", "table")
  return view.new(config, _M.get)
end

--- Calls `callback(options)` after bringing `options` up to date as `update` does. If the callback returns nil or false, fetches
-- all references of `options` again, once for all calls that fail at that time, and calls it a second and last time.
-- @tparam function callback
-- @tparam table options
-- @return what the callback returned last
function _M.try(callback, options)
  expect(callback, "function", "try")
  return try.try(callback, options)
end

--- Starts what runs in the background of a worker. Without this call it starts with the first secret that is asked for. For
-- init_worker; a second call does nothing.
-- @treturn boolean|nil true
-- @treturn nil|string
function _M.init_worker()
  return resolve.start()
end

--- Drops all values of this worker. In a worker, secrets that were cached are fetched again in the background.
-- @treturn boolean|nil true
-- @treturn nil|string
function _M.flush()
  return native.vm:flush(not resolve.blocks())
end

--- Sets options by their names in kong.conf. Optional; call it once, in init_by_lua, before the first secret is asked for. The
-- environment (`KONG_VAULT_…`) takes precedence, as in Kong.
-- @tparam table conf
-- @treturn boolean|nil true
-- @treturn nil|string the key that is wrong, and what is accepted
function _M.configure(conf)
  expect(conf, "table", "configure")
  local texts = {}
  for key, value in pairs(conf) do
    if type(key) ~= "string" then
      return nil, ("configure takes option names as keys, not a %s"):format(type(key))
    end
    texts[key] = option_text.as_text(value)
    if texts[key] == nil then
      local err = ("configure key %s takes a string, number, boolean or list, not a %s"):format(key, type(value))
      if conf.vault_admin_token ~= nil or conf.vault_admin_tokens ~= nil then
        native.vm:refuse_all(err)
      end
      return nil, err
    end
  end
  return native.vm:configure(texts)
end

--- Returns counters and gauges of this worker; no secrets.
-- @treturn table|nil
-- @treturn nil|string where the configuration is unusable, what is wrong with it
function _M.stats()
  local stats, err = native.vm:stats(hits)
  if not stats then
    return nil, err
  end
  stats.front_entries = l1.size()
  return stats
end

--- Returns the counters and gauges of the node in Prometheus's text format.
-- @treturn string|nil
-- @treturn nil|string
function _M.metrics()
  return native.vm:metrics(hits)
end

-- The functions that a plugin finds in `kong.vault`.
local PDK = {
  "flush",
  "get",
  "init_worker",
  "interpolate",
  "is_reference",
  "parse_reference",
  "table",
  "try",
  "update",
  "warmup",
}

--- Puts the functions into `kong.vault`. Creates that table, or replaces the functions of Kong's own.
-- @tparam table kong
-- @treturn table `kong`
function _M.install(kong)
  expect(kong, "table", "install")
  local pdk = kong.vault
  if type(pdk) ~= "table" then
    pdk = {}
    kong.vault = pdk
  end
  for _, name in ipairs(PDK) do
    pdk[name] = _M[name]
  end
  return kong
end

return _M
