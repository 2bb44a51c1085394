-- Hands Kong's vault entities to the library, from Kong's database or declarative configuration, and follows their changes.

local audit_context = require "kong.vault.gateway.audit_context"
local capabilities = require "kong.vault.gateway.capabilities"
local debug_log = require "kong.vault.debug_log"
local native = require "kong.vault.native"
local phase = require "kong.vault.phase"
local rows = require "kong.vault.gateway.rows"

local ngx = ngx

-- Kong's command line makes the global `kong` only after it has used strategies, so it is read when needed.
local function host()
  return rawget(_G, "kong") or {}
end

local PLACE = "Kong's configuration"

-- Seconds between two readings of the database, which other nodes change too, where Kong does not set `db_update_frequency`.
local LOOK = 5

local _M = {}

-- The fields of an entity that the library takes, beside `config`.
local FIELDS = { "id", "prefix", "name", "description" }

local function plain(entity)
  local copy = { config = {} }
  for _, field in ipairs(FIELDS) do
    if entity[field] ~= ngx.null then
      copy[field] = entity[field]
    end
  end
  for name, value in pairs(type(entity.config) == "table" and entity.config or {}) do
    if name ~= "$refs" and value ~= ngx.null and not (type(value) == "table" and #value == 0) then
      copy.config[name] = value
    end
  end
  return copy
end

-- Whether an entity is of one of kong-vault's backends. Others have strategies that only Kong's own functions know.
local function is_ours(entity)
  for _, backend in ipairs(native.backends) do
    if entity.name == backend then
      return true
    end
  end
  return false
end

-- The entities that the library has, as JSON. They are read every few seconds, and each replacement looks their credentials up.
local handed

local function replace(list)
  local cjson = require "cjson.safe"
  local json = #list == 0 and "[]" or cjson.encode(list)
  if json == handed then
    return
  end
  local ok, err = native.vm:replace_entities(json, PLACE)
  if ok == nil then
    ngx.log(ngx.ERR, "kong.vault: ", err)
    return
  end
  handed = json
end

-- The prefixes of entities of other backends.
local foreign = {}

local function split(entities)
  local list, others = {}, {}
  for _, entity in pairs(entities) do
    if is_ours(entity) then
      list[#list + 1] = plain(entity)
    else
      others[entity.prefix] = true
    end
  end
  return list, others
end

-- The entities of kong-vault's backends that were taken last, by prefix.
local current = {}

-- Seconds for which entities stay after a whole configuration was replaced: Kong serves by the old configuration until it has
-- built routes and plugins from the new one.
local LINGER = 5

-- Seconds by which nginx's timers may be ahead of its clock.
local MOMENT = 0.1

-- Entities that are to go, by prefix, each with the time when it goes. A later replacement does not put that off.
local leaving = {}

local function add_leaving(list)
  local now = ngx.now()
  for prefix, gone in pairs(leaving) do
    if gone.at <= now then
      leaving[prefix] = nil
    elseif not current[prefix] then
      list[#list + 1] = gone.entity
    end
  end
end

--- Takes a list or map of entities as all that there are.
function _M.take(entities)
  local list
  list, foreign = split(entities)
  current = {}
  for _, entity in ipairs(list) do
    current[entity.prefix] = entity
  end
  add_leaving(list)
  debug_log.line("handing ", #list, " vault entities of Kong to the library")
  replace(list)
end

-- The number of readings that have begun, and the number of the reading that was taken last. Readings may overlap, as each waits
-- for the database: one that began earlier is not taken after one that began later.
local started, taken = 0, 0

-- Whether the last reading failed. That is logged once.
local away = false

-- The hash of the declarative configuration at the last reading, also where that failed.
local read_hash

-- Coroutines that are reading. What Kong looks up during a reading must not begin another one.
local reading = setmetatable({}, { __mode = "k" })

--- Reads all entities from Kong's database. An error is logged, and the known entities stay. Phases: those that may wait, and
-- init_worker.
function _M.refresh()
  local dao = capabilities.vaults(host())
  local me = coroutine.running() or reading
  if not dao or reading[me] then
    return
  end
  started = started + 1
  local turn = started
  reading[me] = true
  local hash = capabilities.configuration_hash()
  local done, entities = pcall(rows.all, dao)
  reading[me] = nil
  if turn > taken then
    read_hash = hash
  end
  if not done then
    if not away then
      ngx.log(
        ngx.ERR,
        "kong.vault: cannot read the vault entities from Kong's database, the known ones stay in use: ",
        entities
      )
    end
    away = true
    return
  end
  away = false
  if turn > taken then
    taken = turn
    _M.take(entities)
  end
end

--- Reads all entities after a whole configuration was replaced.
function _M.replaced()
  local now = ngx.now()
  for prefix, entity in pairs(current) do
    -- If it was renamed, its successor has the same id.
    entity.id = nil
    leaving[prefix] = { at = now + LINGER, entity = entity }
  end
  -- Reads again when all of these are to go.
  local ok = ngx.timer.at(LINGER + MOMENT, function(premature)
    if not premature then
      _M.refresh()
    end
  end)
  if not ok then
    leaving = {}
  end
  _M.refresh()
end

-- Seconds between two readings for a vault that is not known.
local SOON = 1
local looked = 0

-- Whether Kong has another declarative configuration since the last reading: it may resolve references of a new one before it
-- announces it.
local function is_replaced()
  local hash = capabilities.configuration_hash()
  return hash ~= nil and hash ~= read_hash
end

--- Reads all entities again for a vault that is not known, in phases that may wait, and not too often.
function _M.look_again()
  local now = ngx.now()
  if (now - looked >= SOON or is_replaced()) and phase.wait_mode() ~= phase.NEVER then
    looked = now
    _M.refresh()
  end
end

--- Returns the prefixes of the entities of kong-vault's backends.
function _M.prefixes()
  local list = {}
  for prefix in pairs(current) do
    list[#list + 1] = prefix
  end
  return list
end

--- Whether a reference's first part names a vault that only Kong's own functions know.
function _M.is_foreign(name)
  if foreign[name] then
    return true
  end
  local configuration = host().configuration
  local loaded = configuration and configuration.loaded_vaults
  return loaded ~= nil and loaded[name] ~= nil and not is_ours({ name = name })
end

-- Kong announces a changed entity in the worker that changed it. That worker tells the others.
local function follow_events(events)
  local dao, name = capabilities.vaults(host())
  -- What a data plane writes there was changed elsewhere.
  if host().configuration.role ~= "data_plane" then
    audit_context.follow_changes(dao)
  end
  events.register(function()
    _M.refresh()
  end, "kong-vault", "entities")
  events.register(function()
    _M.refresh()
    local ok, err = events.post("kong-vault", "entities", {})
    if not ok then
      ngx.log(
        ngx.WARN,
        "kong.vault: cannot tell other workers of a changed vault entity, they find it at their next check: ",
        err
      )
    end
  end, "crud", name)
end

local following

--- Follows changes of entities in this worker. For init_worker; a second call does nothing. A replaced declarative configuration
-- is announced by `flush`, in a Kong that `flushes`, otherwise by an event. With a database, this node's changes are events of
-- Kong's, and the database is read from time to time for those of other nodes.
function _M.follow(flushes)
  if following then
    return
  end
  following = true
  local conf = host().configuration
  if conf.database == "off" and not flushes then
    for _, event in ipairs(capabilities.REPLACEMENTS) do
      host().worker_events.register(_M.replaced, "declarative", event)
    end
  end
  -- A worker that replaces a dead one has inherited what was known when Kong started. A declarative configuration is in Kong's
  -- database only later.
  if conf.database ~= "off" then
    _M.refresh()
  end
  if conf.database == "off" and conf.role ~= "data_plane" then
    return
  end
  follow_events(host().worker_events)
  if conf.database ~= "off" then
    local every = tonumber(conf.db_update_frequency) or LOOK
    local ok, err = ngx.timer.every(every > 0 and every or LOOK, function(premature)
      if not premature then
        _M.refresh()
      end
    end)
    if not ok then
      ngx.log(ngx.ERR, "kong.vault: cannot follow vault entities that other nodes change: ", err)
    end
  end
end

return _M
