-- `vault_references = everywhere`: all texts in the configurations of all plugins may be references, and hold some. Kong loads
-- the schema of kong-vault's plugin in each of its processes, and this with it.

local capabilities = require "kong.vault.gateway.capabilities"
local checks = require "kong.vault.gateway.checks"
local marks = require "kong.vault.gateway.marks"
local strategy = require "kong.vault.gateway.strategy"
local text_refs = require "kong.vault.gateway.text_refs"

local ngx = ngx

local _M = {}

local OPTION, EVERYWHERE = "vault_references", "everywhere"

local function configuration()
  local kong = rawget(_G, "kong")
  return type(kong) == "table" and kong.configuration or {}
end

-- Whether this is the schema of plugins, and not that of vaults. The declarative configuration has one of its own.
local function is_of_plugins(schema)
  if schema.subschema_key ~= "name" then
    return false
  end
  for _, item in ipairs(schema.fields or {}) do
    if item.protocols then
      return true
    end
  end
  return false
end

-- Whether references are read rather than shown: the Admin API asks with `nulls`, and a control plane hands them on.
local function is_read(context, nulls)
  return context == "select" and not nulls and configuration().role ~= "control_plane"
end

local function wrap(schema)
  local new_subschema, validate_field, process = schema.new_subschema, schema.validate_field, schema.process_auto_fields
  function schema.new_subschema(self, name, definition)
    local ok, err = new_subschema(self, name, definition)
    if ok and is_of_plugins(self) then
      -- Kong loads plugins in any order.
      for plugin, subschema in pairs(self.subschemas) do
        marks.plugin(subschema, plugin)
      end
    end
    return ok, err
  end
  function schema.validate_field(self, field, value)
    if type(value) ~= "string" or field.type ~= "string" then
      return validate_field(self, field, value)
    end
    return text_refs.validate(validate_field, self, field, value)
  end
  function schema.process_auto_fields(self, data, context, nulls, options)
    if not is_read(context, nulls) or not marks.place(self) then
      return process(self, data, context, nulls, options)
    end
    local texts = text_refs.find(self, data)
    local found, err, more = process(self, data, context, nulls, options)
    if found then
      text_refs.resolve(self, found, texts)
    end
    return found, err, more
  end
end

local is_on = false

--- Has Kong take references everywhere, if its configuration says so. Where this Kong cannot, the log says it.
function _M.install()
  local wanted = configuration()[OPTION]
  if is_on or wanted ~= EVERYWHERE or not strategy.library() then
    return
  end
  local schema, lacking = capabilities.schema_code()
  if not schema then
    local text = "kong.vault: `vault_references = everywhere` has no effect: this Kong has no "
    ngx.log(ngx.WARN, text, lacking, ", so that references stand where its schemas name them")
    return
  end
  checks.skip_conditional(schema)
  wrap(schema)
  is_on = true
end

return _M
