-- The way of a reference that the front table has no copy of, by what the phase allows: wait parked, wait blocking, or
-- not wait at all.

local l1 = require "kong.vault.l1"
local native = require "kong.vault.native"
local phase = require "kong.vault.phase"

local VALUE, PENDING, FAILED, BOARDED = native.VALUE, native.PENDING, native.FAILED, native.BOARDED
local epoch, seen_epoch = native.epoch, native.seen_epoch
local ngx = ngx
local YIELD, BLOCK, INLINE, NEVER = phase.YIELD, phase.BLOCK, phase.INLINE, phase.NEVER

-- Seconds that a wait may outlast the fetch's own deadline, which is the one that names the reason: a flight may have to
-- be fetched a second time, where the worker that had it dies.
local GRACE = 1

local _M = {}

-- Who else may know the vaults that we don't, by whether it may wait: set in Kong, whose own strategies others bring.
local fallback

function _M.set_fallback(functions)
  fallback = functions
end

-- Loaded where they are first needed: plain LuaJIT has no event loop.
local bulk, listener, shared_cache, wait, NO_YIELD
local timeout, renewal_timeout
local process

-- Everything but the cache belongs to a process: nginx's master forks workers that inherit this VM.
local function enter(pid)
  process = pid
  native.vm:enter()
  bulk = require "kong.vault.bulk"
  listener = require "kong.vault.listener"
  shared_cache = require "kong.vault.shared_cache"
  local waiting = require "kong.vault.wait"
  wait, NO_YIELD = waiting.wait, waiting.NO_YIELD
  timeout = (native.vm:fetch_timeout() or 0) + GRACE
  -- A fetch that began too early may have to end first.
  renewal_timeout = 2 * timeout
end

local function start()
  local pid = ngx.worker.pid()
  if pid ~= process then
    enter(pid)
  end
  listener.start()
end

-- Seconds for which values that are there wait for changed entities to be read: far longer than a disk that is well takes.
local MOMENT = 0.05

-- A reading that took longer, and seconds after which it is taken for one that hangs: then nothing waits that is there.
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

local function wait_for_entities(ticket, references)
  local is_slow = slow and not native.is_complete(slow)
  local hangs = is_slow and ngx.now() - slow_since > HANGS
  if not hangs and wait(ticket, MOMENT) then
    return
  end
  if not is_slow then
    slow, slow_since = ticket, ngx.now()
  end
  if not are_known(references) then
    wait(ticket, timeout)
  end
end

-- Has vault entities read anew that another process changed, and waits for that as the phase allows; where it can't wait,
-- or the reading takes longer than a moment and all references have values, the old ones serve meanwhile. What can't be
-- read is told in the log.
local function catch_up(how, references)
  if epoch[0][0] ~= seen_epoch[0] then
    local ticket = native.vm:catch_up(how == INLINE or how == BLOCK)
    if ticket and how == YIELD then
      wait_for_entities(ticket, references)
    end
  end
  if how ~= INLINE then
    l1.note_epoch()
  end
end

-- Whether this phase may, and does, hold up the whole process.
function _M.blocks()
  return phase.wait_mode() == INLINE
end

local function settle(reference, status, value)
  if status == FAILED then
    return nil, value
  end
  if status == VALUE then
    l1.put(reference, value)
  end
  return value
end

-- What those hear whose wait ended early.
local function out_of_time(err)
  if tostring(err):find(NO_YIELD, 1, true) then
    return "could not get value from external vault (no value found (this call can't wait for the fetch, as it is made "
      .. "inside a C function, such as string.gsub, table.sort, or require while it loads a module: get the value before "
      .. "that and use it there, or warm it up in init_worker_by_lua; the fetch goes on, and later calls have its value))"
  end
  local why = "no value found (the fetch is still under way but this call can't wait any longer: "
  return "could not get value from external vault (" .. why .. tostring(err) .. "))"
end

-- Takes what a flight brought; where it is still under way, `err` says why nobody waits any longer.
local function claimed(reference, ticket, how, err)
  local status, value = native.take(ticket, reference)
  if status ~= PENDING then
    return settle(reference, status, value)
  elseif how ~= YIELD and how ~= BLOCK then
    return nil, native.vm:would_block(reference)
  end
  return nil, out_of_time(err)
end

-- Waits for a flight, unless it has `landed`, as the phase allows, and takes what it brought.
local function land(reference, ticket, how, landed, seconds)
  local err
  if not landed then
    if how == YIELD then
      local _
      _, err = wait(ticket, seconds or timeout)
    elseif how == BLOCK then
      native.vm:wait(ticket)
      shared_cache.publish(ticket)
    end
  end
  return claimed(reference, ticket, how, err)
end

-- Flights that somebody could not wait for, by reference: who asks next hears what they brought, also why they failed.
local late, lates = {}, 0
local LATES = 4096

local function leave(reference, ticket)
  if lates >= LATES then
    late, lates = {}, 0
  end
  late[reference] = ticket
  lates = lates + 1
end

-- What serves while a fetch is under way: another worker's value may be old, but it is one.
local function meanwhile(reference)
  local status, value, name = native.lookup(reference, false)
  if status == VALUE or status == native.FLEETING then
    return status, value
  elseif status == BOARDED then
    -- The reference means another secret by now, or the fetch has ended just now: nobody else sees to this one.
    shared_cache.start(value, name)
  end
  return PENDING
end

-- A status and what it comes with, without waiting: PENDING where the secret is being fetched.
local function at_once(reference)
  local ticket = late[reference]
  if ticket then
    if not native.is_complete(ticket) then
      return meanwhile(reference)
    end
    late[reference], lates = nil, lates - 1
    local status, value = native.take(ticket, reference)
    -- It may have been fetched since.
    if status == FAILED and not native.vm:cached(reference) then
      return status, value
    end
  end
  local status, value, name = native.lookup(reference, true)
  if status == BOARDED and shared_cache.start(value, name) or status == PENDING and native.is_complete(value) then
    return native.take(value, reference)
  elseif status == BOARDED or status == PENDING then
    leave(reference, value)
    return meanwhile(reference)
  end
  return status, value
end

-- The value of one reference from what is cached, and whether it may be kept; or nil, err. What is not cached is fetched
-- in the background.
function _M.cached(reference)
  if fallback and native.vm:names_no_vault(reference) then
    return fallback.cached(reference)
  end
  if phase.wait_mode() == INLINE then
    return native.vm:cached(reference)
  end
  start()
  catch_up(NEVER)
  local status, value = at_once(reference)
  if status == PENDING then
    return nil, native.vm:would_block(reference), false
  end
  local found, err = settle(reference, status, value)
  return found, err, status == VALUE
end

-- A value alone, so that it may be the last argument of a call; or nil and the reason.
local function one_or_two(value, err)
  if value == nil then
    return nil, err
  end
  return value
end

-- What a native answer comes to: a value at once, or what the flight brings that it is a ticket of.
local function finish(reference, how, seconds, status, value, name)
  local landed, serves
  if status == BOARDED then
    landed, serves = shared_cache.start(value, name)
    if serves then
      local known, found = meanwhile(reference)
      if known ~= PENDING then
        leave(reference, value)
        return settle(reference, known, found)
      end
    end
  elseif status ~= PENDING then
    return settle(reference, status, value)
  end
  return land(reference, value, how, landed, seconds)
end

local function one(reference)
  if fallback and native.vm:names_no_vault(reference) then
    return fallback.get(reference)
  end
  local how = phase.wait_mode()
  if how == INLINE then
    catch_up(how)
    local answer = native.vm:fetch_blocking({ reference })[1]
    return one_or_two(answer.value, answer.err)
  end
  if how == NEVER then
    local value, err = _M.cached(reference)
    return one_or_two(value, err)
  end
  start()
  catch_up(how, reference)
  return finish(reference, how, timeout, native.lookup(reference, true))
end

-- The value of one reference: `value`, or `nil, err`.
function _M.one(reference)
  local value, err = one(reference)
  if value == nil and fallback then
    fallback.lacks(reference)
  end
  return one_or_two(value, err)
end

-- The value of one reference, newer than now where that can be waited for, and for how many seconds its vault said that it
-- is good, where it did; or nil, err.
function _M.fresh(reference)
  local how = phase.wait_mode()
  if how == INLINE or how == NEVER then
    return _M.one(reference)
  end
  start()
  local found, err = finish(reference, how, renewal_timeout, native.renew(reference))
  if found == nil then
    return nil, err
  end
  return found, native.lease()
end

local function all(references, take, renews)
  local failed, reason = 0, nil
  local function note(value, err)
    if value == nil then
      failed, reason = failed + 1, reason or err
    end
  end
  local how = phase.wait_mode()
  if how ~= INLINE then
    start()
  end
  catch_up(how, references)
  if how == INLINE then
    for _, answer in ipairs(native.vm:fetch_blocking(references)) do
      note(answer.value, answer.err)
    end
    return failed, reason
  end
  local job = {
    take = take,
    settle = function(reference, status, value)
      note(settle(reference, status, value))
    end,
    land = function(reference, ticket, err)
      note(claimed(reference, ticket, how, err))
    end,
    fail = function(_, err)
      note(nil, out_of_time(err))
    end,
    seconds = renews and renewal_timeout or timeout,
    parks = how == YIELD,
  }
  if how == YIELD or how == BLOCK then
    bulk.run(references, job)
    return failed, reason
  end
  for _, reference in ipairs(references) do
    local status, value, name = take(reference)
    if status == BOARDED then
      shared_cache.start(value, name)
    end
    if status == BOARDED or status == PENDING then
      job.land(reference, value)
    elseif status ~= native.NOTHING then
      job.settle(reference, status, value)
    end
  end
  return failed, reason
end

-- Resolves a list of references side by side. Returns how many have no value, and the first reason.
function _M.all(references)
  return all(references, function(reference)
    return native.lookup(reference, true, true)
  end)
end

-- A moment, for `renew`.
function _M.clock()
  return native.vm:clock()
end

-- The same with values whose fetches begin after that moment.
function _M.renew(references, since)
  return all(references, function(reference)
    return native.renew(reference, since, true)
  end, true)
end

-- Parks this coroutine until a job has ended: true, or nil and why the wait ended early.
function _M.await(ticket, seconds)
  return wait(ticket, seconds)
end

-- Starts what runs in the background.
function _M.start()
  if phase.wait_mode() ~= INLINE then
    start()
    return native.vm:start()
  end
  return true
end

return _M
