-- Parks a coroutine until its fetch has landed. The first to wait for a fetch, its leader, waits on a connection to the
-- engine (see src/wake.rs for the wire); all others follow it on a semaphore.

local native = require "kong.vault.native"
local semaphore = require "ngx.semaphore"

local ngx = ngx
local pcall = pcall

-- Idle connections to the engine that are kept for the next fetch, and for how long (ms).
local POOL = { pool = "kong-vault-wake", pool_size = 64 }
local KEEPALIVE = 60000

-- A leader can be killed while it waits (`lua_check_client_abort`, `ngx.thread.kill`), and nobody is told. After as many
-- seconds without news a follower waits on a connection of its own.
local PATIENCE = 1

-- Waits by ticket. Weak: with the last coroutine that waits, killed or not, its record goes.
local waits = setmetatable({}, { __mode = "v" })

local _M = {}

local function lead(ticket, seconds)
  local address, err = native.vm:engine_address()
  if not address then
    return nil, err
  end
  local sock
  sock, err = ngx.socket.tcp()
  if not sock then
    return nil, err
  end
  sock:settimeouts(1000, 1000, seconds * 1000)
  local ok
  ok, err = sock:connect(address, POOL)
  if ok then
    ok, err = sock:send(native.wire(ticket))
  end
  if ok then
    ok, err = sock:receive(1)
  end
  if not ok then
    sock:close()
    return nil, err
  end
  sock:setkeepalive(KEEPALIVE)
  return true
end

-- Waits until the fetch has landed, at most `seconds`. Returns true, or nil and why the wait ended early.
function _M.wait(ticket, seconds)
  local record = waits[ticket]
  if not record then
    record = { followers = 0 }
    waits[ticket] = record
  end
  local deadline = ngx.now() + seconds
  repeat
    local now = ngx.now()
    if not record.led_since or now - record.led_since >= PATIENCE then
      record.led_since = now
      -- Where a C function lies between here and the event loop (`string.gsub`, `require`), yielding raises.
      local called, ok, err = pcall(lead, ticket, deadline - now)
      record.landed = true
      record.err = not called and ok or err
      waits[ticket] = nil
      if record.followers > 0 then
        record.semaphore:post(record.followers)
      end
    else
      record.semaphore = record.semaphore or semaphore.new(0)
      record.followers = record.followers + 1
      local called, err = pcall(record.semaphore.wait, record.semaphore, PATIENCE)
      record.followers = record.followers - 1
      if not called then
        return nil, err
      end
    end
  until record.landed or ngx.now() >= deadline
  if record.landed and not record.err then
    return true
  end
  return nil, record.err or "timeout"
end

return _M
