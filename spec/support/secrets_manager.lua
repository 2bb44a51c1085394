-- A stand-in for AWS Secrets Manager: `GetSecretValue` and `BatchGetSecretValue` by AWS's API reference, with a delay, counted.
-- It is an nginx that runs `secrets_manager_server.lua`. It checks no signature: moto does.
--
-- Each name has a secret, `{"value":"value of <name>","count":"<how often it was read>"}`, but those that begin with `missing-`,
-- `deleted-` or `denied-`.

local cjson = require "cjson"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"

local _M = {}
_M.__index = _M

function _M.start()
  local server = nginx.start({
    level = "error",
    server = [[
      location = /_control { content_by_lua_block { require("spec.support.secrets_manager_server").control() } }
      location / { content_by_lua_block { require("spec.support.secrets_manager_server").serve() } }
    ]],
  })
  return setmetatable({ server = server, url = "http://127.0.0.1:" .. server.port }, _M)
end

function _M:_control(command)
  local answer = assert(http.request(self.server.port, "/_control", { body = cjson.encode(command) }))
  assert(answer.status == 200, answer.body)
  return cjson.decode(answer.body)
end

--- Sets how requests are answered: `delay` (seconds), `batches`: "yes", or why they are refused ("denied", "unknown",
-- "throttled", "broken", "silent"), `page` (how many secrets of a batch an answer has at most).
function _M:set(options)
  self:_control({ set = options })
end

--- Returns the counts since the last `reset`: `single` and `batch` requests, `read` secrets, `largest` batch.
function _M:counts()
  return self:_control({}).counts
end

function _M:reset()
  self:_control({ reset = true })
end

--- The environment of an nginx that asks this server.
function _M:environment(more)
  local environment = {
    KONG_VAULT_AWS_REGION = "eu-central-1",
    KONG_VAULT_AWS_ENDPOINT_URL = self.url,
    AWS_ACCESS_KEY_ID = "AKIDEXAMPLE",
    AWS_SECRET_ACCESS_KEY = "hunter2-key",
    HOME = "/nonexistent",
    AWS_EC2_METADATA_DISABLED = "true",
  }
  for name, value in pairs(more or {}) do
    environment[name] = value
  end
  return environment
end

return _M
