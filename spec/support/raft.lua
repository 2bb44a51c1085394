-- Three OpenBao servers that replicate by raft.

local cjson = require "cjson"

local bao = require "spec.support.bao"
local files = require "spec.support.files"
local http = require "spec.support.http"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local NODES = 3

local CONFIG = [[
storage "raft" {
  path = "%s"
  node_id = "node-%d"
  performance_multiplier = 1
%s}
listener "tcp" {
  address = "127.0.0.1:%d"
  cluster_address = "127.0.0.1:%d"
  tls_disable = true
}
api_addr = "http://127.0.0.1:%d"
cluster_addr = "https://127.0.0.1:%d"
]]

local JOIN = [[
  retry_join {
    leader_api_addr = "http://127.0.0.1:%d"
  }
]]

local Node = {}
Node.__index = Node

local function send(node, method, path, body, token)
  return http.request(node.port, "/v1/" .. path, {
    method = method,
    body = body and cjson.encode(body),
    headers = { ["X-Vault-Token"] = token },
  })
end

function Node:health()
  local ok, answer = pcall(send, self, "GET", "sys/health")
  return ok and answer and answer.status or nil
end

function Node:start()
  self.process = process.start({
    command = { bao.program(), "server", "-config=" .. self.home .. "/config.hcl" },
    env = { HOME = self.home },
    output = self.home .. "/output",
  })
end

local _M = {}
_M.__index = _M

local function try_start()
  local nodes = {}
  for i = 1, NODES do
    local home = files.folder()
    files.mkdir(home .. "/data")
    nodes[i] = setmetatable({ home = home, port = process.free_port(), cluster = process.free_port() }, Node)
  end
  for i, node in ipairs(nodes) do
    local join = i > 1 and JOIN:format(nodes[1].port) or ""
    local data = node.home .. "/data"
    files.write(
      node.home .. "/config.hcl",
      CONFIG:format(data, i, join, node.port, node.cluster, node.port, node.cluster)
    )
    node:start()
  end
  local self = setmetatable({ nodes = nodes }, _M)
  -- 501: it runs, and is not initialised.
  local up = wait.poll(function()
    return nodes[1]:health() == 501
  end, 30)
  if not up then
    return nil
  end
  local answer = send(nodes[1], "PUT", "sys/init", { secret_shares = 1, secret_threshold = 1 })
  assert(answer.status == 200, answer.body)
  local made = cjson.decode(answer.body)
  self.key, self.token = made.keys_base64[1], made.root_token
  for i, node in ipairs(nodes) do
    wait.eventually(("node %d is unsealed"):format(i), function()
      local status = node:health()
      if status ~= 200 and status ~= 429 then
        pcall(send, node, "PUT", "sys/unseal", { key = self.key })
      end
      return status == 200 or status == 429
    end, 30)
  end
  return self
end

--- Starts them; they have one leader, and KV v1 at `secret`.
function _M.start()
  local self
  for _ = 1, 3 do
    self = try_start()
    if self then
      break
    end
  end
  assert(self, "a raft cluster of OpenBao does not start")
  self:leader()
  self:write("sys/mounts/secret", { type = "kv", options = { version = "1" } })
  -- All of them are voters, so that any two can do without the third.
  wait.eventually("all nodes vote", function()
    local answer = send(self.nodes[1], "GET", "sys/storage/raft/configuration", nil, self.token)
    return select(2, answer.body:gsub('"voter":true', "")) == NODES
  end, 30)
  return self
end

--- The node that leads, and those that follow.
function _M:leader()
  local leader, followers
  wait.eventually("there is a leader", function()
    leader, followers = nil, {}
    for _, node in ipairs(self.nodes) do
      local status = not node.process:ended() and node:health()
      if status == 200 then
        leader = node
      elseif status == 429 then
        followers[#followers + 1] = node
      end
    end
    return leader ~= nil
  end, 60)
  return leader, followers
end

--- Writes by way of the leader.
function _M:write(path, body)
  wait.eventually("the cluster takes " .. path, function()
    local ok, answer = pcall(send, (self:leader()), "POST", path, body, self.token)
    return ok and answer and answer.status < 300
  end, 60)
end

return _M
