-- What Kong loads as `kong.vaults.NAME` and `kong.vaults.NAME.schema`, for each backend of ours, from the library's option
-- tables. Kong refuses to start with a strategy that can't be loaded, so a library that can't be is an error of the
-- look-ups only.

local is_reference = require("kong.vault.walk").is_reference
local settings = require "kong.vault.settings"

local ngx = ngx

local _M = {}

-- What look-ups say where the log has the whole story.
local UNLOADABLE = "the native library of kong.vault can't be loaded: see the log when Kong started"

-- The library; loaded once, as Kong asks for each strategy and schema, and Lua tells only the first time why it can't be.
local native, unloadable

local function load()
  if not native and not unloadable then
    local loaded, module = pcall(require, "kong.vault.native")
    if loaded then
      native = module
    else
      unloadable = UNLOADABLE
      ngx.log(ngx.ERR, "kong.vault is off, and Kong starts without it: ", tostring(module))
    end
  end
  return native, unloadable
end

--- The library, or nil and that it can't be loaded. The log says why, once.
_M.library = load

-- Kong's schema type of an option's type.
local TYPES = { text = "string", boolean = "boolean", integer = "integer", seconds = "number", list = "array" }

local function default(opt)
  if opt.type == "boolean" then
    return opt.default and opt.default == "true"
  elseif opt.type == "integer" or opt.type == "seconds" then
    return tonumber(opt.default)
  end
  return opt.default
end

local function field(backend, opt)
  local spec = {
    type = TYPES[opt.type],
    description = opt.help,
    default = default(opt),
    required = opt.required or nil,
    one_of = opt.one_of,
    between = opt.between,
  }
  if opt.type == "list" then
    spec.elements = { type = "string" }
  end
  if opt.sensitive then
    spec.referenceable = true
  end
  -- A key may stand beside a certificate, or in a URL's query: Kong's keyring takes care of those as well.
  if opt.may_hold_secret then
    spec.encrypted = true
  end
  -- What else an option asks of a text. A credential may be empty: that is what Kong makes of a reference that has no
  -- value yet.
  if opt.type == "text" and not opt.one_of then
    spec.len_min = 0
    spec.custom_validator = function(value)
      if value == "" then
        return true
      end
      local refusal = native.refusal(backend, opt.name, value)
      if refusal then
        return nil, refusal
      end
      return true
    end
  end
  return { [opt.name] = spec }
end

-- Kong's checks between fields: what one makes necessary.
local function checks(backend)
  local list = {}
  for _, need in ipairs(native.needs(backend)) do
    -- What has no value of its own to be compared with only has to be set.
    local function match()
      return need.value and { eq = need.value } or { required = true }
    end
    for _, name in ipairs(need.all) do
      list[#list + 1] = {
        conditional = {
          if_field = need.option,
          if_match = match(),
          then_field = name,
          then_match = { required = true },
        },
      }
    end
    if #need.any > 0 then
      list[#list + 1] = {
        conditional_at_least_one_of = {
          if_field = need.option,
          if_match = match(),
          then_at_least_one_of = need.any,
        },
      }
    end
  end
  return #list > 0 and list or nil
end

-- Takes any options, for entities that stand in Kong's configuration already: it starts without us.
local ANY = { type = "json", json_schema = { inline = { type = "object" } }, fields = {} }

--- The schema of a backend's options in Kong's schema language.
function _M.schema(backend)
  if not load() then
    return { name = backend, fields = { { config = ANY } } }
  end
  local fields = {}
  for i, opt in ipairs(native.options(backend)) do
    fields[i] = field(backend, opt)
  end
  local config = { type = "record", fields = fields, entity_checks = checks(backend) }
  return { name = backend, fields = { { config = config } } }
end

-- Only where Kong is: its command line reads kong.conf by the strategies before there is a `kong`.
local function settle()
  local settled, err = pcall(function()
    require("kong.vault.pdk").settle()
  end)
  if not settled then
    ngx.log(ngx.ERR, "kong.vault: ", err)
  end
end

-- Whether Kong is up: before that, while it reads kong.conf, and in its command line only the operator's own references are
-- looked up.
local function is_up()
  local kong = rawget(_G, "kong")
  return not rawget(ngx, "IS_CLI") and type(kong) == "table" and kong.configuration ~= nil and kong.db ~= nil
end

local function reference_of(backend, options, resource, version)
  local trusted = not is_up()
  local reference, err = native.vm:reference_of_strategy(backend, options, resource, version, trusted)
  if reference or trusted then
    return reference, err
  end
  -- The options may be those of an entity that is new.
  require("kong.vault.entities").refresh()
  return native.vm:reference_of_strategy(backend, options, resource, version, trusted)
end

-- A strategy's configuration as the library takes it. What is a reference there Kong has not looked up yet: it is about to,
-- while it reads kong.conf.
local function options_of(config)
  local options = {}
  for name, value in pairs(config) do
    local text = settings.as_text(value)
    if text and is_reference(text) and not is_up() then
      local err
      text, err = require("kong.vault.resolve").one(text)
      if not text then
        return nil, err
      end
    end
    options[name] = text
  end
  return options
end

-- `base64_decode` concerns the value that is asked for in the end. Kong picks it from what it gets here, so where that
-- is an object, it is the fields that are encoded.
local function decode(document)
  local cjson = require "cjson.safe"
  local object = cjson.decode(document)
  if type(object) ~= "table" then
    local decoded = ngx.decode_base64(document)
    if not decoded then
      return nil, "the secret is not base64, but base64_decode is on"
    end
    return decoded
  end
  for name, value in pairs(object) do
    object[name] = type(value) == "string" and ngx.decode_base64(value) or value
  end
  return cjson.encode(object)
end

--- A strategy: `{ VERSION, init(), get(config, resource, version) → value | nil, err, ttl }`.
function _M.new(backend)
  local strategy = { VERSION = load() and native.version or "0.0.0" }

  -- Phases: init. The environment is captured, which nginx's workers no longer have.
  function strategy.init()
    if load() then
      settle()
    end
  end

  -- Fetches one document: Kong caches it, and asks when it wants a new one. Phases: all that Kong calls it in; requests
  -- and timers are parked meanwhile, init blocks.
  function strategy.get(config, resource, version)
    if not load() then
      return nil, unloadable
    end
    settle()
    local options, err = options_of(config)
    local reference = options
    if reference then
      reference, err = reference_of(backend, options, resource, version)
    end
    if not reference then
      return nil, settings.bare(err)
    end
    local value, ttl = require("kong.vault.resolve").fresh(reference)
    if value == nil then
      return nil, settings.bare(ttl)
    end
    if config.base64_decode then
      local decoded
      decoded, err = decode(value)
      if not decoded then
        return nil, err
      end
      value = decoded
    end
    -- Kong takes what is returned here in place of the configured time.
    if ttl and config.ttl and config.ttl < ttl then
      ttl = nil
    end
    return value, nil, ttl
  end

  return strategy
end

return _M
