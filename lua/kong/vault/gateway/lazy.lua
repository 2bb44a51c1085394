-- `vaults_lazy_load_secrets`: the secrets of plugins' fields are fetched for the first request that needs them, not when Kong
-- starts. Kong resolves such a field whenever it reads a plugin from its database, and calls `update` for each request.

local vault = require "kong.vault"
local marks = require "kong.vault.gateway.marks"
local native = require "kong.vault.native"
local phase = require "kong.vault.phase"
local refs = require "kong.vault.refs"

local ngx = ngx

local _M = {}

-- References in plugins' fields that no request has needed yet.
local deferred = {}

-- Tables without such references. Weak: a table that its owner forgets must not live on here.
local settled = setmetatable({}, { __mode = "k" })

-- Whether this worker has begun to serve requests.
local is_serving = false

-- Phases in which Kong starts. In a timer, its workers read what one of them has loaded.
local STARTING = { init = true, init_worker = true, timer = true }

local function is_starting()
  if is_serving then
    return false
  end
  is_serving = not STARTING[ngx.get_phase()]
  return not is_serving
end

--- Splits the references of Kong's declarative configuration. Returns those that are to be fetched now, and puts off those that
-- stand in plugins' fields alone. `is_foreign`: whether only Kong's own functions know a reference's vault.
function _M.put_off(input, is_foreign)
  local others = {}
  for name, entities in pairs(input) do
    others[name] = name ~= "plugins" and entities or nil
  end
  local now = refs.find(others)
  local wanted = {}
  for _, reference in ipairs(now) do
    wanted[reference] = true
  end
  for _, reference in ipairs(refs.find(input.plugins, marks.are_in_use())) do
    if is_foreign(reference) and not wanted[reference] then
      now[#now + 1] = reference
    end
    deferred[reference] = not (wanted[reference] or is_foreign(reference)) or nil
  end
  return now
end

-- Whether Kong reads the plugins in its database, for all of its workers.
local function reads_database()
  return ngx.get_phase() == "init" and rawget(_G, "kong").configuration.database ~= "off"
end

--- `kong.vault.get`. While Kong starts, a field whose reference is put off is empty.
function _M.get(reference)
  if is_starting() then
    if reads_database() and refs.is_reference(reference) and not native.vm:cached(reference) then
      deferred[reference] = true
    end
    if deferred[reference] then
      return ""
    end
  end
  return vault.get(reference)
end

--- `kong.vault.update`. The first request that needs a reference waits for its value, where its phase may wait.
function _M.update(config)
  if settled[config] or type(config) ~= "table" or is_starting() or phase.wait_mode() ~= phase.YIELD then
    return vault.update(config)
  end
  local first = {}
  for _, reference in ipairs(refs.declared(config)) do
    if deferred[reference] then
      first[#first + 1] = reference
    end
  end
  if #first > 0 then
    -- Those without a value are fetched again as any others are; `update` says in the log why they have none.
    vault.warmup(first)
    for _, reference in ipairs(first) do
      deferred[reference] = nil
    end
  end
  settled[config] = true
  return vault.update(config)
end

return _M
