-- Finds out what the running Kong can do, as Kongs from 2.8 on differ: by a function or a field that it has or lacks, or by
-- having its schema code check a trial schema. No version number is compared. docs/kong-versions.md has the table for users.

local ngx = ngx

local _M = {}

-- Returns Kong's own check of a vault's schema; nil outside Kong.
local function schema_check()
  local loaded, metaschema = pcall(require, "kong.db.schema.metaschema")
  return loaded and metaschema.MetaSubSchema
end

local function is_taken(field)
  local check = schema_check()
  if not check then
    return true
  end
  local trial = { name = "trial", fields = { { config = { type = "record", fields = { { trial = field } } } } } }
  local done, taken = pcall(check.validate, check, trial)
  return done and taken == true
end

-- Attributes of fields that not every Kong knows, each with a trial field that has it.
local TRIALS = {
  description = { type = "string", description = "a description of ten letters or more" },
  encrypted = { type = "string", encrypted = true },
  referenceable = { type = "string", referenceable = true },
}

local taken = {}

--- Takes from a field's schema the attributes that this Kong's schema code refuses. Returns the same table.
function _M.field(spec)
  for name, trial in pairs(TRIALS) do
    if spec[name] ~= nil then
      if taken[name] == nil then
        taken[name] = is_taken(trial)
      end
      spec[name] = taken[name] and spec[name] or nil
    end
  end
  return spec
end

-- Returns a record with a shorthand field, which stands for another field.
local function with_shorthand()
  local shorthand = { type = "boolean", func = function() end }
  return { type = "record", fields = { { one = { type = "string" } } }, shorthand_fields = { { two = shorthand } } }
end

local shorthands

--- Whether a record may have shorthand fields, and Kong returns an error for one of a wrong type. Some Kongs drop the whole
-- record then, and store the entity without it.
function _M.takes_shorthands()
  if shorthands == nil then
    local schema = package.loaded["kong.db.schema"]
    shorthands = is_taken(with_shorthand())
    if shorthands and schema then
      local trial = { name = "trial", fields = { { config = with_shorthand() } } }
      local done, data = pcall(function()
        return schema.new(trial):process_auto_fields({ config = { two = "no boolean" } }, "insert")
      end)
      shorthands = done and data == nil
    end
  end
  return shorthands
end

-- What `vault_references = everywhere` needs of Kong's schema code.
local SCHEMA_CODE = {
  new_subschema = "function",
  process_auto_fields = "function",
  validate_field = "function",
  validators = "table",
  validators_order = "table",
}

--- Returns Kong's schema code, if references in plugins' fields can be added to it; otherwise nil and what it lacks.
function _M.schema_code()
  local schema = package.loaded["kong.db.schema"]
  if type(schema) ~= "table" then
    return nil, "module kong.db.schema"
  end
  for name, kind in pairs(SCHEMA_CODE) do
    if type(schema[name]) ~= kind then
      return nil, "kong.db.schema." .. name
    end
  end
  local kong = rawget(_G, "kong")
  if not (kong and kong.vault and kong.vault.update) then
    return nil, "kong.vault.update"
  end
  return schema
end

--- Returns Kong's configuration as a table that can be iterated, for its keys; nil where this Kong has none.
function _M.configuration(configuration)
  if type(configuration.remove_sensitive) == "function" then
    return configuration.remove_sensitive()
  end
  local singletons = package.loaded["kong.singletons"]
  return singletons and singletons.configuration or nil
end

-- The names of vault entities in Kongs, newest first.
local VAULTS = { "vaults", "vaults_beta" }

--- Returns Kong's data access object for vault entities, and their name in events and routes; nil before there is one.
function _M.vaults(kong)
  local db = kong and kong.db
  for _, name in ipairs(VAULTS) do
    if db and db[name] then
      return db[name], name
    end
  end
end

--- The events that announce a replaced configuration in a worker. A Kong has one of them.
_M.REPLACEMENTS = { "reconfigure", "flip_config" }

--- Returns the hash of the declarative configuration, which changes when it is replaced; nil where there is none.
function _M.configuration_hash()
  local declarative = package.loaded["kong.db.declarative"]
  if not declarative or type(declarative.get_current_hash) ~= "function" then
    return nil
  end
  local read, hash = pcall(declarative.get_current_hash)
  return read and hash or nil
end

--- Returns what this Kong lacks, in words for the log. `own`: the functions of its own `kong.vault`.
function _M.missing(own)
  local list = {}
  if not own.update then
    list[#list + 1] = "plugins' fields get new values only after a reload"
  end
  if not ngx.shared.kong_secrets then
    list[#list + 1] = "workers share no values (set nginx_http_lua_shared_dict = kong_secrets 5m)"
  end
  return list
end

return _M
