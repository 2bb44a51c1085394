-- Reads the plugin's instances from Kong's database when a worker starts, and when they may have changed: for a Kong without the
-- plugin phase `configure`, which would hand them over.

local capabilities = require "kong.vault.gateway.capabilities"

local ngx = ngx

local NAME = "kong-vault"

-- Seconds between two readings where other nodes may change instances and Kong does not set `db_update_frequency`.
local LOOK = 5

local _M = {}

-- Whether Kong has handed the instances over, so that they need not be read.
local is_handed_over = false

--- Must be called when Kong calls `configure`.
function _M.handed_over()
  is_handed_over = true
end

-- Whether the last reading failed. That is logged once.
local failed = false

-- Returns the configurations of the plugin as a list, or nil. It is a global plugin, so there is at most one instance.
local function read(kong)
  local plugins = kong.db.plugins
  local row, err = plugins:select_by_cache_key(plugins:cache_key(NAME))
  if err then
    error(err, 0)
  end
  return row and row.enabled ~= false and { row.config } or nil
end

--- Calls `configure(configs)` with the configurations of the plugin, or nil, as later Kongs do. For init_worker, once.
function _M.follow(kong, configure)
  local function look()
    if is_handed_over or ngx.worker.exiting() then
      return
    end
    local done, configs = pcall(read, kong)
    if done then
      failed = false
      configure(configs)
    elseif not failed then
      failed = true
      ngx.log(ngx.ERR, "kong.vault: cannot read the plugin's instances from Kong's database: ", configs)
    end
  end
  -- The database may show a change only after all handlers of its event have run, so it is read a moment later.
  local function look_soon()
    local ok, err = ngx.timer.at(0, look)
    if not ok then
      ngx.log(ngx.WARN, "kong.vault: cannot apply a changed instance of the plugin before the next change: ", err)
    end
  end
  look_soon()
  local events, conf = kong.worker_events, kong.configuration
  for _, event in ipairs(capabilities.REPLACEMENTS) do
    events.register(look_soon, "declarative", event)
  end
  events.register(look_soon, NAME, "instances")
  -- Kong announces a changed instance in the worker that changed it. That worker tells the others.
  events.register(function(data)
    local entity = type(data) == "table" and data.entity
    if is_handed_over or entity and entity.name ~= NAME then
      return
    end
    look_soon()
    events.post(NAME, "instances", {})
  end, "crud", "plugins")
  if conf.database ~= "off" then
    local every = tonumber(conf.db_update_frequency) or LOOK
    ngx.timer.every(every > 0 and every or LOOK, look)
  end
end

return _M
