-- What secrets weigh in a worker.

local lrucache = require "resty.lrucache"
local vault = require "kong.vault"

local _M = {}

-- Alive as long as the worker, as a plugin's own cache would be.
local cache

local function sample(stats)
  collectgarbage()
  collectgarbage()
  local resident
  for line in io.lines "/proc/self/status" do
    resident = resident or tonumber(line:match "^VmRSS:%s+(%d+) kB")
  end
  return { rss = resident * 1024, bytes = stats and vault.stats().bytes or 0, lua = collectgarbage "count" * 1024 }
end

-- Documents from..to by `vault.get`; the worker's size before and after.
function _M.vault(arguments)
  local before = sample(true)
  for i = arguments.from, arguments.to do
    assert(vault.get(arguments.reference:format(i)))
  end
  return { before = before, after = sample(true) }
end

-- The same values in a `resty.lrucache`.
function _M.lrucache(arguments)
  local before = sample()
  cache = cache or assert(lrucache.new(arguments.size))
  for i = arguments.from, arguments.to do
    local uri = ("/v1/secret/data/memory/%d"):format(i)
    cache:set(arguments.reference:format(i), "password of " .. uri)
  end
  return { before = before, after = sample() }
end

return _M
