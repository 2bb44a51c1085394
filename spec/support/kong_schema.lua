-- What `vault_references = everywhere` relies on of Kong's schema code, made anew and as small as it goes: how plugins' schemas
-- are loaded, which checks a reference is spared, and what a row's references become. Runs inside nginx, with a `kong`.

local null = ngx.null

local function host()
  return rawget(_G, "kong")
end

local function copied(value)
  if type(value) ~= "table" then
    return value
  end
  local copy = {}
  for name, inner in pairs(value) do
    copy[name] = copied(inner)
  end
  return copy
end

local function is_reference(value)
  return type(value) == "string" and value:sub(1, 9) == "{vault://" and value:sub(-1) == "}"
end

local Schema = { validators_order = { "one_of", "len_min", "match", "custom_validator" } }
Schema.__index = Schema

-- As Kong's own, their errors may quote the value.
Schema.validators = {
  one_of = function(value, list)
    for _, one in ipairs(list) do
      if one == value then
        return true
      end
    end
    return nil, "expected one of: " .. table.concat(list, ", ")
  end,
  len_min = function(value, least)
    return #value >= least or nil, "too short: " .. value
  end,
  match = function(value, pattern)
    return value:match(pattern) ~= nil or nil, "invalid value: " .. value
  end,
  custom_validator = function(value, check)
    return check(value)
  end,
}

local function field_of(entity, path)
  for name in path:gmatch "[^.]+" do
    entity = type(entity) == "table" and entity[name]
  end
  return entity
end

Schema.entity_checkers = {
  conditional = {
    fn = function(entity, arg, schema)
      if field_of(entity, arg.if_field) == nil then
        return true
      end
      if
        not schema:validate_field(setmetatable(arg.if_match, { __index = arg.field }), field_of(entity, arg.if_field))
      then
        return true
      end
      return field_of(entity, arg.then_field) ~= nil or nil, "failed conditional validation"
    end,
  },
  custom_entity_check = {
    fn = function(entity, arg)
      return arg.fn(entity)
    end,
  },
}

function Schema.new(definition)
  local self = setmetatable(copied(definition), Schema)
  for _, item in ipairs(self.fields) do
    local name, field = next(item)
    self.fields[name] = field
  end
  return self
end

function Schema.new_subschema(self, name, definition)
  self.subschemas = self.subschemas or {}
  self.subschemas[name] = Schema.new(definition)
  return true
end

local schemas = setmetatable({}, { __mode = "k" })

local function schema_of(record)
  schemas[record] = schemas[record] or Schema.new(record)
  return schemas[record]
end

function Schema:validate_field(field, value)
  if value == nil or value == null then
    return not field.required or nil, "required field missing"
  elseif field.type == "record" then
    local ok, err = schema_of(field):validate(value)
    if not ok then
      return nil, err
    end
  elseif field.type == "array" or field.type == "set" or field.type == "map" then
    for _, one in pairs(value) do
      local ok, err = self:validate_field(field.elements or field.values, one)
      if not ok then
        return nil, err
      end
    end
  elseif type(value) ~= field.type then
    return nil, "expected a " .. field.type
  elseif field.referenceable and is_reference(value) then
    return true
  end
  for _, rule in ipairs(self.validators_order) do
    if field[rule] ~= nil and type(value) == "string" or rule == "custom_validator" and field[rule] then
      local ok, err = self.validators[rule](value, field[rule])
      if not ok then
        return nil, err
      end
    end
  end
  return true
end

-- Kong leaves an entity check out where a field that it names is one reference.
local function run_checks(self, entity, checks)
  for _, item in ipairs(checks or {}) do
    local name, arg = next(item)
    for _, path in ipairs(arg.field_sources or { arg.if_field, arg.then_field }) do
      if is_reference(field_of(entity, path)) then
        name = nil
      end
    end
    if name then
      local ok, err = self.entity_checkers[name].fn(entity, arg, self)
      if not ok then
        return nil, err
      end
    end
  end
  return true
end

function Schema:validate(entity)
  local subschema = self.subschemas and self.subschemas[entity.name]
  for name, value in pairs(entity) do
    local field = (subschema or self).fields[name] or self.fields[name]
    if not field then
      return nil, name .. ": unknown field"
    end
    local ok, err = self:validate_field(field, value)
    if not ok then
      return nil, name .. ": " .. err
    end
  end
  local ok, err = run_checks(self, entity, self.entity_checks)
  if ok and subschema then
    return run_checks(self, entity, subschema.entity_checks)
  end
  return ok, err
end

local function resolve(value)
  local found = host().vault.get(value)
  return found or ""
end

function Schema:process_auto_fields(data, context, nulls)
  local reads = context == "select" and not nulls and host().configuration.role ~= "control_plane"
  local subschema = self.subschemas and self.subschemas[data.name]
  local refs, previous = {}, data["$refs"]
  data["$refs"] = nil
  for _, item in ipairs(self.fields) do
    local name, field = next(item)
    field = subschema and subschema.fields[name] or field
    local value, inner = data[name], field.elements or field.values
    if value == null and not nulls then
      value = nil
    end
    if field.type == "record" and type(value) == "table" then
      value = schema_of(field):process_auto_fields(value, context, nulls)
    elseif inner and inner.type == "record" then
      for key, one in pairs(value or {}) do
        value[key] = schema_of(inner):process_auto_fields(one, context, nulls)
      end
    elseif reads and field.referenceable then
      refs[name] = is_reference(value) and value or previous and previous[name]
      value = is_reference(value) and resolve(value) or value
    elseif reads and inner and inner.referenceable and value then
      if field.type == "set" then
        local kept = {}
        for _, one in ipairs(value) do
          kept[one] = true
        end
        setmetatable(value, { __index = kept })
      end
      local found = {}
      for key, one in pairs(value) do
        if is_reference(one) then
          found[key], value[key] = one, resolve(one)
        end
      end
      refs[name] = next(found) and found or previous and previous[name]
    end
    data[name] = value
  end
  data["$refs"] = next(refs) and refs or nil
  return data
end

return Schema
