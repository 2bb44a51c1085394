-- How a call may wait, by the phase that it is made in.

local ngx = ngx

-- Whether nginx lets a request wait in ssl_client_hello. That takes a patch of OpenResty's, whose nginx is configured with
-- ngx_lua's directory as OpenResty's archive has it. Without that patch, nginx closes the connection of whoever waits.
local function waits_for_client_hello()
  local configure = ngx and ngx.config and ngx.config.nginx_configure
  return configure ~= nil and configure():find("/ngx_lua-", 1, true) ~= nil
end

-- Phases in which a coroutine may yield.
local YIELDS = {
  access = true,
  content = true,
  preread = true,
  rewrite = true,
  server_rewrite = true,
  ssl_cert = true,
  ssl_client_hello = waits_for_client_hello(),
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
