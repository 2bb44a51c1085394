-- Parks a coroutine until its flight, or one of several, has landed.

local listener = require "kong.vault.listener"
local waiters = require "kong.vault.waiters"

local ngx = ngx
local pcall = pcall

-- Seconds. A semaphore that is waited for less returns at once, and the clock of nginx stands meanwhile.
local MILLISECOND = 0.001

local _M = {
  -- Why a wait ended that can't begin: a C function lies between here and the event loop.
  NO_YIELD = "attempt to yield across C-call boundary",
}

-- Parks in `record`, again and again, until `is_done()`.
local function park(record, is_done, seconds)
  local deadline = ngx.now() + seconds
  while not is_done() do
    local left = deadline - ngx.now()
    if left < MILLISECOND then
      return nil, "timeout"
    end
    -- Where a C function lies between here and the event loop (`string.gsub`, `require`), yielding raises.
    local called, ok, err
    local patience = listener.runs(left)
    if patience then
      called, ok = pcall(waiters.wait, record, patience)
    else
      called, ok, err = pcall(listener.serve, is_done, left)
      -- Closed: the worker was told to quit, which ends the connections of all but those that come after.
      if called and not ok and err ~= "closed" then
        return nil, err
      end
    end
    if not called then
      return nil, ok
    end
  end
  return true
end

-- Waits at most `seconds`. Returns true, or nil and why the wait ended early.
function _M.wait(ticket, seconds)
  local record = waiters.record(ticket)
  return park(record, function()
    return record.landed
  end, seconds)
end

-- The same until one of a group's flights has landed.
function _M.any(group, seconds)
  return park(group, function()
    return group.landed[1] ~= nil
  end, seconds)
end

return _M
