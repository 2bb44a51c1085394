-- What Kong knows of whoever looks a reference up, and of whoever changes a vault entity, for the audit log.

local native = require "kong.vault.native"

local ngx = ngx
local pcall, rawget, tostring, type = pcall, rawget, tostring, type

local _M = {}

-- The plugins' names by their handlers: a request's context has the handler of the plugin that runs.
local names

local function name_of(handler)
  if handler == nil then
    return nil
  end
  if not names or not names[handler] then
    names = setmetatable({}, { __mode = "k" })
    local kong = rawget(_G, "kong")
    local done, handlers = pcall(function()
      return kong.db.plugins:get_handlers()
    end)
    for _, plugin in pairs(done and handlers or {}) do
      names[plugin.handler] = plugin.name
    end
    names[handler] = names[handler] or "unknown"
  end
  return names[handler]
end

-- The plugins' names by their configurations: LuaJIT compiles no search in a text, and each look-up asks for one.
local configured = setmetatable({}, { __mode = "k" })

local function name_by(config)
  local name = configured[config]
  if name == nil then
    name = tostring(config.__key__):match "^plugins:([^:]+)" or false
    configured[config] = name
  end
  return name or nil
end

local function label(entity)
  if type(entity) ~= "table" then
    return nil
  end
  return type(entity.name) == "string" and entity.name or entity.id
end

--- Returns the plugin that runs, or whose configuration is brought up to date, and its id; the route, the service, and the
-- request's id; nil for what there is not.
function _M.of_request(config)
  local ctx = ngx.ctx
  local kong = rawget(_G, "kong")
  if type(config) == "table" and config.__plugin_id then
    -- Kong brings it up to date before it says which plugin runs.
    return name_by(config), config.__plugin_id, label(ctx.route), label(ctx.service), ngx.var.kong_request_id
  end
  local plugin, id
  -- After a plugin, Kong puts its own log back, but leaves the plugin's id.
  if ctx.plugin_id and ctx.KONG_LOG ~= nil and ctx.KONG_LOG ~= kong._log then
    local spaces = ctx.KONG_NAMESPACES
    plugin, id = name_of(spaces and spaces.plugin), ctx.plugin_id
  end
  return plugin, id, label(ctx.route), label(ctx.service), ngx.var.kong_request_id
end

local function given(value)
  if value ~= ngx.null then
    return value
  end
end

-- Returns an entity as JSON, with references in the place of their values.
local function as_json(entity)
  if type(entity) ~= "table" then
    return nil
  end
  local config = {}
  for name, value in pairs(type(entity.config) == "table" and entity.config or {}) do
    config[name] = given(value)
  end
  local references = config["$refs"]
  config["$refs"] = nil
  for name, reference in pairs(type(references) == "table" and references or {}) do
    config[name] = reference
  end
  return (
    require("cjson.safe").encode({
      id = entity.id,
      prefix = entity.prefix,
      name = entity.name,
      description = given(entity.description),
      tags = given(entity.tags),
      config = config,
    })
  )
end

local function note_change(operation, entity, old_entity)
  if not native.vm:is_audited() then
    return
  end
  local peers = {}
  if ngx.get_phase() == "content" then
    peers = { ngx.var.remote_addr, ngx.var.realip_remote_addr }
  end
  local after, before = as_json(entity), as_json(old_entity)
  if operation == "delete" then
    after, before = nil, after
  end
  native.vm:audit_change(before, after, peers)
end

--- Notes changes that this worker makes by a data access object of vault entities. They are noted as they are made: the events
-- that tell of them run in timers, which know no client.
function _M.follow_changes(dao)
  local announce = dao.post_crud_event
  if type(announce) ~= "function" then
    return
  end
  function dao.post_crud_event(self, operation, entity, old_entity, ...)
    local done, err = pcall(note_change, operation, entity, old_entity)
    if not done then
      ngx.log(ngx.ERR, "kong.vault: the audit log lacks a change of a vault entity: ", err)
    end
    return announce(self, operation, entity, old_entity, ...)
  end
end

return _M
