-- Parks a coroutine until its flight has landed.

local courier = require "kong.vault.courier"
local parking = require "kong.vault.parking"

local ngx = ngx
local pcall = pcall

local _M = {}

-- Waits at most `seconds`. Returns true, or nil and why the wait ended early.
function _M.wait(ticket, seconds)
  local record = parking.record(ticket)
  local deadline = ngx.now() + seconds
  local function has_landed()
    return record.landed
  end
  while not record.landed do
    local left = deadline - ngx.now()
    if left <= 0 then
      return nil, "timeout"
    end
    -- Where a C function lies between here and the event loop (`string.gsub`, `require`), yielding raises.
    local called, ok, err
    local patience = courier.runs(left)
    if patience then
      called, ok = pcall(parking.wait, record, patience)
    else
      called, ok, err = pcall(courier.serve, has_landed, left)
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

return _M
