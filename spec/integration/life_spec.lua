-- What nginx's processes go through while requests are served: reloads, ends of all kinds, upgrades, no code cache.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local soak = require "spec.support.soak"
local wait = require "spec.support.wait"

local socket = require "socket"

local LOAD = [[ require "kong.vault" ]]

local DICTIONARY = "lua_shared_dict kong_secrets 5m;"

-- What an end may be delayed by us, and what a busy machine may add, seconds.
local DELAY, SLACK = 0.1, 0.15

describe("life", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(options)
    options.env = options.env or {}
    options.env.KONG_VAULT_HCV_PORT = vault.port
    options.env.KONG_VAULT_FETCH_TIMEOUT = options.env.KONG_VAULT_FETCH_TIMEOUT or "20"
    options.init = options.init or LOAD
    return nginx.start(options)
  end

  -- Seconds until nginx has ended after a signal.
  local function ends_within(server, signal, seconds)
    local began = socket.gettime()
    assert.equal(0, server:stop(signal, 10))
    local took = socket.gettime() - began
    assert.is_true(took <= wait.bound(seconds), ("%s took %.3f s"):format(signal, took))
    assert.same({}, server:flaws())
  end

  it("serves where nginx drops the timer that was to start the listener, and starts it later", function()
    local server = start({
      http = "lua_max_running_timers 1;",
      level = "info",
      init_worker = [[ ngx.timer.at(0, function() while not let_go do ngx.sleep(0.01) end end) ]],
    })
    for _, name in ipairs({ "first", "second" }) do
      assert.equal("value of " .. name, (server:value("{vault://hcv/" .. name .. "/value}")))
    end
    assert.matches("lua_max_running_timers are not enough", server:log(), 1, true)
    server:eval [[ let_go = true ]]
    local asked = 0
    wait.eventually("the listener runs", function()
      asked = asked + 1
      server:value(("{vault://hcv/more-%d/value}"):format(asked))
      return server:eval [[ return require("kong.vault.listener").runs(60) == 60 ]]
    end)
  end)

  for _, signal in ipairs({ "QUIT", "TERM" }) do
    it(signal .. " ends idle workers, which have a listener and values to renew, at once", function()
      local server = start({ workers = 2, http = DICTIONARY, env = { KONG_VAULT_HCV_TTL = "30" } })
      for _ = 1, 8 do
        assert.equal("value of idle", (server:value "{vault://hcv/idle/value}"))
      end
      ends_within(server, signal, DELAY + SLACK)
    end)

    it(signal .. " ends them at once while values are renewed all the time", function()
      local server = start({ workers = 2, http = DICTIONARY, env = { KONG_VAULT_HCV_TTL = "0.05" } })
      for _ = 1, 8 do
        assert.equal("value of busy", (server:value "{vault://hcv/busy/value}"))
      end
      wait.eventually("it was renewed", function()
        return vault:count "/v1/secret/busy" > 3
      end)
      ends_within(server, signal, DELAY + SLACK)
    end)

    it(signal .. " ends a worker at once whose renewals a vault never answers", function()
      local name = "stuck-" .. signal
      local server = start({ workers = 2, http = DICTIONARY, env = { KONG_VAULT_HCV_TTL = "0.2" } })
      local reference = "{vault://hcv/" .. name .. "/value}"
      assert.equal("value of " .. name, (server:value(reference)))
      vault:route("/v1/secret/" .. name, { gate = name })
      vault:await(name, 1)
      ends_within(server, signal, DELAY + SLACK)
      vault:open(name)
    end)
  end

  it("TERM ends workers at once while requests wait for fetches", function()
    local server = start({ workers = 2, http = DICTIONARY })
    vault:route("/v1/secret/term-*", { gate = "term" })
    for i = 1, 40 do
      server:ask("{vault://hcv/term-" .. i % 10 .. "/value}")
    end
    vault:await("term", 10)
    ends_within(server, "TERM", DELAY + SLACK)
    vault:open "term"
  end)

  it("QUIT ends workers as soon as the requests that wait for fetches are answered", function()
    local server =
      start({ workers = 2, http = DICTIONARY, server = "location = /status { access_log off; stub_status; }" })
    vault:route("/v1/secret/quit-*", { gate = "quit" })
    local waiting = {}
    for i = 1, 40 do
      waiting[i] = server:ask("{vault://hcv/quit-" .. i % 10 .. "/value}")
    end
    vault:await("quit", 10)
    -- A worker that quits closes connections whose requests it has not read yet.
    wait.eventually("all requests are read", function()
      return server:get("/status").body:match "Writing: 41 "
    end)
    server:signal "QUIT"
    wait.eventually("the workers heard of it", function()
      return server:logged "gracefully shutting down" == 2
    end)
    vault:open "quit"
    local answered
    for i = 1, 40 do
      assert.equal("value of quit-" .. i % 10, (waiting[i].read()))
      answered = socket.gettime()
    end
    assert.equal(0, server.process:wait(10))
    local took = socket.gettime() - answered
    assert.is_true(took <= wait.bound(DELAY + SLACK), took)
    assert.same({}, server:flaws())
  end)

  it("reloads under fetches lose no request, and old workers go when theirs are answered", function()
    local server = start({ workers = 2, http = DICTIONARY })
    vault:route("/v1/secret/anew-*", { delay = 0.05 })
    local paths = {}
    for i = 1, 10 do
      paths[i] = nginx.value_path("{vault://hcv/anew-" .. i .. "/value?ttl=0.001&resurrect_ttl=0}")
    end
    local running = load.start(server, { paths = paths, rate = 200, connections = 20, close = true })
    for _ = 1, 5 do
      local began = socket.gettime()
      server:reload()
      local took = socket.gettime() - began
      assert.is_true(took < wait.bound(1), took)
    end
    local samples = running:stop()
    assert.same({}, samples:failures())
    assert.is_true(#samples > 50)
    assert.equal(2, #server:workers())
    ends_within(server, "QUIT", DELAY + SLACK)
  end)

  it("kill -9 of the master leaves workers that serve, and nothing else", function()
    local server = start({ workers = 2, http = DICTIONARY, env = { KONG_VAULT_HCV_TTL = "0.1" } })
    assert.equal("value of orphan", (server:value "{vault://hcv/orphan/value}"))
    local workers = server:workers()
    server:signal "KILL"
    assert.equal(-9, server.process:wait(10))
    local count = vault:count "/v1/secret/orphan"
    for _ = 1, 8 do
      assert.equal("value of orphan", (server:value "{vault://hcv/orphan/value}"))
    end
    assert.equal("value of after", (server:value "{vault://hcv/after/value}"))
    wait.eventually("values are renewed on", function()
      server:value "{vault://hcv/orphan/value}"
      return vault:count "/v1/secret/orphan" > count + 1
    end)
    for _, pid in ipairs(workers) do
      local worker = process.adopt(pid)
      process.send(pid, "QUIT")
      assert.equal(0, worker:wait(5))
    end
    assert.same({}, server:flaws())
  end)

  it("a killed worker takes only its own requests along", function()
    local server = start({ workers = 2, http = DICTIONARY })
    vault:route("/v1/secret/killed", { gate = "killed" })
    local victim
    local requests = {}
    wait.eventually("both workers wait for a fetch", function()
      requests[#requests + 1] = server:begin [[
        -- Runs once this request waits: a kill before may leave a socket's name, which the next worker to open one removes.
        ngx.timer.at(0, function()
          ngx.shared.results:set("asked-" .. ngx.worker.pid(), true)
        end)
        return ngx.worker.pid(), require("kong.vault").get "{vault://hcv/killed/value}"
      ]]
      local asked = 0
      for _, pid in ipairs(server:workers()) do
        asked = asked + (server:eval("return ngx.shared.results:get(...)", "asked-" .. pid) and 1 or 0)
      end
      return asked == 2
    end)
    victim = server:worker()
    process.send(victim, "KILL")
    wait.eventually("there is another", function()
      return #server:workers() == 2 and not process.alive(victim)
    end)
    vault:open "killed"
    local served = 0
    for _, request in ipairs(requests) do
      local read, pid, value = pcall(request.read)
      if read then
        assert.not_equal(victim, pid)
        assert.equal("value of killed", value)
        served = served + 1
      end
    end
    assert.is_true(served >= 1)
    ends_within(server, "QUIT", DELAY + SLACK)
  end)

  it("an upgrade of the binary under load loses nothing", function()
    local server = start({
      daemon = true,
      workers = 2,
      http = DICTIONARY,
      env = { KONG_VAULT_HCV_TTL = "0.1" },
      main = "env KONG_VAULT_HCV_PORT; env KONG_VAULT_HCV_TTL; env KONG_VAULT_FETCH_TIMEOUT; env TMPDIR;",
    })
    local path = nginx.value_path "{vault://hcv/upgraded/value}"
    local running = load.start(server, { paths = { path }, rate = 200, connections = 8, close = true })
    local before = server.process.pid
    for _ = 1, 2 do
      server:upgrade()
    end
    assert.not_equal(before, server.process.pid)
    assert.equal("value of upgraded-new", (server:value "{vault://hcv/upgraded-new/value}"))
    local samples = running:stop()
    assert.same({}, samples:failures())
    assert.equal(1, process.threads(server.process.pid))
    ends_within(server, "QUIT", DELAY + SLACK)
  end)

  it("lua_code_cache off under load multiplies nothing", function()
    local server = start({ http = "lua_code_cache off;" .. DICTIONARY })
    local path = nginx.value_path("{vault://hcv/uncached-1/value}", "{vault://hcv/uncached-2/value}")
    local worker = server:worker()
    local function burst()
      local running = load.start(server, { paths = { path }, rate = 200, connections = 8, close = true })
      wait.pass(1.2)
      local samples = running:stop()
      assert.same({}, samples:failures())
      -- How many there are is the machine's affair: each has a Lua VM made for it.
      assert.is_true(#samples > 20, #samples .. " requests")
    end
    burst()
    local memory, descriptors = process.memory(worker), process.descriptors(worker)
    for _ = 1, 2 do
      burst()
    end
    assert.equal(worker, server:worker())
    assert.is_true(process.threads(worker) <= 2)
    assert.is_true(process.descriptors(worker) <= descriptors * 1.05 + 2, process.descriptors(worker))
    assert.is_true(process.memory(worker) <= memory * 1.15, memory .. " kB, then " .. process.memory(worker))
    ends_within(server, "QUIT", DELAY + SLACK)
  end)

  it("a short soak leaves everything as it was", function()
    local result = soak.run({ reloads = 8, kills = 4, upgrades = 1 })
    assert.same({}, result.failures)
    assert.same({}, result.flaws)
    assert.equal(0, result.status)
    assert.same({}, soak.grown(result, 5))
    assert.is_true(result.requests > 300, result.requests .. " requests")
  end)
end)
