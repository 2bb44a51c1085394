-- Coroutines that wait for flights, by ticket.

local native = require "kong.vault.native"

local ipairs, pairs = ipairs, pairs

local _M = {}

-- Weak: with the last coroutine that waits, killed or not, its record goes.
local records = setmetatable({}, { __mode = "v" })

local semaphores

-- The record of a flight, to be kept by whoever waits.
function _M.record(ticket)
  local record = records[ticket]
  if not record then
    semaphores = semaphores or require "ngx.semaphore"
    record = { landed = native.is_complete(ticket), waiting = 0, semaphore = semaphores.new(0) }
    records[ticket] = record
  end
  return record
end

-- For a coroutine that waits for whichever of several flights lands first: those that have are in `landed`.
function _M.group()
  semaphores = semaphores or require "ngx.semaphore"
  return { landed = {}, records = {}, waiting = 0, semaphore = semaphores.new(0) }
end

-- Adds a flight to a group, which keeps its record.
function _M.join(group, ticket)
  local record = _M.record(ticket)
  if record.landed then
    group.landed[#group.landed + 1] = ticket
  elseif not group.records[ticket] then
    group.records[ticket] = record
    record.groups = record.groups or {}
    record.groups[#record.groups + 1] = group
  end
end

-- Waits until somebody wakes the record, or the group; `record.landed` says whether that is for good.
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
function _M.complete(ticket)
  local record = records[ticket]
  if record then
    records[ticket] = nil
    record.landed = true
    post(record)
    for _, group in ipairs(record.groups or {}) do
      group.records[ticket] = nil
      group.landed[#group.landed + 1] = ticket
      post(group)
    end
  end
end

-- Wakes all whose flights have landed without anybody being told.
function _M.sweep()
  for ticket in pairs(records) do
    if native.is_complete(ticket) then
      _M.complete(ticket)
    end
  end
end

-- Wakes everybody: nobody will tell them of landings any more.
function _M.wake_all()
  for _, record in pairs(records) do
    post(record)
    for _, group in ipairs(record.groups or {}) do
      post(group)
    end
  end
end

return _M
