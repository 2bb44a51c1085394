-- Makes the texts of a plugin's configuration referenceable: changes the plugin's schema as Kong has loaded it, which is a copy
-- of the plugin's own.

local checks = require "kong.vault.gateway.checks"

local _M = {}

-- An attribute of the fields and records of plugins' configurations, which tells what they are. A function, which Kong copies
-- with a schema and does not show in its Admin API.
local MARK = "vault_references"

-- Plugins whose texts are Lua code, which fetches secrets by `kong.vault.get("{vault://…}")`: a value in the place of such a
-- reference would be a part of the program.
local CODE = { ["pre-function"] = true, ["post-function"] = true }

-- kong-vault's own plugin, which says how references are resolved.
local OWN = "kong-vault"

-- Kong's own check of a text that is Lua code.
local function code_check()
  local found, typedefs = pcall(require, "kong.db.schema.typedefs")
  local code = found and rawget(typedefs, "lua_code")
  return code and code.values and code.values.custom_validator
end

-- Whether a text may hold references. A plugin that has `referenceable = false` on a field wants none there.
local function is_wanted(field, place)
  local code = code_check()
  return field.referenceable ~= false and not CODE[place.plugin] and not (code and field.custom_validator == code)
end

local function mark(field, place)
  field[MARK] = function()
    return place
  end
end

local function copied(source)
  local copy = {}
  for name, value in pairs(source) do
    copy[name] = value
  end
  return copy
end

local marked

-- Returns a record's list of fields with marked ones in it. Kong finds a field by its name in it as well.
local function marked_fields(fields, plugin, path)
  local list = {}
  for i, item in ipairs(fields) do
    local name, field = next(item)
    local place = { plugin = plugin, path = path .. "." .. name, name = name }
    local found = marked(field, place)
    list[i] = { [name] = found }
    list[name] = fields[name] and found
  end
  return list
end

-- Returns a marked copy of a field. Fields of one plugin may share a table, and differ by where they are.
function marked(field, place)
  local copy = copied(field)
  local inner = copy.type == "map" and "values" or "elements"
  if copy.type == "string" then
    if is_wanted(copy, place) then
      place.is_kongs = copy.referenceable == true
      copy.referenceable = true
      mark(copy, place)
    end
    return copy
  elseif copy.type == "record" and copy.fields then
    mark(copy, place)
    copy.fields = marked_fields(copy.fields, place.plugin, place.path)
    copy.shorthand_fields = copy.shorthand_fields and marked_fields(copy.shorthand_fields, place.plugin, place.path)
    copy.entity_checks = checks.lenient_list(copy.entity_checks)
  elseif type(copy[inner]) == "table" and (copy[inner].type == "string" or copy[inner].type == "record") then
    -- Kong resolves no reference in an array of arrays.
    copy[inner] = marked(copy[inner], { plugin = place.plugin, path = place.path .. "[]", name = place.name })
  end
  copy.custom_validator = checks.lenient(copy.custom_validator)
  return copy
end

--- Returns where a field or record of a plugin's configuration is: `plugin`, `path`, and `is_kongs`, whether Kong itself takes
--- references there. nil for any other.
function _M.place(field)
  local found = field[MARK]
  return type(found) == "function" and found() or nil
end

local in_use = false

--- Whether texts of plugins may hold references.
function _M.are_in_use()
  return in_use
end

--- Marks the configuration of one plugin: `subschema` is what Kong has made of its schema.
function _M.plugin(subschema, name)
  if name == OWN then
    return
  end
  in_use = true
  for _, item in ipairs(subschema.fields) do
    local config = item.config
    if config and config.type == "record" and config.fields and not _M.place(config) then
      item.config = marked(config, { plugin = name, path = "config", name = "config" })
      subschema.fields.config = item.config
      subschema.entity_checks = checks.lenient_list(subschema.entity_checks)
    end
  end
end

return _M
