-- Makes spans of fetches children of Kong's spans, where Kong makes any (`tracing_instrumentations`).

local trace = require "kong.vault.trace"

local ngx = ngx

local _M = {}

local function hex(bytes)
  return (bytes:gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end

local function is_id(bytes, size)
  return type(bytes) == "string" and #bytes == size
end

-- Returns the span that is active. Where Kong makes no spans, there is none, or one without numbers.
local function active_span()
  local kong = rawget(_G, "kong")
  local tracing = type(kong) == "table" and kong.tracing
  local span = type(tracing) == "table" and tracing.active_span and tracing.active_span()
  return type(span) == "table" and is_id(span.span_id, 8) and is_id(span.trace_id, 16) and span or nil
end

-- Returns the trace of the request, once Kong's plugin for tracing has decided on it: it may take over that of the request's
-- headers, and gives it to all spans of the request when that ends.
local function decided()
  local context = ngx.ctx.TRACING_CONTEXT
  local trace_id = type(context) == "table"
    and context.flags
    and type(context.trace_id) == "table"
    and context.trace_id.raw
  return is_id(trace_id, 16) and trace_id or nil
end

local function context(header)
  local span = active_span()
  if not span then
    return nil
  end
  local trace_id = decided()
  if not trace_id and header then
    -- The plugin runs late among Kong's plugins. Until then, the header says what it will take over.
    local theirs, flags = header:match "^00%-([0-9a-f]+)%-[0-9a-f]+%-[0-9a-f]([0-9a-f])$"
    if theirs and #theirs == 32 then
      return ("00-%s-%s-0%s"):format(theirs, hex(span.span_id), flags)
    end
  end
  return ("00-%s-%s-%s"):format(hex(trace_id or span.trace_id), hex(span.span_id), span.should_sample and "01" or "00")
end

function _M.install()
  trace.set_source(context)
end

return _M
