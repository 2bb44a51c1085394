-- Metrics for Prometheus, in a location of nginx: `content_by_lua_block { require("kong.vault.metrics").serve() }`. They are
-- those of the whole node, whichever worker answers.

local native = require "kong.vault.native"

local ngx = ngx

local _M = {}

-- The hits that the library knows of.
local told = 0

-- Returns the hits in the first-level cache. `kong.vault` sets this, as it counts them.
function _M.hits()
  return 0
end

-- Tells the library of hits that it does not know of.
function _M.tell_hits()
  local hits = _M.hits()
  if hits ~= told then
    told = hits
    native.vm:note_front_hits(hits)
  end
end

--- The metrics in Prometheus's older text format, to be appended to others.
-- @treturn string|nil
-- @treturn nil|string
function _M.classic()
  return native.vm:metrics(_M.hits(), true)
end

--- The state of the node's vaults and references, as JSON.
-- @treturn string|nil
-- @treturn nil|string
function _M.status()
  return native.vm:status(_M.hits())
end

--- Answers a request with the metrics of the node.
-- Phases: content.
function _M.serve()
  local text, err = native.vm:metrics(_M.hits())
  if not text then
    ngx.status = 500
    return ngx.say(err)
  end
  ngx.header["Content-Type"] = "application/openmetrics-text; version=1.0.0; charset=utf-8"
  ngx.print(text)
end

return _M
