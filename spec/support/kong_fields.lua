-- Tries each text of each plugin's configuration in a running Kong: whether it may be a reference, and a text with references
-- inside. `luajit kong_fields.lua ADMIN PROXY` (ports) prints a line for each text: plugin, path, what it may be. At PROXY, Kong
-- answers with what its workers get of a configuration (`ANSWER`). Without PROXY, it prints what Kong's schemas say.

local cjson = require "cjson"
local http = require "spec.support.http"

-- Stands for `resolved`.
local REFERENCE = "{vault://env/some-secret}"
local TEXT = "a " .. REFERENCE .. " b " .. REFERENCE

-- Values of fields that must be there, for those that the schema gives none: by name, of any plugin.
local SAMPLES = {
  account_email = "a@example.com",
  base_dn = "dc=a",
  host = "h.example",
  http_endpoint = "http://h.example/",
  ldap_host = "h.example",
  location = "http://h.example/",
  model = { provider = "openai", name = "a" },
  route_type = "llm/v1/chat",
}

-- What a plugin's configuration has to hold, where its schema does not say so.
local BASES = {
  acl = { allow = { "a" } },
  acme = { account_email = "a@example.com", tos_accepted = true, storage = "shm" },
  ["ai-prompt-decorator"] = { prompts = { append = { { role = "user", content = "a" } } } },
  ["ai-prompt-guard"] = { allow_patterns = { "a" } },
  ["aws-lambda"] = { aws_region = "eu-central-1", function_name = "a" },
  ["ip-restriction"] = { allow = { "192.0.2.1" } },
  oauth2 = { enable_client_credentials = true },
  opentelemetry = { traces_endpoint = "http://h.example/" },
  ["post-function"] = { access = { "return 1" } },
  ["pre-function"] = { access = { "return 1" } },
  ["rate-limiting"] = { minute = 1 },
  ["response-ratelimiting"] = { limits = { a = { minute = 1 } } },
  ["proxy-cache"] = { strategy = "memory" },
}

-- Fields that must stand beside others.
local BESIDE = {}
for _, group in ipairs({
  { http_proxy_host = "h.example", http_proxy_port = 80 },
  { https_proxy_host = "h.example", https_proxy_port = 80 },
  { header_name = "a", header_value = "a" },
  { param_name = "a", param_value = "a", param_location = "query" },
  { api_endpoint = "a", project_id = "a", location_id = "a" },
  { aws_key = "a", aws_secret = "a" },
  { content_type = "a", body = "a" },
}) do
  for name in pairs(group) do
    BESIDE[name] = group
  end
end

-- And those that must not.
local NOT_BESIDE = { deny = "allow" }

local _M = {}

--- The body of a function of Kong's `pre-function`, which answers with what a worker gets of a configuration.
_M.ANSWER = [[
  local cjson = require "cjson"
  local row = cjson.decode(kong.request.get_raw_body())
  local schema = kong.db.plugins.schema
  local stored = schema:process_auto_fields(row, "insert")
  return kong.response.exit(200, stored and schema:process_auto_fields(stored, "select").config or {})
]]

local function get(port, path)
  return cjson.decode(assert(http.request(port, path)).body)
end

local function post(port, path, plugin, config)
  local body = cjson.encode({ name = plugin, config = config })
  return assert(http.request(port, path, { body = body, headers = { ["Content-Type"] = "application/json" } }))
end

-- Whether Kong takes such a configuration; otherwise what it says.
local function is_valid(ports, plugin, config)
  local answer = post(ports.admin, "/schemas/plugins/validate", plugin, config)
  return answer.status == 200, answer.body
end

local function each(list)
  local i = 0
  return function()
    i = i + 1
    if list and list[i] then
      return next(list[i])
    end
  end
end

local sample

local function has_field(record, wanted)
  for name in each(record.fields) do
    if name == wanted then
      return true
    end
  end
  return false
end

-- Returns a record with what it needs.
local function filled(record, given)
  local value = {}
  for name, field in each(record.fields) do
    value[name] = given and given[name]
    if value[name] == nil and field.required and field.default == nil then
      value[name] = sample(name, field)
    end
  end
  -- Kong's metrics of these kinds want it.
  if value.stat_type and value.sample_rate == nil then
    value.sample_rate = 1
  end
  return value
end

function sample(name, field)
  if field.type == "record" then
    return filled(field)
  elseif SAMPLES[name] ~= nil then
    return SAMPLES[name]
  elseif field.one_of then
    return field.one_of[1]
  elseif field.type == "array" or field.type == "set" then
    return { sample(name, field.elements) }
  elseif field.type == "map" then
    return { a = sample(name, field.values) }
  elseif field.type == "string" then
    return "a"
  elseif field.type == "boolean" then
    return true
  end
  return field.between and field.between[1] or 1
end

-- Calls `visit(path, field, put, take)` for each text in a field: `put(text)` returns the field's value with that text in it,
-- `take(value)` the text.
local function texts(path, field, given, visit)
  local function below(deeper, inner, value, put, take)
    texts(deeper, inner, value, function(place, found, put_in, take_out)
      visit(place, found, function(text)
        return put(put_in(text))
      end, function(all)
        local one = type(all) == "table" and take(all)
        return one and take_out(one)
      end)
    end)
  end
  if field.type == "string" then
    visit(path, field, function(text)
      return text
    end, function(text)
      return text
    end)
  elseif field.type == "record" then
    local function in_record(name, inner, is_old)
      below(path == "" and name or path .. "." .. name, inner, given and given[name], function(value)
        local copy = filled(field, given)
        for beside, plain in pairs(BESIDE[name] or {}) do
          copy[beside] = copy[beside] or has_field(field, beside) and plain or nil
        end
        copy[NOT_BESIDE[name] or ""] = nil
        copy[name] = value
        return copy
      end, function(record)
        -- An old name shows what was written.
        return not is_old and record[name]
      end)
    end
    for name, inner in each(field.fields) do
      in_record(name, inner)
    end
    for name, inner in each(field.shorthand_fields) do
      in_record(name, inner, true)
    end
  elseif field.type == "array" or field.type == "set" then
    below(path .. "[]", field.elements, nil, function(value)
      return { value }
    end, function(list)
      return list[1]
    end)
  elseif field.type == "map" then
    below(path .. "{}", field.values, nil, function(value)
      return { a = value }
    end, function(map)
      return map.a
    end)
  end
end

-- Returns a plugin's configuration as a field.
local function configuration(port, plugin)
  for name, field in each(get(port, "/schemas/plugins/" .. plugin).fields) do
    if name == "config" then
      return field
    end
  end
end

local function all(port)
  local list = {}
  for _, plugin in ipairs(get(port, "/plugins/enabled").enabled_plugins) do
    list[#list + 1] = plugin ~= "kong-vault" and plugin or nil
  end
  table.sort(list)
  return list
end

-- Whether Kong takes a text, and no reference of it is left in what its workers get.
local function is_taken(ports, plugin, config, take)
  local ok, err = is_valid(ports, plugin, config)
  if not ok then
    return false, err
  end
  local got = cjson.decode(post(ports.proxy, "/", plugin, config).body)
  local text = take(got)
  return not (type(text) == "string" and text:find("{vault://", 1, true)), tostring(text)
end

--- Returns the paths of the texts that Kong's schemas make referenceable, by plugin.
function _M.referenceable(port)
  local found = {}
  for _, plugin in ipairs(all(port)) do
    found[plugin] = {}
    texts("", configuration(port, plugin), BASES[plugin], function(path, field)
      found[plugin][path] = field.referenceable
    end)
  end
  return found
end

--- Calls `note(plugin, path, whole, inside, why)` for each text: whether it may be a reference, whether it may be a text with
--- references inside, and why not. `ports`: `admin`, `proxy`.
function _M.try(ports, note)
  for _, plugin in ipairs(all(ports.admin)) do
    local config = configuration(ports.admin, plugin)
    local base = filled(config, BASES[plugin])
    local ok, err = is_valid(ports, plugin, base)
    assert(ok, plugin .. " takes not even plain texts: " .. tostring(err))
    texts("", config, base, function(path, _, put, take)
      local whole, why = is_taken(ports, plugin, put(REFERENCE), take)
      local inside, why_not = is_taken(ports, plugin, put(TEXT), take)
      note(plugin, path, whole, inside, inside and why or why_not)
    end)
  end
end

if arg and arg[0] and arg[0]:find "kong_fields.lua$" then
  local admin, proxy = tonumber(arg[1]), tonumber(arg[2])
  if proxy then
    _M.try({ admin = admin, proxy = proxy }, function(plugin, path, whole, inside, why)
      print(
        table.concat(
          { plugin, path, whole and "whole" or "-", inside and "inside" or "-", (why:gsub("%s+", " ")) },
          "\t"
        )
      )
    end)
  else
    for plugin, paths in pairs(_M.referenceable(admin)) do
      for path in pairs(paths) do
        print(plugin .. "\t" .. path)
      end
    end
  end
end

return _M
