-- The front table: copies of values by reference, good while the generation counter stands still. A hit here is one
-- compare and one table look-up, and JIT-compiles.

local native = require "kong.vault.native"

local clear = require "table.clear"

local generation, copied, answer = native.generation, native.copied, native.answer

-- References per document: a document may be read by several fields.
local FIELDS = 4

local values = {}
local count, limit = 0, nil

local _M = {
  values = values,
  generation = generation,
  copied = copied,
}

-- Keeps a copy of the value that the last native answer brought. It is dropped at once if the counter moved since the
-- look-up began: the value may be gone from the cache by now, and nothing would tell us later.
function _M.put(reference, value)
  if answer.generation ~= generation[0] then
    return
  end
  limit = limit or FIELDS * (native.vm:cache_size() or 0)
  if copied[0] ~= answer.generation or count >= limit then
    clear(values)
    count = 0
    copied[0] = answer.generation
  end
  if values[reference] == nil then
    count = count + 1
  end
  values[reference] = value
end

-- How many copies there are.
function _M.size()
  return copied[0] == generation[0] and count or 0
end

return _M
