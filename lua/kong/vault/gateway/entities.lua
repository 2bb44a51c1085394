-- The vault entities of Kong: what its database or declarative configuration holds, and what changes there.

local capabilities = require "kong.vault.gateway.capabilities"
local native = require "kong.vault.native"
local phase = require "kong.vault.phase"
local rows = require "kong.vault.gateway.rows"

local ngx = ngx

-- Asked for when it is needed: Kong's command line makes it after it has used strategies for kong.conf.
local function host()
  return rawget(_G, "kong") or {}
end

local PLACE = "Kong's configuration"

-- Seconds between two looks at the database, where Kong doesn't say: other nodes change it too.
local LOOK = 5

local _M = {}

-- An entity as the library takes it: no nulls, no fields of Kong's own.
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

-- Backends of others have strategies of their own, which only Kong's own functions know.
local function is_ours(entity)
  for _, backend in ipairs(native.backends) do
    if entity.name == backend then
      return true
    end
  end
  return false
end

local function replace(list)
  local cjson = require "cjson.safe"
  local json = #list == 0 and "[]" or cjson.encode(list)
  local ok, err = native.vm:replace_entities(json, PLACE)
  if ok == nil then
    ngx.log(ngx.ERR, "kong.vault: ", err)
  end
end

-- Prefixes of entities of others' backends.
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

-- Our entities by prefix, as they were taken last.
local current = {}

-- Seconds for which an entity goes on when a whole configuration was replaced: Kong serves by the old one until it has built
-- what comes of the new.
local LINGER = 5

-- Seconds by which nginx's timers may be ahead of its clock.
local MOMENT = 0.1

-- By prefix: until when, and the entity. Later replacements don't put it off.
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

--- Takes a list or map of entities for all that there are.
function _M.take(entities)
  local list
  list, foreign = split(entities)
  current = {}
  for _, entity in ipairs(list) do
    current[entity.prefix] = entity
  end
  add_leaving(list)
  replace(list)
end

-- Reads may overlap, as each waits for the database: what was read from an earlier moment on is not taken after what was
-- read from a later one on.
local started, taken = 0, 0

-- Whether the database could not be read the last time: said once.
local away = false

-- The hash of the declarative configuration that was there when entities were read last, or could not be read.
local read_hash

-- Coroutines that read: what Kong looks up meanwhile must not have them read again.
local reading = setmetatable({}, { __mode = "k" })

--- Reads all entities from Kong's database. Phases: those that may wait, and init_worker. An error is logged: what was
-- known stays.
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

--- The same where a whole configuration was replaced.
function _M.replaced()
  local now = ngx.now()
  for prefix, entity in pairs(current) do
    -- Renamed, it would have the same id as the one that it has become.
    entity.id = nil
    leaving[prefix] = { at = now + LINGER, entity = entity }
  end
  -- Looks when all of these are due.
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

-- Seconds between two looks for entities that nobody told us of.
local SOON = 1
local looked = 0

-- Whether Kong has another declarative configuration: it may look references of it up before it tells of it.
local function is_replaced()
  local hash = capabilities.configuration_hash()
  return hash ~= nil and hash ~= read_hash
end

--- Looks whether a vault that is asked for is a new entity, in phases that may wait, and not all the time.
function _M.look_again()
  local now = ngx.now()
  if (now - looked >= SOON or is_replaced()) and phase.wait_mode() ~= phase.NEVER then
    looked = now
    _M.refresh()
  end
end

--- The prefixes of our entities, as they were taken last.
function _M.prefixes()
  local list = {}
  for prefix in pairs(current) do
    list[#list + 1] = prefix
  end
  return list
end

--- Whether a name is that of a vault which only Kong's own functions know.
function _M.is_foreign(name)
  if foreign[name] then
    return true
  end
  local configuration = host().configuration
  local loaded = configuration and configuration.loaded_vaults
  return loaded ~= nil and loaded[name] ~= nil and not is_ours({ name = name })
end

-- Kong tells the worker alone that changed an entity, which tells the others.
local function follow_events(events)
  local _, name = capabilities.vaults(host())
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

--- Has changes of entities seen to, in this worker. For init_worker; doing it twice does nothing. A declarative
-- configuration that is replaced is told of by `flush`, where Kong `flushes`, else by an event; with a database, this
-- node's changes are events of Kong's, and those of others are looked for.
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
  -- A worker that takes a dead one's place inherits what was known when Kong started. A declarative configuration is in
  -- Kong's database only later.
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
