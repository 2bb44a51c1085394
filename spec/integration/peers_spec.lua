-- Workers that don't answer the others of their node, and processes that keep them from it.

local cleanup = require "spec.support.cleanup"
local crowd = require "spec.support.crowd"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

-- The name of a worker's socket for the others.
local ADDRESS = [[return ngx.worker.pid(), require("kong.vault.native").vm:address()]]

describe("a worker of a node", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(timeout)
    return nginx.start({
      workers = 2,
      http = "lua_shared_dict kong_secrets 5m;",
      init = [[require "kong.vault"]],
      env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_FETCH_TIMEOUT = timeout },
    })
  end

  -- The name of each worker's socket, by its pid.
  local function addresses(server)
    local found, number = {}, 0
    wait.eventually("each worker said where it is found", function()
      local pid, address = server:eval(ADDRESS)
      number = number + (found[pid] and 0 or 1)
      found[pid] = address
      return number == server.vars.workers
    end)
    return found
  end

  -- Bothers a worker's socket, as another user where `user` says so. Returns once that is under way.
  local function bother(address, what, user)
    local output = files.folder() .. "/said"
    files.write(output, "")
    files.chmod(output, 438) -- 0666
    local command = { "luajit", files.root .. "/spec/support/peers_client.lua", address, what, output }
    if user then
      for i, word in ipairs({ "setpriv", "--reuid", user, "--regid", user, "--clear-groups" }) do
        table.insert(command, i, word)
      end
    end
    local running = process.start({ command = command, output = output .. ".err" })
    wait.eventually(what .. " is under way", function()
      assert(not running:ended(), files.read(output .. ".err"))
      return (files.read(output) or ""):match "%S"
    end)
    return running
  end

  local function has_values(requests, name)
    for _, request in ipairs(requests) do
      local _, value, err = request.read()
      assert.same({ "value of " .. name, nil }, { value, err })
    end
  end

  local function ends_well(server)
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ "value of " }))
  end

  it("fetches by itself what another was stopped over, and serves all else meanwhile", function()
    local server = start "4"
    local requests, owner = crowd.gather(server, vault, "stopped")
    process.send(owner, "STOP")
    finally(function()
      process.send(owner, "CONT")
    end)
    assert.equal("value of at-once", (server:value "{vault://hcv/at-once/value}"))
    -- Half of the time is over, and the other half is enough.
    vault:await("stopped", 2)
    assert.equal("value of meanwhile", (server:value "{vault://hcv/meanwhile/value}"))
    vault:open "stopped"
    local late = crowd.ask(server, "{vault://hcv/stopped/value}")
    has_values({ late }, "stopped")
    process.send(owner, "CONT")
    has_values(requests, "stopped")
    assert.equal(2, vault:count "/v1/secret/stopped")
    ends_well(server)
  end)

  it("takes the value of another that answers late", function()
    local server = start "4"
    local requests = crowd.gather(server, vault, "slow")
    -- The second fetch, after half of the time, is held back for good: only the first one brings anything.
    vault:route("/v1/secret/slow", { gate = "slow-for-good" })
    vault:await("slow-for-good", 1)
    vault:open "slow"
    has_values(requests, "slow")
    ends_well(server)
  end)

  it("is not held up where a stopped one's backlog is full", function()
    local server = start "6"
    local found = addresses(server)
    local requests, owner = crowd.gather(server, vault, "before")
    process.send(owner, "STOP")
    finally(function()
      process.send(owner, "CONT")
    end)
    bother(found[owner], "fill", process.is_root and "65534" or nil)
    -- It claimed this one before it was stopped; half of the time passes.
    vault:await("before", 2)
    vault:open "before"
    assert.equal("value of before", (server:value "{vault://hcv/before/value}"))
    -- A connection to it would wait for ever now.
    server:eval(
      [[
      local name, owner = ...
      local native = require "kong.vault.native"
      local _, ticket = native.lookup("{vault://hcv/" .. name .. "/value}", true)
      native.step(ticket, native.OWNER, nil, owner)
    ]],
      "unreachable",
      found[owner]
    )
    assert.equal("value of another", (server:value "{vault://hcv/another/value}"))
    assert.equal("value of unreachable", (server:value "{vault://hcv/unreachable/value}"))
    process.send(owner, "CONT")
    has_values(requests, "before")
    ends_well(server)
  end)

  it("answers the others whoever else connects and says nothing", function()
    local server = start "30"
    for _, address in pairs(addresses(server)) do
      bother(address, "silent")
    end
    local requests = crowd.gather(server, vault, "silent")
    vault:open "silent"
    has_values(requests, "silent")
    assert.equal(1, vault:count "/v1/secret/silent")
    ends_well(server)
  end)

  it("serves on while another user floods the workers' sockets", function()
    if not process.is_root then
      return pending "needs another user"
    end
    local server = start "10"
    local floods = {}
    for _, address in pairs(addresses(server)) do
      floods[#floods + 1] = bother(address, "flood", "65534")
    end
    local requests = crowd.gather(server, vault, "flooded")
    vault:open "flooded"
    has_values(requests, "flooded")
    for i = 1, 10 do
      assert.equal("value of flooded-" .. i, (server:value("{vault://hcv/flooded-" .. i .. "/value}")))
    end
    for _, flood in ipairs(floods) do
      flood:stop()
    end
    ends_well(server)
  end)
end)
