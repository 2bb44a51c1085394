-- Has a coroutine wait until a fetch, or one of several, is complete.

local listener = require "kong.vault.listener"
local waiters = require "kong.vault.waiters"

local ngx = ngx
local pcall = pcall

-- Seconds. nginx's semaphore returns at once if it is to wait for less than this, without advancing nginx's clock.
local MILLISECOND = 0.001

local _M = {
  -- How an error begins if this coroutine cannot yield: a C function is on its stack.
  NO_YIELD = "attempt to yield across C-call boundary",
}

-- Waits until `is_done()`, by the worker's listener if it runs, otherwise by reading events itself.
local function wait_until(is_done, record, seconds)
  local deadline = ngx.now() + seconds
  while not is_done() do
    local left = deadline - ngx.now()
    if left < MILLISECOND then
      return nil, "timeout"
    end
    -- Yielding raises an error where a C function (`string.gsub`, `require`) is on the stack.
    local called, ok, err
    local patience = listener.runs(left)
    if patience then
      called, ok = pcall(waiters.wait, record, patience)
    else
      called, ok, err = pcall(listener.serve, is_done, left)
      -- "closed": the worker was told to quit, which closes all present connections. A new one stays open.
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

-- Waits at most `seconds` for a fetch. `is_new`: see `waiters.record`. Returns true, or nil and why the wait ended early.
function _M.wait(ticket, seconds, is_new)
  local record = waiters.record(ticket, is_new)
  return wait_until(function()
    return record.is_complete
  end, record, seconds)
end

-- Waits at most `seconds` until one fetch of a group is complete. Returns the same.
function _M.any(group, seconds)
  return wait_until(function()
    return group.completed[1] ~= nil
  end, group, seconds)
end

return _M
