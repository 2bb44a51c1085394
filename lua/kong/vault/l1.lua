-- The front table: copies of values by reference, good while the generation counter stands still. A hit here is two
-- compares and one table look-up, and JIT-compiles. Tables whose references are all up to date are known as well.

local native = require "kong.vault.native"

local clear = require "table.clear"

local generation, answer = native.generation, native.answer

-- References per document: a document may be read by several fields.
local FIELDS = 4

local values = {}
local count, limit = 0, nil

-- The generation that the copies are of.
local copied = 0

-- The counter of changes by other processes, and where it stood when this one read the entities; it has its final place
-- once a look-up has settled the configuration.
local epoch, seen = native.epoch[0], native.seen_epoch[0]
local is_settled = false

-- Weak: a configuration that its owner forgets must not live on here.
local updated = setmetatable({}, { __mode = "k" })

local _M = {
  values = values,
  updated = updated,
}

-- Zero while the copies are good: no other process has changed vault entities, and no value of this one is over. Each
-- hit asks, so it is made for LuaJIT's compiler: where the caller is interpreted, this becomes a trace of its own, in
-- which reading the counters takes a fifth of the time, and where it is compiled, a part of the caller. For that it has
-- no branch and always returns a number: whatever comes back when it is first recorded, that is its only trace. The
-- factor keeps one difference from cancelling the other out.
--
-- Whether another process has changed vault entities has to be looked at before the generation: who reads them bumps it
-- first, and says only then that they are read.
function _M.moved()
  return (epoch[0] - seen) * 0x100000000 + (generation[0] - copied)
end

-- Notes that the entities are those that were read last. Where their folder could be opened late, the counter has another
-- place than before.
function _M.note_epoch()
  local place, now = native.epoch[0], native.seen_epoch[0]
  if now ~= seen or place ~= epoch or not is_settled then
    is_settled, epoch, seen = true, place, now
  end
end

local function renew(now)
  clear(values)
  clear(updated)
  count = 0
  copied = now
end

-- Keeps a copy of the value that the last native answer brought. It is dropped at once if the counter moved since the
-- look-up began: the value may be gone from the cache by now, and nothing would tell us later.
function _M.put(reference, value)
  if answer.generation ~= generation[0] then
    return
  end
  limit = limit or FIELDS * (native.vm:cache_size() or 0)
  if copied ~= answer.generation or count >= limit then
    renew(answer.generation)
  end
  if values[reference] == nil then
    count = count + 1
  end
  values[reference] = value
end

-- Brings the table up to the counter, and returns it as the mark for `mark`.
function _M.sync()
  if copied ~= generation[0] then
    renew(generation[0])
  end
  return copied
end

-- Notes that a table is up to date, if nothing has changed since `begin` gave that mark.
function _M.mark_updated(config, since)
  if generation[0] == since and copied == since then
    updated[config] = true
  end
end

-- Trusts no table any more.
function _M.forget_updated()
  clear(updated)
end

-- How many copies there are.
function _M.size()
  return copied == generation[0] and count or 0
end

return _M
