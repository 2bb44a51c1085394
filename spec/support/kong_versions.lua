-- Makes a stub host (kong_host.lua) into one with the facts of an earlier Kong: what its schema code takes, what its own
-- `kong.vault` has, what its entities and events are called, how it caches certificates. Seen in Kong's public source and
-- in real Kongs. Runs inside nginx.

local is_reference = require("kong.vault.refs").is_reference

local _M = {}

local OLD = { get = true, is_reference = true, parse_reference = true }

local function with(more, ...)
  local set = {}
  for name in pairs(more) do
    set[name] = true
  end
  for _, name in ipairs({ ... }) do
    set[name] = true
  end
  return set
end

local V30 = with(OLD, "try")
local V33 = with(V30, "flush", "init_worker")
local V34 = with(V33, "update")
local V35 = with(V34, "warmup")

-- `remembers`: entities' references are resolved by functions that nobody can replace, and once.
local FACTS = {
  ["2.8.5"] = { pdk = OLD, vaults = "vaults_beta", event = "flip_config", remembers = true, drops = true, keeps = true },
  ["3.0.2"] = { pdk = V30, event = "reconfigure", drops = true, keeps = true },
  ["3.3.1"] = { pdk = V33, event = "reconfigure", keeps = true },
  ["3.4.2"] = { pdk = V34, event = "reconfigure", keeps = true, description = true, dictionary = true },
  ["3.5.0"] = {
    pdk = V35,
    event = "reconfigure",
    keeps = true,
    description = true,
    dictionary = true,
    configure = true,
  },
  ["3.9.1"] = {
    pdk = V35,
    event = "reconfigure",
    description = true,
    dictionary = true,
    configure = true,
  },
}

_M.FACTS = FACTS
_M.NAMES = { "2.8.5", "3.0.2", "3.3.1", "3.4.2", "3.5.0", "3.9.1" }

local TYPES = { "array", "boolean", "integer", "map", "number", "record", "set", "string" }
local ATTRIBUTES = {
  "between",
  "custom_validator",
  "default",
  "elements",
  "encrypted",
  "entity_checks",
  "fields",
  "func",
  "len_min",
  "one_of",
  "referenceable",
  "required",
  "shorthand_fields",
  "type",
}

-- Whether such a Kong knows all that is in a field's schema. `known`: a set of the names that it knows.
local function is_known(field, known)
  for name in pairs(field) do
    if not known[name] then
      return false
    end
  end
  local lists = { field.fields or {}, field.shorthand_fields or {}, { { elements = field.elements } } }
  for _, list in ipairs(lists) do
    for _, item in ipairs(list) do
      local _, inner = next(item)
      if inner and not is_known(inner, known) then
        return false
      end
    end
  end
  return known["type " .. field.type] ~= nil
end

local function schema_code(facts)
  local known = { description = facts.description }
  for _, name in ipairs(ATTRIBUTES) do
    known[name] = true
  end
  for _, name in ipairs(TYPES) do
    known["type " .. name] = true
  end
  local check = {}
  function check.validate(_, schema)
    local _, config = next(schema.fields[1])
    if is_known(config, known) then
      return true
    end
    return nil, { fields = "unknown field" }
  end
  package.loaded["kong.db.schema.metaschema"] = { MetaSubSchema = check }
  package.loaded["kong.db.schema"] = {
    new = function()
      return {
        process_auto_fields = function()
          if facts.drops then
            return {}
          end
          return nil, { config = "expected a boolean" }
        end,
      }
    end,
  }
end

-- The cache in which Kong keeps certificates: `shared` has the rows of all workers, `own` the certificates of one worker.
local function certificates(kong, facts, rows)
  local shared, own, memory = {}, {}, {}
  local dao = {}
  function dao.each()
    local i = 0
    return function()
      i = i + 1
      return rows[i]
    end
  end
  function dao.cache_key(_, key)
    return "certificates:" .. (type(key) == "table" and key.id or key) .. ":::::workspace"
  end
  kong.db.certificates = dao
  kong.core_cache = {
    probe = function(_, key)
      local row = shared[key]
      return row and 0, nil, row and require("cjson").decode(row)
    end,
    invalidate_local = function(_, key)
      shared[key], own[key] = nil, nil
      kong.forgotten[key] = true
    end,
    -- Only a cache with pages has this function: its pages hold Kong's database, and a new configuration swaps them.
    flip = facts.remembers and function() end or nil,
    safe_set = function(_, key, row)
      shared[key] = require("cjson").encode(row)
      return true
    end,
  }
  local function resolved(reference)
    if not facts.remembers then
      return kong.vault.get(reference)
    end
    memory[reference] = memory[reference] or require("kong.vault").get(reference)
    return memory[reference]
  end
  local function select(id)
    for _, row in ipairs(rows) do
      if row.id == id then
        local copy, refs = {}, {}
        for name, value in pairs(row) do
          if is_reference(value) then
            refs[name], value = value, resolved(value)
          end
          copy[name] = value
        end
        copy["$refs"] = not facts.remembers and next(refs) and refs or nil
        return copy
      end
    end
  end
  -- In that Kong, the cache holds the database as well.
  if facts.remembers then
    for _, row in ipairs(rows) do
      shared[dao.cache_key(dao, row.id)] = require("cjson").encode(row)
    end
  end
  package.loaded["kong.runloop.certificate"] = {
    get_certificate = function(key)
      local name = facts.remembers and "certificates:" .. key.id or dao.cache_key(dao, key.id)
      shared[name] = shared[name] or require("cjson").encode(select(key.id))
      local row = require("cjson").decode(shared[name])
      if not facts.keeps then
        return { cert = kong.vault.update(row).cert }
      end
      own[name] = own[name] or { cert = row.cert }
      return own[name]
    end,
  }
end

--- `rows`: `{ certificates, plugins }`, which a spec may change, and `database`, without which Kong has none.
function _M.make(kong, name, rows)
  local facts = FACTS[name]
  kong.facts = facts
  kong.forgotten = {}
  getmetatable(kong.configuration).__index.database = rows.database or "off"
  for function_name in pairs(kong.vault) do
    kong.vault[function_name] = facts.pdk[function_name] and kong.vault[function_name] or nil
  end
  if facts.pdk == OLD then
    rawset(kong.configuration, "remove_sensitive", nil)
    package.loaded["kong.singletons"] = { configuration = getmetatable(kong.configuration).__index }
  end
  if facts.vaults then
    kong.db.vaults, kong.db[facts.vaults] = nil, kong.db.vaults
  end
  kong.db[facts.vaults or "vaults"].cache_key = function(_, prefix)
    return "vaults:" .. prefix
  end
  kong.db.plugins = {
    cache_key = function(_, plugin)
      return "plugins:" .. plugin
    end,
    select_by_cache_key = function()
      return rows.plugins[1]
    end,
    each = function()
      return function() end
    end,
  }
  package.loaded["kong.db.declarative"] = {
    get_current_hash = function()
      return rows.hash
    end,
  }
  schema_code(facts)
  certificates(kong, facts, rows.certificates)
end

--- Replaces the whole configuration, as Kong does: calls `flush` of its own `kong.vault`, if it has one, and resolves new
-- references before it announces the change.
function _M.replace(kong, rows, hash, look_up)
  rows.hash = hash
  if kong.vault.flush and kong.facts.pdk.flush then
    kong.vault.flush()
  end
  local found = look_up()
  kong.post("declarative." .. kong.facts.event)
  return found
end

return _M
