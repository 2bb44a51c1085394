-- What LuaJIT's compiler makes of a call, inside nginx.

local jit_util = require "jit.util"
local vmdef = require "jit.vmdef"

local _M = {}

-- Loops and call sites are new code each time, which LuaJIT has no traces of.
local function loop()
  local source = "local call, argument = ... local last for _ = 1, 10000 do last = call(argument) end return last"
  return assert(loadstring(source, "=loop"))
end

--- Calls from many places of code that is not compiled: LuaJIT starts no trace at a chunk.
function _M.from_many_places(call, arguments)
  local function visit(place)
    for i = 1, #arguments do
      place(call, arguments[i])
    end
  end
  jit.off(visit)
  for _ = 1, 40 do
    visit(assert(loadstring("local call, argument = ... local value = call(argument) return value", "=place")))
  end
end

--- Calls in a loop until it is compiled. Returns what the traces that grew with it end with (`linktype`), each once and in
-- order, and "elsewhere" for those that jump into traces which were there before.
function _M.of_a_loop(call, argument)
  local ours, ends, met = {}, {}, {}
  local function note(what, number)
    if what ~= "stop" then
      return
    end
    local trace = jit_util.traceinfo(number)
    ours[number] = true
    local kind = (trace.link == 0 or ours[trace.link]) and trace.linktype or "elsewhere"
    if not met[kind] then
      met[kind] = true
      ends[#ends + 1] = kind
    end
  end
  local run = loop()
  jit.attach(note, "trace")
  local ok, last = pcall(run, call, argument)
  jit.attach(note)
  assert(ok, last)
  return ends, last
end

--- What the trace ends with that begins at a function; nil where there is none.
function _M.of(call)
  local instruction = jit_util.funcbc(call, 0)
  -- Names of bytecodes stand in one text, six characters each.
  local name = bit.band(instruction, 0xff) * 6
  return vmdef.bcnames:sub(name + 1, name + 6) == "JFUNCF" and jit_util.traceinfo(bit.rshift(instruction, 16)).linktype
    or nil
end

return _M
