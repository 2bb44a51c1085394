-- Makes what Kong loads as `kong.vaults.NAME` and `kong.vaults.NAME.schema`, for each backend, from the library's option
-- tables. Kong refuses to start if a strategy cannot be loaded. So if the library cannot be loaded, only look-ups fail.

local capabilities = require "kong.vault.gateway.capabilities"
local is_reference = require("kong.vault.refs").is_reference
local option_types = require "kong.vault.gateway.option_types"
local option_text = require "kong.vault.option_text"

local ngx = ngx

local _M = {}

-- The error of look-ups without the library. The log says why.
local UNLOADABLE = "cannot load the native library of kong.vault: see the log when Kong started"

-- How the error about files of two releases ends.
local MIXTURE = "install both from one release"

-- The library, or why it is not loaded. Kong asks for each strategy and schema, but Lua says only once why a module fails.
local native, unloadable, mixed

local function load()
  if not native and not unloadable then
    local loaded, module = pcall(require, "kong.vault.native")
    if loaded then
      native = module
    elseif mixed or tostring(module):find(MIXTURE, 1, true) then
      -- Kong must not go on without secrets: a reload that fails leaves the old workers in service.
      mixed = mixed or module
      error(mixed, 0)
    else
      unloadable = UNLOADABLE
      ngx.log(ngx.ERR, "kong.vault is disabled: ", tostring(module))
    end
  end
  return native, unloadable
end

--- Returns the library, or nil and an error. The log says once why it cannot be loaded.
_M.library = load

-- The types of Kong's schema language, by the library's.
local TYPES = { text = "string", boolean = "boolean", integer = "integer", seconds = "number", list = "array" }

-- Options that have no default in Kong. Its own functions keep a value for `ttl` and `resurrect_ttl` together where both are set,
-- and read no newer one meanwhile: with the library's default of `resurrect_ttl`, for ever.
local UNSET = { resurrect_ttl = true }

local function default(opt)
  -- Kong writes defaults into vault entities, and none may set what only the operator can.
  if UNSET[opt.name] or opt.operators then
    return nil
  elseif opt.type == "boolean" then
    return opt.default and opt.default == "true"
  elseif opt.type == "integer" or opt.type == "seconds" then
    return tonumber(opt.default)
  end
  return opt.default
end

-- Hands Kong's configuration to the library. Kong's command line uses strategies before there is a `kong`.
local function settle()
  local settled, err = pcall(function()
    require("kong.vault.gateway.pdk").settle()
  end)
  if not settled then
    ngx.log(ngx.ERR, "kong.vault: ", err)
  end
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
  -- A certificate may have its key beside it, and a URL a key in its query: Kong's keyring encrypts these as well.
  if opt.may_hold_secret then
    spec.encrypted = true
  end
  -- Kong has the library check a text. A credential may be empty: Kong puts an empty text in place of a reference that has no
  -- value yet. An option without a default may be empty, which means not set, unless it guards something.
  if opt.type == "text" and not opt.one_of then
    spec.len_min = 0
    spec.custom_validator = function(value)
      if not value:find "%S" and opt.guards and not opt.sensitive then
        return nil, "is empty, which is not the same as not set here"
      end
      if value == "" and not opt.required and (opt.sensitive or not opt.default) then
        return true
      end
      local refusal = native.refusal(backend, opt.name, value)
      if refusal then
        return nil, refusal
      end
      return true
    end
  end
  -- `tls_certificate_verify` is known once Kong has read its configuration.
  if opt.unverified ~= nil then
    spec.custom_validator = function(value)
      settle()
      local refusal = native.vm:refusal(backend, opt.name, tostring(value))
      if refusal then
        return nil, refusal
      end
      return true
    end
  end
  return { [opt.name] = capabilities.field(spec) }
end

-- Returns the field for another spelling of an option: a shorthand field, or, in a Kong without those, a field of its own, which
-- the library understands as well.
local function other_spelling(opt, alias)
  local spec = { type = TYPES[opt.type], len_min = opt.type == "text" and 0 or nil }
  if opt.type == "list" then
    spec.elements = { type = "string" }
  end
  if capabilities.takes_shorthands() then
    spec.func = function(value)
      return { [opt.name] = value }
    end
  else
    spec.referenceable = opt.sensitive or nil
    spec.encrypted = opt.may_hold_secret or nil
  end
  return { [alias] = capabilities.field(spec) }
end

-- Returns Kong's checks between fields: which options require others. `spelt`: the other spellings of options that are fields of
-- their own, by option. A required option may be set by any of its spellings.
local function checks(backend, spelt)
  local list, options = {}, {}
  for _, opt in ipairs(native.options(backend)) do
    options[opt.name] = opt
  end
  local function add(need, all, any)
    -- An option requires others when it has a certain value, or when it is set at all.
    local match = need.value and { eq = need.value } or { required = true }
    if #any == 0 then
      -- An empty text means not set to the library.
      local needed =
        { required = true, len_min = TYPES[options[all].type] == "string" and not options[all].sensitive and 1 or nil }
      list[#list + 1] = {
        conditional = { if_field = need.option, if_match = match, then_field = all, then_match = needed },
      }
    else
      list[#list + 1] = {
        conditional_at_least_one_of = { if_field = need.option, if_match = match, then_at_least_one_of = any },
      }
    end
  end
  for _, need in ipairs(native.requirements(backend)) do
    for _, name in ipairs(need.all) do
      add(need, name, spelt[name] and { name, unpack(spelt[name]) } or {})
    end
    local any = {}
    for _, name in ipairs(need.any) do
      any[#any + 1] = name
      for _, alias in ipairs(spelt[name] or {}) do
        any[#any + 1] = alias
      end
    end
    if #any > 0 then
      add(need, nil, any)
    end
  end
  return #list > 0 and list or nil
end

-- Without the library: the fields with their types alone, so that Kong starts with the vault entities that it has.
local function unchecked(backend)
  local fields = {}
  for name, type in pairs(option_types[backend] or {}) do
    fields[#fields + 1] = { [name] = { type = type, elements = type == "array" and { type = "string" } or nil } }
  end
  table.sort(fields, function(one, two)
    return next(one) < next(two)
  end)
  return { type = "record", fields = fields }
end

--- The schema of a backend's options in Kong's schema language.
function _M.schema(backend)
  if not load() then
    return { name = backend, fields = { { config = unchecked(backend) } } }
  end
  local fields, shorthands, spelt = {}, {}, {}
  for _, opt in ipairs(native.options(backend)) do
    local spec = field(backend, opt)
    fields[#fields + 1] = spec
    for _, alias in ipairs(opt.aliases) do
      if capabilities.takes_shorthands() then
        shorthands[#shorthands + 1] = other_spelling(opt, alias)
      else
        -- A default here would contradict a value under the other spelling. The library has the defaults.
        fields[#fields + 1] = other_spelling(opt, alias)
        spec[opt.name].default = nil
        spelt[opt.name] = opt.aliases
      end
    end
  end
  local config = { type = "record", fields = fields, entity_checks = checks(backend, spelt) }
  config.shorthand_fields = #shorthands > 0 and shorthands or nil
  return { name = backend, fields = { { config = config } } }
end

-- Whether Kong has read kong.conf. Until then, all look-ups are for the operator's own references, in kong.conf.
local function has_configuration()
  local kong = rawget(_G, "kong")
  return type(kong) == "table" and kong.configuration ~= nil and kong.db ~= nil
end

-- Whether Kong serves. Otherwise its command line looks up a reference for the operator.
local function is_up()
  return has_configuration() and not rawget(ngx, "IS_CLI")
end

local function reference_of(backend, options, resource, version)
  local trusted = not is_up()
  local reference, err = native.vm:reference_of_strategy(backend, options, resource, version, trusted)
  if reference or trusted then
    return reference, err
  end
  -- The options may be those of a new entity.
  require("kong.vault.gateway.entities").refresh()
  return native.vm:reference_of_strategy(backend, options, resource, version, trusted)
end

-- Completes a strategy's options from the environment. While Kong reads kong.conf, it hands over only options that its schema
-- names; early versions hand over none.
local function complete(backend, config)
  if has_configuration() then
    return config
  end
  local completed, prefix = {}, "KONG_VAULT_" .. backend:gsub("-", "_") .. "_"
  for name, value in pairs(config) do
    completed[name] = value
  end
  for _, opt in ipairs(native.options(backend)) do
    local is_set, found = false, nil
    for _, name in ipairs({ opt.name, unpack(opt.aliases) }) do
      is_set = is_set or completed[name] ~= nil
      found = found or os.getenv((prefix .. name):upper())
    end
    if not is_set then
      completed[opt.name] = found
    end
  end
  return completed
end

-- Resolves a reference in the operator's own configuration. It may name a variable that no other reference may read.
local function operators_value(reference)
  local value, err = native.vm:operators_value(reference)
  if value or err then
    return value, err
  end
  return require("kong.vault.resolve").one(reference)
end

-- Returns a strategy's configuration as the library takes it. While Kong reads kong.conf, references in it are not resolved
-- yet.
local function options_of(backend, config)
  local options = {}
  for name, value in pairs(complete(backend, config)) do
    local text = option_text.as_text(value)
    if text and is_reference(text) and not has_configuration() then
      local resolved, err = operators_value(text)
      if not resolved then
        return nil, err
      end
      text = resolved
    end
    options[name] = text
  end
  return options
end

-- Decodes a document for `base64_decode`, which is about the value that the caller gets in the end. Kong picks that value out of
-- the document, so where the document is an object, its fields are decoded.
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

  -- Phases: init. The library captures the environment, which nginx's workers no longer have.
  function strategy.init()
    if load() then
      settle()
    end
  end

  -- Fetches one document. Kong caches it, and calls again when it wants a new one. Phases: all in which Kong calls it; requests
  -- and timers yield, init blocks.
  function strategy.get(config, resource, version)
    if not load() then
      return nil, unloadable
    end
    settle()
    local options, err = options_of(backend, config)
    local reference = options
    if reference then
      reference, err = reference_of(backend, options, resource, version)
    end
    if not reference then
      return nil, option_text.bare(err)
    end
    local value, ttl = require("kong.vault.resolve").fresh(reference)
    if value == nil then
      return nil, option_text.bare(ttl)
    end
    if config.base64_decode or config.decode_base64 then
      local decoded
      decoded, err = decode(value)
      if not decoded then
        return nil, err
      end
      value = decoded
    end
    -- Kong uses this time instead of the configured one, so it is returned only where it is the shorter one.
    if ttl and config.ttl and config.ttl < ttl then
      ttl = nil
    end
    return value, nil, ttl
  end

  return strategy
end

return _M
