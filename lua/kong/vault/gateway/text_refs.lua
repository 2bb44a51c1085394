-- References in the texts of plugins' configurations, in Kong's schema code: what is a reference there, and what a field gets.
-- Kong itself knows fields that are one reference; these functions know texts with references inside, and apply a field's rules
-- to its value.

local checks = require "kong.vault.gateway.checks"
local marks = require "kong.vault.gateway.marks"
local refs = require "kong.vault.refs"

local ngx = ngx

local _M = {}

-- Kong takes no text for a reference that ends so.
local NO_REFERENCE = "\0"

-- Whether a text has references inside. In a template of the request-transformer they belong to its Lua code, which calls
-- `kong.vault.get("{vault://…}")`.
local function has_inside(place, text)
  if not refs.is_composed(text) then
    return false
  end
  return place.plugin ~= "request-transformer" or not text:find "%$%(.*{vault://"
end

local function host()
  return rawget(_G, "kong") or {}
end

--- Returns why a text's references cannot be read, or nil and the first one.
local function flaw(text)
  local pieces, err = require("kong.vault.text").split(text)
  if not pieces then
    return err
  end
  for place = 2, #pieces, 2 do
    local parsed, why = host().vault.parse_reference(pieces[place])
    if not parsed then
      return ("reference %d cannot be read: %s"):format(place / 2, why)
    end
  end
  return nil, pieces[2]
end

--- Checks a text that may hold references, for Kong's `validate_field`. Returns whether it did; and then whether the text is
--- good, and what is wrong with it.
function _M.validate(own, schema, field, value)
  local place = field.referenceable and refs.has_reference(value) and marks.place(field)
  local is_one = place and not refs.is_composed(value)
  if not place or is_one and place.is_kongs or not (is_one or has_inside(place, value)) then
    return own(schema, field, value)
  end
  local err, reference = flaw(value)
  if err then
    return nil, err
  end
  -- Kong does for one reference all that it does for a field before it looks at its value.
  return own(schema, field, reference)
end

-- Returns the fields that may hold texts of a record: name, field of the text, whether it is one of many.
local function each_text(schema)
  local i = 0
  return function()
    while true do
      i = i + 1
      local item = schema.fields[i]
      if not item then
        return nil
      end
      local name, field = next(item)
      local inner = field.type == "map" and field.values or field.elements
      if field.type == "string" and marks.place(field) then
        return name, field, false, field
      elseif inner and inner.type == "string" and marks.place(inner) then
        return name, inner, true, field
      end
    end
  end
end

local function without_duplicates(list)
  local kept, seen = {}, {}
  for _, value in ipairs(list) do
    if not seen[value] then
      seen[value] = true
      kept[#kept + 1] = value
    end
  end
  return kept
end

-- Takes a text that Kong would take for one reference out of its sight. Returns the text, if it is one with references inside.
-- `previous`: what `$refs` has for it, where the text is a value already.
local function take(place, target, key, previous)
  local text = target[key]
  if previous or not has_inside(place, text) then
    return nil
  end
  if refs.is_reference(text) then
    target[key] = text .. NO_REFERENCE
  end
  return text
end

--- Returns the texts with references inside that a row's record holds, by field, or by field and key.
function _M.find(schema, data)
  local texts, previous = {}, data["$refs"] or {}
  for name, field, is_many, outer in each_text(schema) do
    local value = data[name]
    if not is_many then
      texts[name] = take(marks.place(field), data, name, previous[name])
    elseif type(value) == "table" then
      if outer.type == "set" then
        value = without_duplicates(value)
        data[name] = value
      end
      local inner, of_keys = {}, type(previous[name]) == "table" and previous[name] or {}
      for key in pairs(value) do
        inner[key] = take(marks.place(field), value, key, of_keys[key])
      end
      texts[name] = next(inner) and inner
    end
  end
  return texts
end

-- Kong's rule for a text that has a name before its value, and the plugins whose texts are such without it.
local NAME_AND_VALUE = "^[^:]+:.*$"
local TRANSFORMERS = { ["request-transformer"] = true, ["response-transformer"] = true }

-- Returns what a field holds that has no value. Where a name stands before the value, that one is empty: such a plugin fails
-- otherwise.
local function emptied(field, reference)
  if field.match == NAME_AND_VALUE or TRANSFORMERS[marks.place(field).plugin] then
    local name = reference:match "^[^:{]+:"
    return name or ""
  end
  return ""
end

-- What the log was told of fields' values, so that it is not told for each request. `MOST` bounds how much is remembered.
local told, told_count = {}, 0
local MOST = 4096

local function tell(place, reference, key, what)
  local id = table.concat({ place.plugin, place.path, tostring(key), reference, what }, "\0")
  if not told[id] then
    if told_count >= MOST then
      told, told_count = {}, 0
    end
    told[id], told_count = true, told_count + 1
    ngx.log(ngx.WARN, "kong.vault: the plugin ", place.plugin, " has no value in ", place.path, ": ", what)
  end
end

-- Returns a field's value; an empty text where there is none, or it breaks one of the field's rules.
local function accepted(schema, field, key, reference, value)
  local place = marks.place(field)
  if value == nil then
    return emptied(field, reference)
  elseif value == "" or place.is_kongs and not refs.is_composed(reference) then
    return value
  end
  local rule = checks.broken_rule(schema, field, value)
  if rule then
    tell(place, reference, key, ("what its reference stands for breaks the field's rule `%s`"):format(rule))
    return emptied(field, reference)
  end
  return value
end

-- Returns a text with the values of its references, or an empty text. Kong's own functions know vaults that others brought.
local function filled(schema, field, key, text)
  local is_whole = true
  local value, err, reference = require("kong.vault.text").fill(text, function(reference)
    local found, why = host().vault.get(reference)
    is_whole = is_whole and found ~= ""
    return found, why
  end)
  if not value then
    local name = reference and require("kong.vault.native").name_reference(reference) or "a reference"
    tell(marks.place(field), text, key, ("%s has none: %s"):format(name, tostring(err)))
    return emptied(field, text)
  end
  -- A value that is put off is empty.
  return is_whole and accepted(schema, field, key, text, value) or value
end

-- Sets as Kong makes them know what they held when they were made.
local set = {
  __index = function(list, value)
    for i = 1, #list do
      if rawget(list, i) == value then
        return true
      end
    end
  end,
}

-- By schema: the metatable of `$refs`, by which `update` has values accepted.
local metatables = setmetatable({}, { __mode = "k" })

local function metatable(schema)
  local found = metatables[schema]
  if not found then
    local fields = {}
    for name, field in each_text(schema) do
      fields[name] = field
    end
    found = {
      accept = function(name, key, reference, value)
        local field = fields[name]
        if not field then
          return value or ""
        end
        return accepted(schema, field, key, reference, value)
      end,
    }
    metatables[schema] = found
  end
  return found
end

--- Puts values in the place of the texts that `find` found, and applies the rules of all fields with references. `data`: the
--- record as Kong has resolved it.
function _M.resolve(schema, data, texts)
  local by_field = data["$refs"] or {}
  for name, field, is_many, outer in each_text(schema) do
    local text, reference, value = texts[name], by_field[name], data[name]
    if not is_many then
      if text then
        by_field[name], data[name] = text, filled(schema, field, nil, text)
      elseif type(reference) == "string" and value then
        data[name] = accepted(schema, field, nil, reference, value)
      end
    elseif type(value) == "table" then
      local references = type(reference) == "table" and reference or {}
      for key, one in pairs(references) do
        value[key] = value[key] and accepted(schema, field, key, one, value[key])
      end
      for key, one in pairs(text or {}) do
        references[key], value[key] = one, filled(schema, field, key, one)
      end
      if next(references) then
        by_field[name] = references
        if outer.type == "set" then
          setmetatable(value, set)
        end
      end
    end
  end
  data["$refs"] = next(by_field) and setmetatable(by_field, metatable(schema)) or nil
end

return _M
