-- The way of a reference that the front table has no copy of, by what the phase allows: wait parked, wait blocking, or
-- not wait at all.

local front = require "kong.vault.front"
local native = require "kong.vault.native"

local ngx = ngx

local VALUE, PENDING, FAILED = native.VALUE, native.PENDING, native.FAILED

-- Phases whose coroutine may yield.
local YIELDS = {
  access = true,
  content = true,
  preread = true,
  rewrite = true,
  server_rewrite = true,
  ssl_cert = true,
  ssl_client_hello = true,
  ssl_session_fetch = true,
  timer = true,
}

-- Phases in which nobody else waits for this process.
local BLOCKS = {
  init = true,
  init_worker = true,
}

-- Seconds that a wait may outlast the fetch's own deadline, which is the one that names the reason.
local GRACE = 1

local wait
local timeout

local _M = {}

-- `yield`, `block`, or `never`: how this phase may wait. Plain LuaJIT has no event loop to hold up.
local function manner()
  if not (ngx and ngx.get_phase) then
    return "block"
  end
  local phase = ngx.get_phase()
  return YIELDS[phase] and "yield" or BLOCKS[phase] and "block" or "never"
end

-- Whether this phase may, and does, hold up the whole process.
function _M.blocks()
  return manner() == "block"
end

local function settle(reference, status, value)
  if status == FAILED then
    return nil, value
  end
  if status == VALUE then
    front.put(reference, value)
  end
  return value
end

-- Waits for a fetch and takes what it brought.
local function land(reference, ticket)
  wait = wait or require("kong.vault.wait").wait
  timeout = timeout or native.vm:fetch_timeout() or 0
  local _, err = wait(ticket, timeout + GRACE)
  local status, value = native.claim(ticket, reference)
  if status == PENDING then
    local why = "no value found (the fetch is still under way but this call can't wait any longer: "
    return nil, "could not get value from external vault (" .. why .. tostring(err) .. "))"
  end
  return settle(reference, status, value)
end

-- The value of one reference: `value`, or `nil, err`.
function _M.one(reference)
  local how = manner()
  if how == "block" then
    local answer = native.vm:fetch_blocking({ reference })[1]
    return answer.value, answer.err
  end
  local status, value = native.lookup(reference, how == "yield")
  if status == PENDING then
    return land(reference, value)
  end
  return settle(reference, status, value)
end

-- Resolves a list of references side by side. Returns how many have no value, and the first reason.
function _M.all(references)
  local how = manner()
  local failed, reason = 0, nil
  local function note(value, err)
    if value == nil then
      failed, reason = failed + 1, reason or err
    end
  end
  if how == "block" then
    for _, answer in ipairs(native.vm:fetch_blocking(references)) do
      note(answer.value, answer.err)
    end
    return failed, reason
  end
  local tickets = {}
  for i, reference in ipairs(references) do
    local status, value = native.lookup(reference, how == "yield")
    if status == PENDING then
      tickets[i] = value
    else
      note(settle(reference, status, value))
    end
  end
  for i, reference in ipairs(references) do
    if tickets[i] then
      note(land(reference, tickets[i]))
    end
  end
  return failed, reason
end

return _M
