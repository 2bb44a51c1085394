-- Has changed vault entities read before references are resolved, and waits for that as the call can.

local debug_log = require "kong.vault.debug_log"
local l1 = require "kong.vault.l1"
local native = require "kong.vault.native"
local phase = require "kong.vault.phase"

local epoch, seen_epoch = native.epoch, native.seen_epoch
local ngx = ngx
local YIELD, BLOCK, INLINE = phase.YIELD, phase.BLOCK, phase.INLINE

local _M = {}

-- Plain LuaJIT has no event loop.
local wait = ngx and require("kong.vault.wait").wait

-- Seconds for which a call that has values waits until changed entities are read: far longer than a healthy disk takes.
local MOMENT = 0.05

-- The ticket of a reading that took longer, and since when. After `HANGS` seconds, calls that have values wait no more.
local slow, slow_since
local HANGS = 1

local function are_known(references)
  if type(references) == "string" then
    return native.vm:is_known(references)
  end
  for _, reference in ipairs(references) do
    if not native.vm:is_known(reference) then
      return false
    end
  end
  return true
end

local function wait_for_entities(ticket, references, seconds)
  local is_slow = slow and not native.is_complete(slow)
  local hangs = is_slow and ngx.now() - slow_since > HANGS
  if not hangs and wait(ticket, MOMENT) then
    return
  end
  if not is_slow then
    slow, slow_since = ticket, ngx.now()
    debug_log.line "reading the vault entities takes long"
  end
  if not are_known(references) then
    wait(ticket, seconds)
  end
end

-- Has the engine read the vault entities again if another process changed them, and waits for it as `mode` allows. The old
-- entities serve where the call may not wait, or where all references have values and the reading takes longer than a
-- moment. The engine logs why entities cannot be read. `seconds`: the longest wait where one has none.
function _M.catch_up(mode, references, seconds)
  if epoch[0][0] ~= seen_epoch[0] then
    debug_log.line("vault entities changed: epoch ", epoch[0][0], ", read at ", seen_epoch[0])
    local ticket = native.vm:catch_up(mode == INLINE or mode == BLOCK)
    if ticket and mode == YIELD then
      wait_for_entities(ticket, references, seconds)
    end
  end
  if mode ~= INLINE then
    l1.note_epoch()
  end
end

return _M
