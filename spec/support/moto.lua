-- An AWS-API server (moto) that checks signatures once `guard` was called.

local cjson = require "cjson"

local files = require "spec.support.files"
local http = require "spec.support.http"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local _M = {}
_M.__index = _M

_M.REGION = "eu-central-1"

--- Returns the path of the server's program; nil where it is not installed.
function _M.program()
  return files.program("TEST_MOTO", ".venv/bin/moto_server")
end

function _M:is_ready()
  local ok, answer = pcall(http.request, self.port, "/moto-api/data.json")
  return ok and answer ~= nil and answer.status == 200
end

local function try_start()
  local home = files.folder()
  local self = setmetatable({ port = process.free_port() }, _M)
  self.process = process.start({
    command = { _M.program(), "-H", "127.0.0.1", "-p", tostring(self.port) },
    env = { HOME = home, PYTHONUNBUFFERED = "1" },
    output = home .. "/output",
  })
  wait.poll(function()
    return self.process:ended() or self:is_ready()
  end, 60)
  return self
end

function _M.start()
  local output
  for _ = 1, 5 do
    local self = try_start()
    if not self.process:ended() and self:is_ready() then
      self.url = "http://127.0.0.1:" .. self.port
      return self
    end
    self.process:stop()
    output = files.read(self.process.output)
  end
  error(("moto does not start (%s): %s"):format(_M.program(), output))
end

-- Before `guard`, moto takes service and region from this header and looks at nothing else of it.
local UNSIGNED = "AWS4-HMAC-SHA256 Credential=setup/20240101/%s/%s/aws4_request, SignedHeaders=host, Signature=0"

function _M:_send(service, headers, body)
  headers.Authorization = UNSIGNED:format(_M.REGION, service)
  local answer = assert(http.request(self.port, "/", { body = body, headers = headers }))
  assert(answer.status == 200, answer.body)
  return answer.body
end

--- Calls Secrets Manager.
function _M:secrets(action, request)
  local headers = { ["X-Amz-Target"] = "secretsmanager." .. action, ["Content-Type"] = "application/x-amz-json-1.1" }
  return cjson.decode(self:_send("secretsmanager", headers, cjson.encode(request)))
end

--- Calls IAM.
function _M:iam(action, request)
  local parts = { "Action=" .. action, "Version=2010-05-08" }
  for name, value in pairs(request) do
    parts[#parts + 1] = name .. "=" .. http.escape(value)
  end
  return self:_send("iam", { ["Content-Type"] = "application/x-www-form-urlencoded" }, table.concat(parts, "&"))
end

--- Makes a user who may do `action` on everything. Returns access key id and secret access key.
function _M:user(name, action)
  local policy = { Version = "2012-10-17", Statement = { { Effect = "Allow", Action = action, Resource = "*" } } }
  self:iam("CreateUser", { UserName = name })
  self:iam("PutUserPolicy", { UserName = name, PolicyName = "p", PolicyDocument = cjson.encode(policy) })
  local key = self:iam("CreateAccessKey", { UserName = name })
  return key:match "<AccessKeyId>(.-)</AccessKeyId>", key:match "<SecretAccessKey>(.-)</SecretAccessKey>"
end

--- From now on, every request must be signed by a user who may do what it asks for.
function _M:guard()
  assert(http.request(self.port, "/moto-api/reset-auth", { body = "0" }).status == 200)
end

return _M
