-- Where the current request stands in its trace, for the spans of fetches: by the header `traceparent` (W3C Trace Context), or
-- by whoever has a trace of its own.

local ngx = ngx

-- Phases in which there is a request whose headers are known.
local REQUEST = {
  access = true,
  balancer = true,
  body_filter = true,
  content = true,
  header_filter = true,
  log = true,
  rewrite = true,
  server_rewrite = true,
}

local _M = {}

local source

-- Sets a function that has a trace of its own for requests. It gets the header, or nil, and returns a `traceparent` or nil.
function _M.set_source(own)
  source = own
end

-- Returns it as a `traceparent`, or nil where the request has no trace. The library judges what a header holds.
function _M.context()
  if not REQUEST[ngx.get_phase()] then
    return nil
  end
  local header = ngx.var.http_traceparent
  return source and source(header) or header
end

return _M
