-- How long a call may take in the phase that it is made in.

local ngx = ngx

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

local _M = {
  -- The coroutine is parked.
  YIELD = "yield",
  -- The worker is blocked: it serves nobody yet.
  BLOCK = "block",
  -- The process is blocked, and no thread may live in it: it will fork, or it is plain LuaJIT's.
  INLINE = "inline",
  -- It has to return at once.
  NEVER = "never",
}

-- How a call made now may wait.
function _M.wait_mode()
  if not (ngx and ngx.get_phase) then
    return _M.INLINE
  end
  local phase = ngx.get_phase()
  if YIELDS[phase] then
    return _M.YIELD
  elseif phase == "init" then
    return _M.INLINE
  elseif phase == "init_worker" then
    return _M.BLOCK
  end
  return _M.NEVER
end

return _M
