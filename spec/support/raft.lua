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
  autopilot_update_interval = "200ms"
  autopilot_reconcile_interval = "400ms"
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

-- The statuses that tell a node's health.
local LEADS, FOLLOWS, UNINITIALISED = 200, 429, 501

local _M = {}
_M.__index = _M

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

-- Gives a node a folder and ports. `join`: the port of a node whose cluster it joins.
function Node:settle(join)
  self.home, self.port, self.cluster = files.folder(), process.free_port(), process.free_port()
  local data = files.mkdir(self.home .. "/data")
  files.write(
    self.home .. "/config.hcl",
    CONFIG:format(data, self.number, join and JOIN:format(join) or "", self.port, self.cluster, self.port, self.cluster)
  )
end

function Node:start()
  self.process = process.start({
    command = { bao.program(), "server", "-config=" .. self.home .. "/config.hcl" },
    env = { HOME = self.home },
    output = self.home .. "/output",
  })
end

-- Unseals a node, until it leads or follows.
local function unseal(node, key)
  wait.eventually("a node is unsealed", function()
    local status = node:health()
    if status ~= LEADS and status ~= FOLLOWS then
      pcall(send, node, "PUT", "sys/unseal", { key = key })
    end
    return status == LEADS or status == FOLLOWS
  end, 30)
end

-- Starts the first node. Tries again where another process takes a port first.
local function start_first(node)
  local said
  for _ = 1, 5 do
    node:settle()
    node:start()
    wait.poll(function()
      return node:health() == UNINITIALISED or node.process:ended()
    end, 30)
    if not node.process:ended() then
      return
    end
    said = files.read(node.home .. "/output")
  end
  error("OpenBao does not start: " .. said)
end

--- Starts the servers, with one leader and KV v1 at `secret`.
function _M.start()
  local self = setmetatable({ nodes = {} }, _M)
  for i = 1, NODES do
    self.nodes[i] = setmetatable({ number = i }, Node)
  end
  local first = self.nodes[1]
  start_first(first)
  local answer = send(first, "PUT", "sys/init", { secret_shares = 1, secret_threshold = 1 })
  assert(answer.status == 200, answer.body)
  local made = cjson.decode(answer.body)
  self.token = made.root_token
  unseal(first, made.keys_base64[1])
  self:leader()
  -- By default, a node must be healthy for ten seconds before it may vote.
  self:write("sys/storage/raft/autopilot/configuration", { server_stabilization_time = "1s" })
  self:write("sys/mounts/secret", { type = "kv", options = { version = "1" } })
  for i = 2, NODES do
    self.nodes[i]:settle(first.port)
    self.nodes[i]:start()
  end
  for i = 2, NODES do
    unseal(self.nodes[i], made.keys_base64[1])
  end
  -- All of them must be voters, so that any two work without the third.
  wait.eventually("all nodes vote", function()
    local members = send(first, "GET", "sys/storage/raft/configuration", nil, self.token)
    return select(2, members.body:gsub('"voter":true', "")) == NODES
  end, 30)
  return self
end

--- Returns the node that leads, and those that follow.
function _M:leader()
  local leader, followers
  wait.eventually("there is a leader", function()
    leader, followers = nil, {}
    for _, node in ipairs(self.nodes) do
      local status = node.process and not node.process:ended() and node:health()
      if status == LEADS then
        leader = node
      elseif status == FOLLOWS then
        followers[#followers + 1] = node
      end
    end
    return leader ~= nil
  end, 60)
  return leader, followers
end

--- Writes through the leader.
function _M:write(path, body)
  wait.eventually("the cluster takes " .. path, function()
    local ok, answer = pcall(send, (self:leader()), "POST", path, body, self.token)
    return ok and answer and answer.status < 300
  end, 60)
end

return _M
