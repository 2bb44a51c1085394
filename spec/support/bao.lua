-- A real OpenBao (HashiCorp Vault's API) in dev mode, plain and with TLS.

local cjson = require "cjson"

local files = require "spec.support.files"
local http = require "spec.support.http"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local _M = {}
_M.__index = _M

--- The dev server's root token. Specs search logs for it.
_M.TOKEN = "r00t-T0ken-of-the-specs"

--- Returns the path of the server's program; nil where it is not installed.
function _M.program()
  return files.program("TEST_BAO", ".venv/bin/bao")
end

local LISTENER = [[
listener "tcp" {
  address = "127.0.0.1:%d"
  tls_cert_file = "%s"
  tls_key_file = "%s"
}
]]

function _M:is_ready()
  local ok, answer = pcall(self.send, self, "GET", "secret/config")
  return ok and answer.status == 200
end

local function try_start(pair)
  local home = files.folder()
  local self = setmetatable({ port = process.free_port(), tls_port = pair and process.free_port() }, _M)
  local listener = pair and LISTENER:format(self.tls_port, pair.certificate, pair.key) or ""
  files.write(home .. "/config.hcl", listener)
  self.process = process.start({
    command = {
      _M.program(),
      "server",
      "-dev",
      "-dev-no-store-token",
      "-dev-root-token-id=" .. _M.TOKEN,
      "-dev-listen-address=127.0.0.1:" .. self.port,
      "-config=" .. home .. "/config.hcl",
    },
    env = { HOME = home },
    output = home .. "/output",
  })
  -- Dev mode mounts `secret` only after it began to answer.
  wait.poll(function()
    return self.process:ended() or self:is_ready()
  end, 60)
  return self
end

--- Starts a server; with a TLS port for a `{ certificate, key }`. Tries again where another process takes a port first.
function _M.start(pair)
  local output
  for _ = 1, 5 do
    local self = try_start(pair)
    if not self.process:ended() and self:is_ready() then
      return self
    end
    self.process:stop()
    output = files.read(self.process.output)
  end
  error(("OpenBao does not start (%s): %s"):format(_M.program(), output))
end

function _M:send(method, path, body, namespace)
  return http.request(self.port, "/v1/" .. path, {
    method = method,
    body = body and cjson.encode(body),
    headers = { ["X-Vault-Token"] = _M.TOKEN, ["X-Vault-Namespace"] = namespace },
  })
end

function _M:write(path, body, namespace)
  -- A new mount of KV v2 refuses everything until it is upgraded, which takes it a moment.
  local answer
  wait.eventually("OpenBao takes " .. path, function()
    answer = assert(self:send("POST", path, body, namespace))
    return answer.status < 300 or answer.status ~= 400
  end)
  assert(answer.status < 300, answer.body)
end

function _M:delete(path)
  assert(self:send("DELETE", path).status < 300)
end

--- Mounts a key/value engine of a version, "1" or "2".
function _M:mount(path, version, namespace)
  self:write("sys/mounts/" .. path, { type = "kv", options = { version = version } }, namespace)
end

--- Seals the server. Returns the key for `unseal`.
function _M:seal()
  local key = wait.eventually("OpenBao tells its unseal key", function()
    return files.read(self.process.output):match "Unseal Key: (%S+)"
  end)
  self:write("sys/seal", {})
  return key
end

function _M:unseal(key)
  self:write("sys/unseal", { key = key })
end

return _M
