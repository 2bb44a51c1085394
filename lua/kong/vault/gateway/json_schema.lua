-- The options of all backends as a JSON schema, by which APISIX checks the secrets of the secret manager `kong-vault`.

local _M = {}

-- JSON schema's types, by the library's.
local TYPES = { text = "string", boolean = "boolean", integer = "integer", seconds = "number", list = "array" }

local function property(opt)
  local spec = { type = TYPES[opt.type], description = opt.help, enum = opt.one_of }
  if opt.between then
    spec.minimum, spec.maximum = opt.between[1], opt.between[2]
  end
  if opt.type == "list" then
    spec.items = { type = "string" }
  end
  return spec
end

-- Returns a schema that requires an option, by any of its spellings.
local function set(opt)
  local any = { { required = { opt.name } } }
  for _, alias in ipairs(opt.aliases) do
    any[#any + 1] = { required = { alias } }
  end
  return #any == 1 and any[1] or { anyOf = any }
end

-- Returns a schema of which other options an option needs: all of some, and one of others.
local function needed(need, by_name)
  local all, any = {}, {}
  for place, name in ipairs(need.all) do
    all[place] = set(by_name[name])
  end
  for place, name in ipairs(need.any) do
    any[place] = set(by_name[name])
  end
  if #any > 0 then
    all[#all + 1] = { anyOf = any }
  end
  return { allOf = all }
end

-- Whether all options of a list have one spelling. Then the error about one that is missing can name it.
local function are_plain(names, by_name)
  for _, name in ipairs(names) do
    if #by_name[name].aliases > 0 then
      return false
    end
  end
  return true
end

-- Adds what an option needs to the schema of a backend's options.
local function add(need, by_name, config)
  local opt = by_name[need.option]
  if need.value then
    config.allOf[#config.allOf + 1] = {
      ["if"] = { required = { opt.name }, properties = { [opt.name] = { enum = { need.value } } } },
      ["then"] = needed(need, by_name),
    }
    return
  end
  local rest = #need.any == 0 and are_plain(need.all, by_name) and need.all or needed(need, by_name)
  config.dependencies[opt.name] = rest
  for _, alias in ipairs(opt.aliases) do
    config.dependencies[alias] = rest
  end
end

-- Returns the schema of a backend's options, without those that are the operator's alone.
local function options(native, backend)
  local by_name = {}
  local config = { type = "object", properties = {}, additionalProperties = false, dependencies = {}, allOf = {} }
  for _, opt in ipairs(native.options(backend)) do
    by_name[opt.name] = opt
    if not opt.operators then
      config.properties[opt.name] = property(opt)
      for _, alias in ipairs(opt.aliases) do
        config.properties[alias] = config.properties[opt.name]
      end
    end
    if opt.required and not opt.default then
      config.allOf[#config.allOf + 1] = set(opt)
    end
  end
  for _, need in ipairs(native.requirements(backend)) do
    add(need, by_name, config)
  end
  return config
end

--- Returns the schema of a secret: fields that APISIX sets or knows, and at most one backend with its options.
function _M.secret(native)
  local text, time = { type = "string" }, { type = "integer" }
  local properties = {
    id = text,
    desc = text,
    labels = { type = "object" },
    create_time = time,
    update_time = time,
  }
  local alone = {}
  for _, backend in ipairs(native.backends) do
    properties[backend] = options(native, backend)
    local others = {}
    for _, other in ipairs(native.backends) do
      others[#others + 1] = other ~= backend and { required = { other } } or nil
    end
    alone[backend] = { ["not"] = { anyOf = others } }
  end
  return { type = "object", properties = properties, dependencies = alone, additionalProperties = false }
end

return _M
