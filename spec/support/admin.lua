-- The Admin API in a real nginx.

local cjson = require "cjson"

local files = require "spec.support.files"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local _M = {}

-- With `reuseport`, the kernel spreads connections over the workers.
local SPREAD = "listen 127.0.0.1:{{spread}} reuseport;\n"

_M.SERVER = [[
  location ~ ^/vaults(-beta)?(/|$) { content_by_lua_block { require("kong.vault.admin").serve() } }
]]

--- Makes a folder as the API requires it, which only its owner may enter. Workers run as the user who runs the specs.
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

--- Sends a request to the API. Returns the status, the decoded body and the headers.
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

--- Adds to the epoch, which each process compares. An odd epoch means that a writer is at work.
function _M.tell(folder, more)
  local file = assert(io.open(folder .. "/.changes", "r+b"))
  local first = file:read(1):byte()
  file:seek("set", 0)
  file:write(string.char(first + more))
  file:close()
end

--- Starts a writer that holds the lock of a folder, makes the epoch odd, and is stopped then, as by SIGSTOP or a disk that hangs.
-- Returns a function that ends it.
function _M.stopped_writer(folder)
  local locked = folder .. "/.lock"
  local writer = process.start({ command = { "flock", locked, "sleep", "600" } })
  wait.eventually("it has the lock", function()
    return (process.run({ command = { "flock", "-n", locked, "true" } })) ~= 0
  end)
  _M.tell(folder, 1)
  writer:signal "STOP"
  return function()
    for _, child in ipairs(process.children(writer.pid)) do
      process.send(child, "KILL")
    end
    writer:signal "CONT"
    writer:stop()
  end
end

--- Returns the entities that are stored.
function _M.stored(folder)
  return cjson.decode(assert(files.read(folder .. "/vaults.json"))).vaults
end

return _M
