-- Hits in a worker that has a past: where LuaJIT starts its traces depends on what became hot first, and when.
--
-- All calls come from code of their own, as those of many plugins do; both sides are called in the same manner.

local clock = require "bench.clock"
local lrucache = require "resty.lrucache"
local resolve = require "kong.vault.resolve"
local vault = require "kong.vault"

local PLACES = 40

-- `%s`: how the subject is called.
local LOOP = [[
  local subject, keys, rounds = ...
  local length = 0
  for _ = 1, rounds do
    for i = 1, #keys do
      length = length + #subject%s(keys[i])
    end
  end
  return length
]]

-- Calls from one more place with each key.
local function visit(call, keys)
  -- A chunk is variadic, so LuaJIT starts no trace here: what becomes hot is the call.
  local place = assert(loadstring("local call, key = ... local value = call(key) return value", "=place"))
  for i = 1, #keys do
    assert(place(call, keys[i]))
  end
end
-- Else the loop would be compiled, and the place with it.
jit.off(visit)

-- The first request: values are missing while `get` becomes hot. As in Kong, the way of a miss leads through a function
-- written in C, at which LuaJIT ends a trace.
local function begin(arguments)
  local function none() end
  resolve.set_fallback({ get = none, cached = none, lacks = none })
  visit(vault.get, arguments.references)
  return {}
end

-- A request in between.
local function go_on(arguments)
  for _ = 1, PLACES do
    visit(vault.get, arguments.references)
  end
  return {}
end

-- Nanoseconds of the thread's CPU a call, in a loop that LuaJIT has not seen.
local function timed(interpreted, subject, method, keys, rounds)
  local loop = assert(loadstring(LOOP:format(method), "=loop"))
  if interpreted then
    jit.off(loop)
  end
  loop(subject, keys, 10)
  local start = clock.thread()
  local result = loop(subject, keys, rounds)
  return (clock.thread() - start) / (rounds * #keys) * 1e9, result
end

local function get(arguments)
  local keys, cache = arguments.references, lrucache.new(1000)
  for i = 1, #keys do
    cache:set(keys[i], assert(vault.get(keys[i])))
  end
  local answer = {}
  for caller, interpreted in pairs({ compiled = false, interpreted = true }) do
    local ours, theirs = {}, {}
    for i = 1, arguments.pairs do
      local got, wanted
      ours[i], got = timed(interpreted, vault.get, "", keys, arguments.rounds)
      theirs[i], wanted = timed(interpreted, cache, ":get", keys, arguments.rounds)
      assert(got == wanted, "the two sides got different values")
    end
    answer[caller] = { ours = ours, theirs = theirs }
  end
  return answer
end

return { begin = begin, get = get, go_on = go_on }
