-- What a worker's own Lua pays for making things and throwing them away.

local cjson = require "cjson"

local clock = require "bench.clock"

local _M = {}

-- Kept for a moment, or LuaJIT leaves out what nobody looks at.
local kept = {}

-- Strings of a length, each made once and collected.
local function strings(count, size)
  local tail = ("x"):rep(size - 12)
  for i = 1, count do
    kept[i % 16 + 1] = ("%012d"):format(i) .. tail
  end
end

-- What a plugin does with a body: decode, change, encode.
local function bodies(count)
  for i = 1, count do
    local text = '{"user":{"name":"somebody","groups":["a","b","c"]},"items":[{"id":1},{"id":2}],"n":' .. i .. "}"
    local body = cjson.decode(text)
    body.user.name = body.user.name .. i
    kept[i % 16 + 1] = cjson.encode(body)
  end
end

-- Tables that grow, and are outgrown.
local function tables(count)
  for i = 1, count do
    local grown = {}
    for j = 1, 64 do
      grown[j] = j
    end
    kept[i % 16 + 1] = grown
  end
end

local WORK = {
  short = function(count)
    strings(count, 40)
  end,
  long = function(count)
    strings(count, 4000)
  end,
  bodies = bodies,
  tables = tables,
}

-- Nanoseconds of CPU for one of `count`, its collection included.
function _M.run(arguments)
  local work = WORK[arguments.work]
  work(arguments.count / 10)
  collectgarbage()
  local start = clock.thread()
  work(arguments.count)
  collectgarbage()
  return { each = (clock.thread() - start) / arguments.count * 1e9, kept = #kept }
end

return _M
