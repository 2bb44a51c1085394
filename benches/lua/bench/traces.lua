-- What LuaJIT makes of the hit path: the traces it finished, and those it gave up, with the reason.

local jit_util = require "jit.util"
local vault = require "kong.vault"
local vmdef = require "jit.vmdef"

local _M = {}

local function place(func, pc)
  local info = jit_util.funcinfo(func, pc)
  return info.loc or ("%s:%s"):format(info.source or "?", info.currentline or "?")
end

local function reason(code, detail)
  if type(detail) == "function" then
    local info = jit_util.funcinfo(detail)
    detail = info.ffid and vmdef.ffnames[info.ffid] or info.loc
  end
  return (vmdef.traceerr[code] or tostring(code)):format(detail)
end

local function loop(call, keys, calls)
  local length = 0
  for _ = 1, calls / #keys do
    for i = 1, #keys do
      length = length + #call(keys[i])
    end
  end
  return length
end

-- Calls `call` with the keys in turn, and tells which traces came of it.
function _M.of(call, keys, calls)
  local traces = { finished = 0, aborted = {} }
  local function note(what, _, func, pc, code, detail)
    if what == "stop" then
      traces.finished = traces.finished + 1
    elseif what == "abort" and not reason(code, detail):find "leaving loop" then
      -- Leaving the loop says that the recorder met the end of the keys, nothing about the call.
      traces.aborted[#traces.aborted + 1] = ("%s: %s"):format(place(func, pc), reason(code, detail))
    end
  end
  for i = 1, #keys do
    -- Twice: the first value of a worker may not be kept.
    call(keys[i])
    call(keys[i])
  end
  jit.flush()
  jit.attach(note, "trace")
  loop(call, keys, calls)
  jit.attach(note)
  return traces
end

-- For the suite: `get`, and `update` where it is there.
function _M.run(arguments)
  local answer = { get = _M.of(vault.get, arguments.references, 100000) }
  if vault.update then
    local configs = {}
    for i = 1, 4 do
      configs[i] = { field = "", ["$refs"] = { field = arguments.references[i] } }
    end
    answer.update = _M.of(function(config)
      return vault.update(config).field
    end, configs, 100000)
  end
  return answer
end

return _M
