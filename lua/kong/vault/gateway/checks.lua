-- Checks of Kong's schemas, where a field holds references: those of the field itself are for the value, those over several
-- fields must not fail because of how a reference is written.

local find, gsub = string.find, string.gsub

local _M = {}

local REFERENCE = "{vault://[^}]*}"

-- What stands in for a reference where a check is tried a second time.
local STAND_IN = "x"

local function has_reference(value)
  return type(value) == "string" and find(value, REFERENCE) ~= nil
end

-- Returns a value with each reference replaced, at any depth, and whether there was one.
local function with_stand_ins(value, seen)
  if type(value) ~= "table" then
    if has_reference(value) then
      return gsub(value, REFERENCE, STAND_IN), true
    end
    return value, false
  elseif seen[value] then
    return seen[value], false
  end
  local copy, found = setmetatable({}, getmetatable(value)), false
  seen[value] = copy
  for name, inner in pairs(value) do
    local one, has = with_stand_ins(inner, seen)
    rawset(copy, name, one)
    found = found or has
  end
  return copy, found
end

--- Returns a check that a function makes, so that it passes where it fails in one way with references, and in another way, or not
--- at all, with other texts in their place.
function _M.lenient(check)
  if type(check) ~= "function" then
    return check
  end
  return function(value, ...)
    local other, found = with_stand_ins(value, {})
    if not found then
      return check(value, ...)
    end
    local done, ok, err, more = pcall(check, value, ...)
    if done and ok then
      return ok, err, more
    end
    local done_too, ok_too, err_too = pcall(check, other, ...)
    if done and done_too and not ok_too and err == err_too then
      return ok, err, more
    end
    return true
  end
end

--- Returns a schema's entity checks, with such a check wherever a plugin has one of its own.
function _M.lenient_list(list)
  if type(list) ~= "table" then
    return list
  end
  local copy = {}
  for i, item in ipairs(list) do
    local custom = item.custom_entity_check
    copy[i] = item
    if type(custom) == "table" then
      local own = {}
      for name, value in pairs(custom) do
        own[name] = value
      end
      own.fn = _M.lenient(custom.fn)
      copy[i] = { custom_entity_check = own }
    end
  end
  return copy
end

-- Returns a field of an entity by its path.
local function field_of(entity, path)
  for name in tostring(path):gmatch "[^.]+" do
    if type(entity) ~= "table" then
      return nil
    end
    entity = entity[name]
  end
  return entity
end

-- Kong's checks of one field on the condition of another. Kong leaves them out where either is a reference.
local CONDITIONAL = { "conditional", "conditional_at_least_one_of" }

--- Has Kong leave conditional checks out as well where one of the two fields is a text with a reference inside.
function _M.skip_conditional(schema)
  for _, name in ipairs(CONDITIONAL) do
    local checker = (schema.entity_checkers or {})[name]
    local check = checker and checker.fn
    if check then
      checker.fn = function(entity, arg, ...)
        if has_reference(field_of(entity, arg.if_field)) or has_reference(field_of(entity, arg.then_field)) then
          return true
        end
        return check(entity, arg, ...)
      end
    end
  end
end

--- Returns the first rule of a field that a text breaks: the name of the rule.
function _M.broken_rule(schema, field, value)
  for _, rule in ipairs(schema.validators_order) do
    if field[rule] ~= nil then
      local done, ok = pcall(schema.validators[rule], value, field[rule], field)
      if not (done and ok) then
        return rule
      end
    end
  end
end

return _M
