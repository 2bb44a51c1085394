-- The first-level cache: copies of values, by reference. They are valid while the generation counter stands still. A hit is
-- two compares and one table look-up, and LuaJIT compiles it. The tables that `update` found up to date are known here too.

local native = require "kong.vault.native"

local clear = require "table.clear"

local generation, answer = native.generation, native.answer

-- References per document: several fields of one document may be in use.
local FIELDS = 4

local values = {}
-- Copies that `get` does not find, as the audit log is to note each look-up: resolve.lua serves them.
local audited = {}
local count, limit = 0, nil

-- The generation that the copies are of.
local copied = 0

-- The epoch counter, which any process moves when it changes vault entities, and its value when this process last read
-- the entities. `configure` may give the counter another address, so the first look-up reads both again.
local epoch, seen = native.epoch[0], native.seen_epoch[0]
local is_settled = false

-- Weak: a table that its owner forgets must not live on here.
local updated = setmetatable({}, { __mode = "k" })

local _M = {
  values = values,
  audited = audited,
  updated = updated,
}

-- Returns 0 while the copies are valid: no process has changed vault entities, and no value of this process is outdated.
--
-- Each hit calls this, so it is written for LuaJIT's compiler. Where the caller is interpreted, this function becomes a trace
-- of its own, in which reading the counters takes a fifth of the time; where the caller is compiled, it becomes a part of the
-- caller. For both it has no branch and always returns a number, so that whatever it returns when it is recorded, one
-- trace serves. The factor keeps the two differences from cancelling each other out.
--
-- The epoch is read before the generation: whoever reads changed entities moves the generation first, and notes the epoch
-- afterwards.
function _M.moved()
  return (epoch[0] - seen) * 0x100000000 + (generation[0] - copied)
end

-- Notes which epoch the entities were last read at, and where its counter is.
function _M.note_epoch()
  local place, now = native.epoch[0], native.seen_epoch[0]
  if now ~= seen or place ~= epoch or not is_settled then
    is_settled, epoch, seen = true, place, now
  end
end

local function start_over(now)
  clear(values)
  clear(audited)
  clear(updated)
  count = 0
  copied = now
end

-- Copies the value that the last native answer holds. Nothing is copied where the generation has moved since that look-up
-- began: the cache may have dropped the value already, and nothing would tell later. `is_audited`: each look-up is noted.
function _M.put(reference, value, is_audited)
  if answer.generation ~= generation[0] then
    return
  end
  limit = limit or FIELDS * (native.vm:cache_size() or 0)
  if copied ~= answer.generation or count >= limit then
    start_over(answer.generation)
  end
  local copies = is_audited and audited or values
  if copies[reference] == nil then
    count = count + 1
  end
  copies[reference] = value
end

-- Drops outdated copies. Returns the generation, for `mark_updated`.
function _M.sync()
  if copied ~= generation[0] then
    start_over(generation[0])
  end
  return copied
end

-- Notes that a table is up to date, unless the generation has moved since `sync` returned `since`.
function _M.mark_updated(config, since)
  if generation[0] == since and copied == since then
    updated[config] = true
  end
end

-- Forgets which tables are up to date.
function _M.forget_updated()
  clear(updated)
end

-- Returns the number of valid copies.
function _M.size()
  return copied == generation[0] and count or 0
end

return _M
