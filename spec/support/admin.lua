-- The Admin API in a real nginx.

local cjson = require "cjson"

local files = require "spec.support.files"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"

local _M = {}

-- A port of which each worker has a share.
local SPREAD = "listen 127.0.0.1:{{spread}} reuseport;\n"

_M.SERVER = [[
  location ~ ^/vaults(-beta)?(/|$) { content_by_lua_block { require("kong.vault.admin").serve() } }
]]

--- A folder as the API wants it: its owner's alone. Workers of specs run as whoever runs the specs.
function _M.folder()
  local folder = files.folder()
  files.chmod(folder, 448) -- 0700
  return folder
end

--- Starts an nginx with the API; `options` as for `nginx.start`, and `conf`, further keys for `configure`.
function _M.start(folder, options)
  local whole = { vars = { folder = folder }, ports = { "spread" } }
  for name, value in pairs(options) do
    whole[name] = value
  end
  whole.server = SPREAD .. _M.SERVER .. (options.server or "")
  whole.init = ([[
    local ok, err = require("kong.vault").configure({ vault_data_dir = "{{folder}}", %s })
    if not ok then ngx.log(ngx.ERR, err) end
  ]]):format(options.conf or "")
  return nginx.start(whole)
end

--- Calls it: status, what the body holds, headers.
function _M.call(server, method, path, more)
  more = more or {}
  more.method = method
  local answer = assert(http.request(server.port, path, more))
  return answer.status, answer.body ~= "" and cjson.decode(answer.body) or nil, answer.headers
end

function _M.json(server, method, path, body, headers)
  headers = headers or {}
  headers["Content-Type"] = "application/json"
  return _M.call(server, method, path, { body = cjson.encode(body), headers = headers })
end

function _M.form(server, method, path, body)
  return _M.call(server, method, path, {
    body = body,
    headers = { ["Content-Type"] = "application/x-www-form-urlencoded" },
  })
end

--- What is stored.
function _M.stored(folder)
  return cjson.decode(assert(files.read(folder .. "/vaults.json"))).vaults
end

return _M
