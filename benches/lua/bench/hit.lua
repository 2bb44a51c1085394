-- Values that the worker has: `vault.get` and `vault.update` against `resty.lrucache:get`.
--
-- Both sides take their keys from an array, so that no look-up can be hoisted out of the loop, and add up the lengths of
-- what they got, so that none can be left out. Blocks alternate: ours, theirs, ours, theirs.

local clock = require "bench.clock"
local lrucache = require "resty.lrucache"
local vault = require "kong.vault"

local band = bit.band

local function by_vault(keys, rounds)
  local length = 0
  for _ = 1, rounds do
    for i = 1, #keys do
      length = length + #vault.get(keys[i])
    end
  end
  return length
end

local function by_lrucache(cache, keys, rounds)
  local length = 0
  for _ = 1, rounds do
    for i = 1, #keys do
      length = length + #cache:get(keys[i])
    end
  end
  return length
end

local function nothing(keys, rounds)
  local length = 0
  for _ = 1, rounds do
    for i = 1, #keys do
      length = length + #keys[i]
    end
  end
  return length
end

-- Nanoseconds of the thread's CPU a call.
local function timed(calls, run, ...)
  local start = clock.thread()
  local result = run(...)
  return (clock.thread() - start) / calls * 1e9, result
end

local function cache_of(values)
  local cache = lrucache.new(1000)
  for key, value in pairs(values) do
    cache:set(key, value)
  end
  return cache
end

-- `references`: those in use; they are asked for in turn. Both sides hold the same values. `interpreted`: as where LuaJIT
-- did not compile the caller, which is how most code of a request runs.
local function get(arguments)
  if arguments.interpreted then
    jit.off()
  end
  local keys, values = {}, {}
  for i = 1, 200 do
    local reference = arguments.references[(i - 1) % #arguments.references + 1]
    -- Twice: the first value of a worker may not be kept.
    assert(vault.get(reference))
    values[reference] = assert(vault.get(reference))
    keys[i] = reference
  end
  local cache = cache_of(values)
  local rounds = math.floor(arguments.calls / #keys)
  local calls = rounds * #keys
  by_vault(keys, rounds)
  by_lrucache(cache, keys, rounds)
  local ours, theirs = {}, {}
  for i = 1, arguments.pairs do
    local got, wanted
    ours[i], got = timed(calls, by_vault, keys, rounds)
    theirs[i], wanted = timed(calls, by_lrucache, cache, keys, rounds)
    assert(got == wanted, "the two sides got different values")
  end
  return { ours = ours, theirs = theirs, loop = (timed(calls, nothing, keys, rounds)) }
end

local function update_by_vault(configs, calls)
  local length = 0
  for i = 1, calls do
    length = length + #vault.update(configs[band(i, 3) + 1]).field1
  end
  return length
end

local function get_by_lrucache(cache, keys, calls)
  local length = 0
  for i = 1, calls do
    length = length + #cache:get(keys[band(i, 3) + 1])
  end
  return length
end

-- Four tables in turn, each with `size` references, all up to date.
local function update(arguments)
  if not vault.update then
    return { skipped = "vault.update is not there yet" }
  end
  local configs, keys, values, next_reference = {}, {}, {}, 0
  for i = 1, 4 do
    local config = { ["$refs"] = {} }
    for field = 1, arguments.size do
      next_reference = next_reference + 1
      local reference = arguments.references[(next_reference - 1) % #arguments.references + 1]
      assert(vault.get(reference))
      config["field" .. field] = reference
      config["$refs"]["field" .. field] = reference
    end
    configs[i], keys[i] = config, config["$refs"].field1
    values[keys[i]] = assert(vault.get(keys[i]))
    assert(vault.update(config).field1 == values[keys[i]], "update did not bring the value")
  end
  local cache, calls = cache_of(values), arguments.calls
  update_by_vault(configs, calls)
  get_by_lrucache(cache, keys, calls)
  local ours, theirs = {}, {}
  for i = 1, arguments.pairs do
    local got, wanted
    ours[i], got = timed(calls, update_by_vault, configs, calls)
    theirs[i], wanted = timed(calls, get_by_lrucache, cache, keys, calls)
    assert(got == wanted, "the two sides got different values")
  end
  return { ours = ours, theirs = theirs }
end

-- Values that this worker does not have but its node does: with `vault_cache_size = 1` every look-up of another document
-- drops the one before.
local function node(arguments)
  local dict = ngx.shared.kong_secrets
  local references = arguments.references
  for _ = 1, 2 do
    for i = 1, #references do
      assert(vault.get(references[i]))
    end
  end
  local before = vault.stats().fetches
  for i = 1, #references do
    assert(vault.get(references[i]))
  end
  local fetched = vault.stats().fetches - before
  if fetched > #references / 100 then
    return { skipped = ("the node's cache is not there yet: %d of %d were fetched"):format(fetched, #references) }
  end
  for i = 1, #references do
    dict:set("bench:" .. i, references[i] .. references[i])
  end
  local keys = {}
  for i = 1, #references do
    keys[i] = "bench:" .. i
  end
  local function by_dict()
    local length = 0
    for _ = 1, arguments.rounds do
      for i = 1, #keys do
        length = length + #dict:get(keys[i])
      end
    end
    return length
  end
  local calls, ours, theirs = arguments.rounds * #references, {}, {}
  by_vault(references, 1)
  by_dict()
  for i = 1, arguments.pairs do
    ours[i] = timed(calls, by_vault, references, arguments.rounds)
    theirs[i] = timed(calls, by_dict)
  end
  return { ours = ours, theirs = theirs, fetched = vault.stats().fetches - before }
end

return { get = get, node = node, update = update }
