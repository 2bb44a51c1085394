-- How a call may wait, by the phase that it is made in.

local ngx = ngx

-- Phases in which a coroutine may yield.
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
  -- The coroutine yields; the worker serves others meanwhile.
  YIELD = "yield",
  -- The worker blocks: it serves nobody yet.
  BLOCK = "block",
  -- The process blocks and fetches on its own thread: it will fork, or is not nginx, so the engine must not run in it.
  INLINE = "inline",
  -- The call must return at once.
  NEVER = "never",
}

-- Returns how a call made now may wait.
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
