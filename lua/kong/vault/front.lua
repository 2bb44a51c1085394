-- The front table: copies of values by reference, good while the generation counter stands still. A hit here is two
-- compares and one table look-up, and JIT-compiles. Tables whose references are all up to date are known as well.
--
-- Whether another process has changed vault entities has to be compared before the generation: who reads them bumps it
-- first, and says only then that they are read.

local native = require "kong.vault.native"

local clear = require "table.clear"

local generation, copied, answer = native.generation, native.copied, native.answer

-- References per document: a document may be read by several fields.
local FIELDS = 4

local values = {}
local count, limit = 0, nil

-- Weak: a configuration that its owner forgets must not live on here.
local updated = setmetatable({}, { __mode = "k" })

local _M = {
  values = values,
  updated = updated,
  generation = generation,
  copied = copied,
  hits = native.hits,
}

-- Where the counter of changes stands, and its value when the entities were read, for whoever looks at each hit.
local tell, told, bound

function _M.follow(callback)
  tell, told = callback, native.seen[0]
  callback(native.beacon[0], told)
end

-- Says that the entities are those that were read last; after a look-up has settled the configuration.
function _M.saw()
  local seen = native.seen[0]
  if tell and (seen ~= told or not bound) then
    told, bound = seen, true
    tell(native.beacon[0], seen)
  end
end

local function renew(now)
  clear(values)
  clear(updated)
  count = 0
  copied[0] = now
end

-- Keeps a copy of the value that the last native answer brought. It is dropped at once if the counter moved since the
-- look-up began: the value may be gone from the cache by now, and nothing would tell us later.
function _M.put(reference, value)
  if answer.generation ~= generation[0] then
    return
  end
  limit = limit or FIELDS * (native.vm:cache_size() or 0)
  if copied[0] ~= answer.generation or count >= limit then
    renew(answer.generation)
  end
  if values[reference] == nil then
    count = count + 1
  end
  values[reference] = value
end

-- Brings the table up to the counter, and returns it as the mark for `mark`.
function _M.begin()
  if copied[0] ~= generation[0] then
    renew(generation[0])
  end
  return copied[0]
end

-- Notes that a table is up to date, if nothing has changed since `begin` gave that mark.
function _M.mark(config, since)
  if generation[0] == since and copied[0] == since then
    updated[config] = true
  end
end

-- Trusts no table any more.
function _M.unmark()
  clear(updated)
end

-- How many copies there are.
function _M.size()
  return copied[0] == generation[0] and count or 0
end

return _M
