-- An nginx whose global `kong` is a stub of Kong (kong_host.lua).

local nginx = require "spec.support.nginx"

local _M = {}

--- The vault's token. Specs check that it is used, and that it is nowhere else.
_M.TOKEN = "t0ken-of-kong"

local HOST = [[
  entities = {
    { id = "7f1d4b0e-2f2e-4d8a-9d2c-0c7a8d7a2f10", prefix = "mine", name = "hcv", tags = ngx.null,
      config = { port = {{vault}}, token = "{{token}}", mount = "mine", ttl = ngx.null, ["$refs"] = { token = "x" } } },
    { id = "7f1d4b0e-2f2e-4d8a-9d2c-0c7a8d7a2f11", prefix = "theirs", name = "custom", config = {} },
  }
  kong = require("spec.support.kong_host").new({
    database = "postgres", role = "traditional", db_update_frequency = 3600,
    vault_hcv_port = "{{vault}}", vault_hcv_token = "{{token}}", vault_hcv_decode_base64 = "false",
  }, entities)
]]

--- Starts nginx. `vault`: where {vault://hcv/…} is; `init`: Lua that runs after `kong` was made.
function _M.start(vault, init, more)
  local options =
    { vars = { vault = vault.port, token = _M.TOKEN }, init = HOST .. init, env = { KONG_VAULTS = "all,of,them" } }
  for name, value in pairs(more or {}) do
    options[name] = value
  end
  return nginx.start(options)
end

return _M
