-- The leader of a cluster of three OpenBao servers dies under load.

local bao = require "spec.support.bao"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local raft = require "spec.support.raft"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local TTL = 0.3

describe("a raft cluster whose leader is killed under load", function()
  if not bao.program() then
    return pending "TEST_BAO does not name an OpenBao program, and there is no .venv/bin/bao"
  end

  teardown(cleanup.run)

  it("fails no request, and its values are fresh once it has a new leader", function()
    local cluster = raft.start()
    cluster:write("secret/hello", { value = "before", same = "before" })
    local leader, followers = cluster:leader()
    assert.equal(2, #followers)
    local entities = {}
    for prefix, node in pairs({ leader = leader, follower = followers[1], other = followers[2] }) do
      local config = { port = node.port, token = cluster.token, ttl = TTL }
      entities[#entities + 1] = { prefix = prefix, name = "hcv", config = config }
    end
    local server = nginx.start({
      workers = 2,
      http = "lua_shared_dict kong_secrets 5m;",
      env = {
        KONG_VAULT_DECLARATIVE_CONFIG = files.write(files.folder() .. "/kong.yml", cjson.encode({ vaults = entities })),
        KONG_VAULT_BREAKER_INTERVAL = "0.5",
        KONG_VAULT_FETCH_TIMEOUT = "2",
      },
      init = [[require "kong.vault"]],
    })
    local paths = {}
    for i, entity in ipairs(entities) do
      paths[i] = nginx.value_path(
        "{vault://" .. entity.prefix .. "/hello/value}",
        "{vault://" .. entity.prefix .. "/hello/same}"
      )
      wait.eventually("the followers have it too", function()
        return server:get(paths[i]).body == "before before"
      end)
    end
    local running = load.start(server, { paths = paths, rate = 300, connections = 8 })
    wait.pass(2 * TTL)
    leader.process:signal "KILL"
    leader.process:wait()
    cluster:write("secret/hello", { value = "after", same = "after" })
    for _, prefix in ipairs({ "follower", "other" }) do
      wait.eventually("the new value comes by " .. prefix, function()
        return server:value("{vault://" .. prefix .. "/hello/value}") == "after"
      end)
    end
    -- What went by the dead one serves on.
    assert.equal("before", (server:value "{vault://leader/hello/value}"))
    local samples = running:stop()
    assert.same({}, samples:failures())
    for _, sample in ipairs(samples) do
      assert.is_true(sample.body == "before before" or sample.body == "after after", sample.body)
    end
    assert.is_true(samples:percentile(99) < 0.1, samples:percentile(99) .. " s")
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ cluster.token }))
  end)
end)
