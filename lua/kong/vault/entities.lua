-- The vault entities of Kong: what its database or declarative configuration holds, and what changes there.

local native = require "kong.vault.native"

local ngx = ngx
local kong = kong

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

local known = false

--- Takes a list or map of entities for all that there are.
function _M.take(entities)
  known = true
  local list = {}
  for _, entity in pairs(entities) do
    if is_ours(entity) then
      list[#list + 1] = plain(entity)
    end
  end
  replace(list)
end

--- Reads all entities from Kong's database. Phases: those that may wait, and init_worker. An error is logged: what was
-- known stays.
function _M.refresh()
  local dao = kong.db and kong.db.vaults
  if not dao then
    return
  end
  local list = {}
  for entity, err in dao:each(nil, { workspace = ngx.null }) do
    if not entity then
      ngx.log(ngx.ERR, "kong.vault: the vault entities can't be read from Kong's database: ", err)
      return
    end
    if is_ours(entity) then
      list[#list + 1] = plain(entity)
    end
  end
  known = true
  replace(list)
end

local following

--- Has changes of entities seen to, in this worker. For init_worker; doing it twice does nothing. A declarative
-- configuration that is replaced is told of by `flush`; with a database, this node's changes are events of Kong's, and
-- those of others are looked for.
function _M.follow()
  if following then
    return
  end
  following = true
  if not known then
    _M.refresh()
  end
  local conf = kong.configuration
  if conf.database == "off" and conf.role ~= "data_plane" then
    return
  end
  kong.worker_events.register(function()
    _M.refresh()
  end, "crud", "vaults")
  if conf.database ~= "off" then
    local every = tonumber(conf.db_update_frequency) or LOOK
    local ok, err = ngx.timer.every(every > 0 and every or LOOK, function(premature)
      if not premature then
        _M.refresh()
      end
    end)
    if not ok then
      ngx.log(ngx.ERR, "kong.vault: vault entities that other nodes change will not be seen: ", err)
    end
  end
end

return _M
