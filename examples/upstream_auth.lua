-- Like a plugin of Kong's: logs requests in at an upstream; user name and password are references to secrets.
-- In Kong, `kong.vault` is there; elsewhere `require("kong.vault").install` puts it there (see nginx.conf).

local _M = {}

-- In the access phase: a secret that isn't cached is waited for, while the worker goes on serving others.
function _M.access(conf)
  local username, err = kong.vault.get(conf.username)
  local password
  if username then
    password, err = kong.vault.get(conf.password)
  end
  if not password then
    -- The error tells vault, host and reason, never a secret: it may be logged, but is no business of the client's.
    ngx.log(ngx.ERR, "no login for the upstream: ", err)
    return ngx.exit(ngx.HTTP_SERVICE_UNAVAILABLE)
  end
  ngx.req.set_header("Authorization", "Basic " .. ngx.encode_base64(username .. ":" .. password))
end

return _M
