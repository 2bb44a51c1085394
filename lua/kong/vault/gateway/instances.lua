-- The plugin's instances, for Kongs that don't hand them to the plugin (they have no `configure` phase): read from Kong's
-- database when a worker starts, and when something tells that they may have changed.

local capabilities = require "kong.vault.gateway.capabilities"

local ngx = ngx

local NAME = "kong-vault"

-- Seconds between two looks where other nodes may change instances, and Kong doesn't say.
local LOOK = 5

local _M = {}

-- Whether Kong hands the instances over itself.
local is_handed_over = false

--- To be called where Kong has called `configure`.
function _M.handed_over()
  is_handed_over = true
end

-- Whether the last reading failed: said once.
local failed = false

-- The plugin may not stand at a route, service or consumer, so there is one instance, or none.
local function read(kong)
  local plugins = kong.db.plugins
  local row, err = plugins:select_by_cache_key(plugins:cache_key(NAME))
  if err then
    error(err, 0)
  end
  return row and row.enabled ~= false and { row.config } or nil
end

--- Calls `configure(configs)` as later Kongs do: with the configurations of the plugin, or nil. For init_worker, once.
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
  -- What an event tells of may come to the database only when all who listen have heard of it.
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
  -- Kong tells the worker alone that changed one.
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
