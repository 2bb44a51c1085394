--- Metrics for Prometheus, in a location of nginx: `content_by_lua_block { require("kong.vault.metrics").serve() }`. Each
-- worker has counters of its own; the label `worker` tells them apart.

local native = require "kong.vault.native"

local ngx = ngx

local _M = {}

-- Returns the hits in the first-level cache. `kong.vault` sets this, as it counts them.
function _M.hits()
  return 0
end

-- Adds the label `worker` to each sample.
local function label(text)
  local worker = ('worker="%d"'):format(ngx.worker.id() or 0)
  local lines = {}
  for line in text:gmatch "[^\n]+" do
    if line:byte() ~= 35 then
      local name, labels, rest = line:match "^([%w_:]+){(.*)}( .*)$"
      if name then
        line = ("%s{%s,%s}%s"):format(name, worker, labels, rest)
      else
        line = line:gsub("^([%w_:]+)", "%1{" .. worker .. "}")
      end
    end
    lines[#lines + 1] = line
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Answers a request with the metrics of the worker that serves it.
-- Phases: content.
function _M.serve()
  local text, err = native.vm:metrics(_M.hits())
  if not text then
    ngx.status = 500
    return ngx.say(err)
  end
  ngx.header["Content-Type"] = "application/openmetrics-text; version=1.0.0; charset=utf-8"
  ngx.print(label(text))
end

return _M
