-- Resolves references of which the first-level cache has no copy: it asks the engine, and where a fetch is needed it waits as
-- the phase allows.

local audit = require "kong.vault.audit"
local debug_log = require "kong.vault.debug_log"
local entity_changes = require "kong.vault.entity_changes"
local l1 = require "kong.vault.l1"
local native = require "kong.vault.native"
local phase = require "kong.vault.phase"

local VALUE, PENDING, FAILED, CREATED = native.VALUE, native.PENDING, native.FAILED, native.CREATED
local catch_up = entity_changes.catch_up
local audited, copies, moved = l1.audited, l1.values, l1.moved
local ngx = ngx
local YIELD, BLOCK, INLINE, NEVER = phase.YIELD, phase.BLOCK, phase.INLINE, phase.NEVER

-- Seconds that a wait may outlast the fetch's own deadline. The fetch's error names the reason, so it should come first, also
-- where the document has to be fetched a second time because the worker that fetched it died.
local GRACE = 1

local _M = {}

-- In Kong: functions for references whose vaults only Kong's own functions know.
local fallback

-- Sets the fallback: `get(reference)`, which may wait as the phase allows; `cached(reference)`, which may not; and
-- `lacks(reference)`, which is told of each reference that has no value. nil: none.
function _M.set_fallback(functions)
  fallback = functions
end

-- Plain LuaJIT has no event loop. nginx's workers must not be the first to read these files: by then, an upgrade may have
-- replaced them, and workers have the older library until the next reload.
local bulk, listener, shared_cache, wait, NO_YIELD
if ngx then
  bulk = require "kong.vault.bulk"
  listener = require "kong.vault.listener"
  shared_cache = require "kong.vault.shared_cache"
  local waiting = require "kong.vault.wait"
  wait, NO_YIELD = waiting.wait, waiting.NO_YIELD
end
local timeout, renewal_timeout
local process

-- Sets up what belongs to one process: nginx's master forks workers that inherit this VM.
local function enter(pid)
  process = pid
  native.vm:enter(shared_cache.has_dictionary(), ngx.worker.id and ngx.worker.id())
  timeout = (native.vm:fetch_timeout() or 0) + GRACE
  -- A renewal may have to wait for a fetch that began too early, and then for its own.
  renewal_timeout = 2 * timeout
end

local function start()
  local pid = ngx.worker.pid()
  if pid ~= process then
    enter(pid)
  end
  listener.start()
end

-- Whether a call made now may block the whole process: in init, and outside nginx.
function _M.blocks()
  return phase.wait_mode() == INLINE
end

-- Copies a value into the first-level cache, where it may be kept. Returns the value, or nil and why there is none.
local function keep(reference, status, value)
  if status == FAILED then
    return nil, value
  end
  if status == VALUE then
    l1.put(reference, value, audit.notes_all())
  end
  return value
end

-- Returns the error for a call whose wait ended early.
local function out_of_time(err)
  if tostring(err):find(NO_YIELD, 1, true) then
    return "could not get value from external vault (no value found (this call cannot wait for the fetch inside a C "
      .. "function, such as string.gsub, table.sort, or require while it loads a module: get the value before the call, "
      .. "or warm it up in init_worker_by_lua; the fetch continues, and later calls return the value))"
  end
  local why = "no value found (the fetch is in progress but this call cannot wait longer: "
  return "could not get value from external vault (" .. why .. tostring(err) .. "))"
end

-- Takes the outcome of a fetch. If the fetch is still under way, `err` says why the wait ended.
local function take(reference, ticket, mode, err)
  local status, value = native.take(ticket, reference)
  if status ~= PENDING then
    return keep(reference, status, value)
  elseif mode ~= YIELD and mode ~= BLOCK then
    return nil, native.vm:would_block(reference)
  end
  debug_log.reference(reference, "fetch ", ticket, " is still under way: ", tostring(err))
  return nil, out_of_time(err)
end

-- Waits for a fetch as `mode` allows, unless it `is_complete`, and takes its outcome.
local function wait_and_take(reference, ticket, mode, is_complete, seconds)
  local err
  if not is_complete then
    if mode == YIELD then
      debug_log.reference(reference, "waiting for fetch ", ticket)
      local _
      _, err = wait(ticket, seconds or timeout, is_complete == false)
    elseif mode == BLOCK then
      native.vm:wait(ticket)
      shared_cache.publish_if_owned(ticket)
    end
  end
  return take(reference, ticket, mode, err)
end

-- Tickets of fetches that a call could not wait for, by reference. The next call takes the outcome, above all why it failed.
local left, left_count = {}, 0
local MOST_LEFT = 4096

local function leave(reference, ticket)
  if left_count >= MOST_LEFT then
    left, left_count = {}, 0
  end
  if not left[reference] then
    left_count = left_count + 1
  end
  left[reference] = ticket
end

-- Returns what serves while a fetch is under way, such as another worker's older value; otherwise PENDING.
local function meanwhile(reference)
  local status, value, order = native.lookup(reference, false)
  if status == VALUE or status == native.FLEETING then
    return status, value
  elseif status == CREATED then
    -- The reference means another secret by now, or the fetch has just ended: this call created the fetch, so it starts it.
    shared_cache.start(value, order)
  end
  return PENDING
end

-- Looks a reference up without waiting. Returns a status and what belongs to it; PENDING where a fetch is under way.
local function at_once(reference)
  local ticket = left[reference]
  if ticket then
    if not native.is_complete(ticket) then
      return meanwhile(reference)
    end
    left[reference], left_count = nil, left_count - 1
    local status, value = native.take(ticket, reference)
    -- After a failure, another fetch may have brought a value since.
    if status == FAILED and not native.vm:cached(reference) then
      return status, value
    end
  end
  local status, value, order = native.lookup(reference, true)
  if status == CREATED and shared_cache.start(value, order) or status == PENDING and native.is_complete(value) then
    return native.take(value, reference)
  elseif status == CREATED or status == PENDING then
    debug_log.reference(reference, "no value yet, and this phase can't wait for fetch ", value)
    leave(reference, value)
    return meanwhile(reference)
  end
  return status, value
end

local function cached(reference)
  if fallback and native.vm:names_no_vault(reference) then
    return fallback.cached(reference)
  end
  if phase.wait_mode() == INLINE then
    return native.vm:cached(reference)
  end
  start()
  catch_up(NEVER, nil, timeout)
  local status, value = at_once(reference)
  if status == PENDING then
    return nil, native.vm:would_block(reference), false
  end
  local found, err = keep(reference, status, value)
  return found, err, status == VALUE and not audit.notes_all()
end

-- Returns a cached value and whether it may be kept; or nil, why there is none, and false. A value that is not cached is
-- fetched in the background. `config`: the table that is brought up to date, if one is. `is_quiet`: the audit log gets no line
-- where the first-level cache has the value, as it gets none where `get` finds it there.
function _M.cached(reference, config, is_quiet)
  local copy = audited[reference]
  if copy and moved() == 0 then
    audit.read(reference, copy, config)
    return copy, nil, false
  end
  local is_copied = is_quiet and copies[reference] ~= nil and moved() == 0
  local value, err, lasting = cached(reference)
  if value == nil or not is_copied then
    audit.read(reference, value, config)
  end
  return value, err, lasting
end

-- Returns one result for a value, so that a call may be the last argument of another, and two where there is none.
local function one_or_two(value, err)
  if value == nil then
    return nil, err
  end
  return value
end

-- Turns what the engine answered into a value or an error: starts a fetch that the look-up created, and waits.
local function finish(reference, mode, seconds, status, value, order)
  local is_complete, serves
  if status == CREATED then
    debug_log.reference(reference, "created fetch ", value)
    is_complete, serves = shared_cache.start(value, order)
    if serves then
      local known, found = meanwhile(reference)
      if known ~= PENDING then
        leave(reference, value)
        return keep(reference, known, found)
      end
    end
  elseif status == PENDING then
    debug_log.reference(reference, "joined fetch ", value)
    shared_cache.join(value, order)
  else
    return keep(reference, status, value)
  end
  return wait_and_take(reference, value, mode, is_complete, seconds)
end

local function one(reference)
  local mode = phase.wait_mode()
  local waits = mode == YIELD or mode == BLOCK
  if fallback and not waits and native.vm:names_no_vault(reference) then
    return fallback.get(reference)
  end
  if mode == INLINE then
    catch_up(mode, nil, timeout)
    local answer = native.vm:fetch_blocking({ reference })[1]
    return one_or_two(answer.value, answer.err)
  end
  if mode == NEVER then
    local value, err = cached(reference)
    return one_or_two(value, err)
  end
  start()
  catch_up(mode, reference, timeout)
  local status, value, rest = native.lookup(reference, true)
  if fallback and status == FAILED and rest then
    return fallback.get(reference)
  end
  return finish(reference, mode, timeout, status, value, rest)
end

-- Returns the value of a reference, or nil and why there is none.
function _M.one(reference)
  local copy = audited[reference]
  if copy and moved() == 0 then
    audit.read(reference, copy)
    return copy
  end
  local value, err = one(reference)
  audit.read(reference, value)
  if value == nil and fallback then
    fallback.lacks(reference)
  end
  return one_or_two(value, err)
end

-- Returns a value whose fetch begins after this call, where the phase can wait for one, and the lease that the vault gave
-- it, in seconds, if any; or nil and why there is no value.
function _M.fresh(reference)
  local mode = phase.wait_mode()
  if mode == INLINE or mode == NEVER then
    return _M.one(reference)
  end
  start()
  local found, err = finish(reference, mode, renewal_timeout, native.renew(reference))
  audit.read(reference, found)
  if found == nil then
    return nil, err
  end
  return found, native.lease()
end

-- Resolves a list of references side by side, and hands `receive`, if there is one, what each came to.
local function all(references, look_up, renews, receive)
  local failed, reason = 0, nil
  local function note(reference, value, err)
    audit.read(reference, value)
    if value == nil then
      failed, reason = failed + 1, reason or err
    end
    if receive then
      receive(reference, value, err)
    end
  end
  local mode = phase.wait_mode()
  if mode ~= INLINE then
    start()
  end
  catch_up(mode, references, timeout)
  if mode == INLINE then
    for i, answer in ipairs(native.vm:fetch_blocking(references)) do
      note(references[i], answer.value, answer.err)
    end
    return failed, reason
  end
  local job = {
    look_up = look_up,
    answered = function(reference, status, value)
      note(reference, keep(reference, status, value))
    end,
    ended = function(reference, ticket, err)
      note(reference, take(reference, ticket, mode, err))
    end,
    not_begun = function(reference, err)
      note(reference, nil, out_of_time(err))
    end,
    seconds = renews and renewal_timeout or timeout,
    yields = mode == YIELD,
  }
  if mode == YIELD or mode == BLOCK then
    bulk.run(references, job)
    return failed, reason
  end
  for _, reference in ipairs(references) do
    local status, value, order = look_up(reference)
    if status == CREATED then
      shared_cache.start(value, order)
    end
    if status == CREATED or status == PENDING then
      job.ended(reference, value)
    elseif status ~= native.NOTHING then
      job.answered(reference, status, value)
    end
  end
  native.vm:end_list()
  return failed, reason
end

local function look_up(reference)
  return native.lookup(reference, true, true)
end

-- Resolves a list of references side by side. Returns how many have no value, and why the first has none.
function _M.all(references)
  return all(references, look_up)
end

-- Does the same, and returns the values, and why others have none, by reference.
function _M.values(references)
  local values, errors = {}, {}
  local failed = all(references, look_up, false, function(reference, value, err)
    values[reference], errors[reference] = value, err
  end)
  if failed > 0 and fallback then
    for _, reference in ipairs(references) do
      if values[reference] == nil and native.vm:names_no_vault(reference) then
        values[reference], errors[reference] = _M.one(reference)
      end
    end
  end
  return values, errors
end

-- Returns the present moment, for `renew`.
function _M.clock()
  return native.vm:clock()
end

-- Resolves a list of references to values whose fetches begin after the moment `since`. Returns the same as `all`.
function _M.renew(references, since)
  return all(references, function(reference)
    return native.renew(reference, since, true)
  end, true)
end

-- Waits until a job of the engine has ended: true, or nil and why the wait ended early.
function _M.await(ticket, seconds)
  return wait(ticket, seconds)
end

-- Starts what runs in the background of a worker.
function _M.start()
  if phase.wait_mode() ~= INLINE then
    start()
    return native.vm:start()
  end
  return true
end

return _M
