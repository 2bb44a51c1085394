-- Takes the engine's events into the worker. The engine's notifier (see src/runtime/notifier) writes a byte to a socket when
-- events wait. In each worker one coroutine in the background, the listener, reads that socket. Where no listener can run,
-- each coroutine that waits reads a connection of its own.

local debug_log = require "kong.vault.debug_log"
local l1 = require "kong.vault.l1"
local metrics = require "kong.vault.metrics"
local native = require "kong.vault.native"
local shared_cache = require "kong.vault.shared_cache"
local timer = require "kong.vault.timer"
local waiters = require "kong.vault.waiters"

local ngx = ngx

-- Bytes read at once. There is more than one where events came while others were handled.
local BYTES = 64

-- Seconds without an event after which the listener connects again, in case its connection is dead.
local SILENCE = 3600

-- Seconds between two looks at what Lua counts. The library adds it to the figures of the node.
local COUNTING = 10

-- Seconds for connecting to the engine, which is in this process.
local CONNECT_TIMEOUT = 1

local _M = {}

local alive = false

local function log_health(text, up)
  local is_news, line = shared_cache.note_health(text, up)
  if is_news then
    ngx.log(up and ngx.NOTICE or ngx.WARN, "kong.vault: ", line)
  end
end

-- Logs that the cache is crowded, if it is. The resolver says so once.
local function log_crowded()
  local notice = native.vm:crowded_notice()
  if notice then
    ngx.log(ngx.NOTICE, "kong.vault: ", notice)
  end
end

-- Handles all events that wait.
local function drain()
  local more = true
  while more do
    local kind, ticket, text
    kind, ticket, text, more = native.event()
    if not kind then
      return
    elseif kind == native.COMPLETED then
      shared_cache.publish(ticket, text)
      waiters.complete(ticket)
    elseif kind == native.START then
      shared_cache.start(ticket, text)
    elseif kind == native.OUTDATED then
      -- Copies of dropped values must not stay in memory until somebody asks again.
      l1.sync()
    elseif kind == native.VAULT_STILL_BAD then
      shared_cache.still_bad(text, ticket)
    elseif kind == native.VAULT_ANSWERS then
      local line = shared_cache.note_answer(text)
      if line then
        ngx.log(ngx.NOTICE, "kong.vault: ", line)
      end
    elseif kind == native.CACHE_CROWDED then
      log_crowded()
    elseif kind == native.DEBUG_LINES then
      debug_log.write_engine_lines()
    else
      log_health(text, kind == native.VAULT_UP)
    end
  end
end

-- Waits for at least one byte. ngx_lua before 0.10.14 cannot read as many as there are.
local function receive(sock)
  if sock.receiveany then
    return sock:receiveany(BYTES)
  end
  return sock:receive(1)
end

-- Handles events until `is_done()`. Returns true, or nil and why it ended early: "timeout" after `seconds` without an event.
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
  sock:settimeouts(CONNECT_TIMEOUT * 1000, CONNECT_TIMEOUT * 1000, seconds * 1000)
  local ok
  ok, err = sock:connect(address, { pool = "kong-vault-notifier" })
  if ok then
    ok, err = sock:send(native.wire(native.vm:notifier()))
  end
  local bytes = ok
  if bytes then
    -- From the first byte on no event is missed. What happened before has to be looked for.
    bytes, err = sock:receive(1)
    debug_log.line(bytes and "listening to the engine" or "no connection to the engine: ", err or "")
    shared_cache.sweep()
    waiters.sweep()
    log_crowded()
    debug_log.write_engine_lines()
  end
  while bytes do
    drain()
    if is_done() then
      sock:close()
      return true
    end
    bytes, err = receive(sock)
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
    debug_log.tell_engine()
    local called, ok, err
    repeat
      called, ok, err = pcall(_M.serve, is_exiting, SILENCE)
    until not called or ok or err ~= "timeout" or is_exiting()
    if not called then
      ngx.log(ngx.ERR, "kong.vault: the listener failed, and is started again when needed: ", ok)
    end
    debug_log.line("the listener ends", err and ": " or "", err or "")
  end
  alive = false
  waiters.wake_all()
end

-- Tells the engine that the worker is quitting. nginx then runs pending timers at once, as premature, but it waits for
-- pending reads: the engine closes the listener's connection.
local watch_for_exit
watch_for_exit = timer.new(function(premature)
  metrics.tell_hits()
  if premature then
    native.vm:quit()
    return
  end
  watch_for_exit(COUNTING)
end)

local run_later, is_expected = timer.new(run)

-- Returns for how many of `seconds` the listener can be relied on; nil where there is none. A listener that is expected, but
-- does not run yet, may never run: it is relied on for a moment only.
function _M.runs(seconds)
  if alive then
    return seconds
  end
  return is_expected() and math.min(seconds, timer.GRACE) or nil
end

-- Starts the listener, unless it runs or cannot run.
function _M.start()
  if alive or is_expected() or ngx.worker.exiting() or native.vm:is_throwaway() then
    return
  end
  if watch_for_exit(COUNTING) then
    debug_log.tell_engine()
    run_later(0)
  end
end

return _M
