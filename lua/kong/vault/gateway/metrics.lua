-- Appends kong-vault's metrics to those of Kong's plugin `prometheus`, where Kong has it: Kong's `/metrics` then has both.

local metrics = require "kong.vault.metrics"

local _M = {}

-- The exporter whose answers are followed by ours.
local followed

--- Has Kong's exporter append ours. Its Admin API and its status listener look `collect` up with each request.
-- @tparam table kong
function _M.follow(kong)
  local plugins = kong.configuration and kong.configuration.loaded_plugins
  local exporter = plugins and plugins.prometheus and package.loaded["kong.plugins.prometheus.exporter"]
  if type(exporter) ~= "table" or type(exporter.collect) ~= "function" or exporter == followed then
    return
  end
  followed = exporter
  local collect = exporter.collect
  exporter.collect = function(...)
    collect(...)
    local text, err = metrics.classic()
    if text then
      ngx.print(text)
    else
      ngx.log(ngx.WARN, "kong.vault: no metrics: ", err)
    end
  end
end

return _M
