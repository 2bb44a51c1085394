-- Carries the engine's events into the worker. In each worker one background coroutine, the listener, has a connection to
-- the engine's doorbell (see src/wake.rs); where there can be none, whoever waits has a connection of its own.

local l1 = require "kong.vault.l1"
local native = require "kong.vault.native"
local shared_cache = require "kong.vault.shared_cache"
local waiters = require "kong.vault.waiters"
local timer = require "kong.vault.timer"

local ngx = ngx

-- Rings taken at once; more than one means that events came while others were seen to.
local RINGS = 64

-- Seconds without a ring after which the courier looks whether its connection still stands.
local SILENCE = 3600

-- Seconds for reaching the engine: it is in this process.
local REACH = 1

local _M = {}

local alive = false

local function log_health(text, up)
  local news, line = shared_cache.note_health(text, up)
  if news then
    ngx.log(up and ngx.NOTICE or ngx.WARN, "kong.vault: ", line)
  end
end

-- The resolver says a thing once.
local function log_notice()
  local notice = native.vm:notice()
  if notice then
    ngx.log(ngx.NOTICE, "kong.vault: ", notice)
  end
end

local function drain()
  while true do
    local kind, ticket, text = native.event()
    if not kind then
      return
    elseif kind == native.LANDED then
      shared_cache.publish(ticket)
      waiters.complete(ticket)
    elseif kind == native.BOARDING then
      shared_cache.restart(ticket, text)
    elseif kind == native.PROBING then
      shared_cache.probe(ticket, text)
    elseif kind == native.OUTDATED then
      -- What was dropped is not to stay in memory as a copy.
      l1.sync()
    elseif kind == native.VAULT_STILL_BAD then
      shared_cache.still_bad(text, ticket)
    elseif kind == native.VAULT_ANSWERS then
      local line = shared_cache.note_answer(text)
      if line then
        ngx.log(ngx.NOTICE, "kong.vault: ", line)
      end
    elseif kind == native.NOTICE then
      log_notice()
    else
      log_health(text, kind == native.VAULT_UP)
    end
  end
end

-- Sees to events until `is_done()`. Returns true, or nil and why it ended early.
function _M.serve(is_done, seconds)
  local address, err = native.vm:engine_address()
  if not address then
    return nil, err
  end
  local sock
  sock, err = ngx.socket.tcp()
  if not sock then
    return nil, err
  end
  sock:settimeouts(REACH * 1000, REACH * 1000, seconds * 1000)
  local ok
  ok, err = sock:connect(address, { pool = "kong-vault-bell" })
  if ok then
    ok, err = sock:send(native.wire(native.vm:bell()))
  end
  -- The first ring says that from now on nothing is missed.
  local ring = ok
  if ring then
    ring, err = sock:receive(1)
    shared_cache.sweep()
    waiters.sweep()
    log_notice()
  end
  while ring do
    drain()
    if is_done() then
      sock:close()
      return true
    end
    ring, err = sock:receiveany(RINGS)
  end
  sock:close()
  return nil, err
end

local function is_exiting()
  return ngx.worker.exiting()
end

local function run(premature)
  if not premature then
    alive = true
    local called, ok, err
    repeat
      called, ok, err = pcall(_M.serve, is_exiting, SILENCE)
    until not called or ok or err ~= "timeout" or is_exiting()
    if not called then
      ngx.log(ngx.ERR, "kong.vault: the courier failed, and is started again when needed: ", ok)
    end
  end
  alive = false
  waiters.wake_all()
end

-- A graceful quit waits for pending reads, but it ends pending timers at once.
local watch
watch = timer.new(function(premature)
  if premature then
    native.vm:leave()
    return
  end
  watch(SILENCE)
end)

local run_later, is_expected = timer.new(run)

-- For how many of `seconds` the courier can be counted on; nil where there is none. One that has yet to begin may never.
function _M.runs(seconds)
  if alive then
    return seconds
  end
  return is_expected() and math.min(seconds, timer.GRACE) or nil
end

-- Starts the listener, where there can be one.
function _M.start()
  if alive or is_expected() or ngx.worker.exiting() or native.vm:is_throwaway() then
    return
  end
  if watch(SILENCE) then
    run_later(0)
  end
end

return _M
