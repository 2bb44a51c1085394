-- Coroutines that wait for fetches, by the fetch's ticket.

local native = require "kong.vault.native"
local semaphore = require "kong.vault.semaphore"

local ipairs, pairs = ipairs, pairs

local _M = {}

-- By ticket. Weak: a record goes with the last coroutine that waits, even where that coroutine was killed.
local records = setmetatable({}, { __mode = "v" })

-- Returns the record of a fetch. Whoever waits must keep a reference to it. `is_new`: the caller has just started the fetch, and
-- has not yielded since, so the event of its completion is still to come.
function _M.record(ticket, is_new)
  local record = records[ticket]
  if not record then
    record = { is_complete = not is_new and native.is_complete(ticket), waiting = 0, semaphore = semaphore.new(0) }
    records[ticket] = record
  end
  return record
end

-- Returns a group, by which one coroutine waits for several fetches at once. `completed` lists the tickets that are complete.
function _M.group()
  return { completed = {}, records = {}, waiting = 0, semaphore = semaphore.new(0) }
end

-- Adds a fetch to a group.
function _M.join(group, ticket, is_new)
  local record = _M.record(ticket, is_new)
  if record.is_complete then
    group.completed[#group.completed + 1] = ticket
  elseif not group.records[ticket] then
    group.records[ticket] = record
    record.groups = record.groups or {}
    record.groups[#record.groups + 1] = group
  end
end

-- Waits until a record or a group is woken, which may happen before anything is complete.
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

-- Marks a fetch as complete and wakes everybody who waits for it.
function _M.complete(ticket)
  local record = records[ticket]
  if record then
    records[ticket] = nil
    record.is_complete = true
    post(record)
    for _, group in ipairs(record.groups or {}) do
      group.records[ticket] = nil
      group.completed[#group.completed + 1] = ticket
      post(group)
    end
  end
end

-- Completes the fetches that ended while nobody listened for events.
function _M.sweep()
  for ticket in pairs(records) do
    if native.is_complete(ticket) then
      _M.complete(ticket)
    end
  end
end

-- Wakes everybody without completing anything: the listener has ended, so each has to listen for itself.
function _M.wake_all()
  for _, record in pairs(records) do
    post(record)
    for _, group in ipairs(record.groups or {}) do
      post(group)
    end
  end
end

return _M
