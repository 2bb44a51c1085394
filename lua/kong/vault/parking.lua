-- Coroutines that wait for flights, by ticket.

local native = require "kong.vault.native"

local pairs = pairs

local _M = {}

-- Weak: with the last coroutine that waits, killed or not, its record goes.
local records = setmetatable({}, { __mode = "v" })

local semaphores

-- The record of a flight, to be kept by whoever waits.
function _M.record(ticket)
  local record = records[ticket]
  if not record then
    semaphores = semaphores or require "ngx.semaphore"
    record = { landed = native.landed(ticket), waiting = 0, semaphore = semaphores.new(0) }
    records[ticket] = record
  end
  return record
end

-- Waits until somebody wakes the record; `record.landed` says whether that is for good.
function _M.wait(record, seconds)
  record.waiting = record.waiting + 1
  local ok, err = record.semaphore:wait(seconds)
  record.waiting = record.waiting - 1
  return ok, err
end

local function post(record)
  if record.waiting > 0 then
    record.semaphore:post(record.waiting)
  end
end

-- Wakes all who wait for a flight that has landed.
function _M.wake(ticket)
  local record = records[ticket]
  if record then
    records[ticket] = nil
    record.landed = true
    post(record)
  end
end

-- Wakes all whose flights have landed without anybody being told.
function _M.sweep()
  for ticket in pairs(records) do
    if native.landed(ticket) then
      _M.wake(ticket)
    end
  end
end

-- Wakes everybody: nobody will tell them of landings any more.
function _M.rouse()
  for _, record in pairs(records) do
    post(record)
  end
end

return _M
