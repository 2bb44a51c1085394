-- nginx's ways to run: one process or many, another user, reloads, no code cache, and the ends of it all.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local LOAD = [[ require "kong.vault" ]]

-- A fetch's deadline that no spec here waits for.
local LONG = "30"

local function start(vault, options)
  options.env = options.env or {}
  options.env.KONG_VAULT_HCV_PORT = vault.port
  options.env.KONG_VAULT_FETCH_TIMEOUT = options.env.KONG_VAULT_FETCH_TIMEOUT or LONG
  options.env.OF_THE_SPECS = "captured"
  return nginx.start(options)
end

local function threads_are_few(server)
  for _, pid in ipairs(server:workers()) do
    assert.is_true(process.threads(pid) <= 2, ("%d threads"):format(process.threads(pid)))
  end
end

local function ends_well(server, signal)
  assert.equal(0, server:stop(signal or "QUIT", 10))
  assert.same({}, server:flaws())
end

describe("nginx", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  it("as a single process", function()
    local server = start(vault, { master = false, init = LOAD .. [[.get "{vault://hcv/single/value}"]] })
    assert.equal("captured", (server:value "{vault://env/of-the-specs}"))
    assert.equal("value of single", (server:value "{vault://hcv/single/value}"))
    assert.equal("value of single-cold", (server:value "{vault://hcv/single-cold/value}"))
    assert.equal(1, vault:count "/v1/secret/single")
    threads_are_few(server)
    ends_well(server)
  end)

  -- Each of three workers asks for the same as soon as it runs. `secret`: a name that nobody else uses.
  local function several_workers(secret, dictionary)
    local server = start(vault, {
      workers = 3,
      http = dictionary,
      vars = { secret = secret },
      init = LOAD .. [[.get "{vault://hcv/{{secret}}-init/value}"]],
      init_worker = [[
        local name = "worker-" .. ngx.worker.id()
        ngx.timer.at(0, function()
          local inside = require "spec.support.inside"
          inside.note(name, "{vault://hcv/{{secret}}/value}")
          inside.note(name .. "-env", "{vault://env/of-the-specs}")
          inside.note(name .. "-init", "{vault://hcv/{{secret}}-init/value}")
        end)
      ]],
    })
    for worker = 0, 2 do
      local name = "worker-" .. worker
      wait.eventually("each worker fetched", function()
        return select(3, server:noted(name .. "-init"))
      end)
      assert.equal("value of " .. secret, (server:noted(name)))
      assert.equal("captured", (server:noted(name .. "-env")))
      assert.equal(("value of %s-init"):format(secret), (server:noted(name .. "-init")))
    end
    assert.equal(1, vault:count(("/v1/secret/%s-init"):format(secret)))
    assert.equal(1, process.threads(server.process.pid))
    threads_are_few(server)
    ends_well(server)
    return vault:count("/v1/secret/" .. secret)
  end

  it("with several workers", function()
    assert.is_true(several_workers "several" <= 3)
  end)

  it("with several workers that share the node's dictionary", function()
    assert.equal(1, several_workers("sharing", "lua_shared_dict kong_secrets 5m;"))
  end)

  it("with workers of another user", function()
    if not process.is_root then
      return pending "only root can start workers of another user"
    end
    -- Somebody else may not be able to read the folder that this project is in.
    local installed = files.folder()
    assert.equal(
      0,
      (process.run({ command = { "cp", "-r", files.root .. "/lua", files.root .. "/build/lib", installed } }))
    )
    assert.equal(0, (process.run({ command = { "chmod", "-R", "a+rX", installed } })))
    local server = start(vault, {
      user = "nobody nogroup",
      lua_path = installed .. "/lua/?.lua",
      lua_cpath = installed .. "/lib/?.so",
      init = LOAD .. [[require "spec.support.inside"]],
    })
    assert.is_true(process.status_of(server:worker(), "Uid") > 0)
    assert.equal("captured", (server:value "{vault://env/of-the-specs}"))
    assert.equal("value of nobody", (server:value "{vault://hcv/nobody/value}"))
    threads_are_few(server)
    ends_well(server)
  end)

  it("where only a worker loads the module, and sees no more than nginx lets it see", function()
    local server = start(vault, { main = "env OF_THE_SPECS; env KONG_VAULT_HCV_PORT; env ADDED=by-nginx;" })
    assert.equal("captured", (server:value "{vault://env/of-the-specs}"))
    assert.equal("by-nginx", (server:value "{vault://env/added}"))
    assert.equal("value of lazy", (server:value "{vault://hcv/lazy/value}"))
    assert.is_nil((server:value "{vault://env/tmpdir}"))
    ends_well(server)
  end)

  it("without a code cache", function()
    local server = start(vault, { http = "lua_code_cache off;", init = LOAD })
    for _ = 1, 20 do
      assert.equal("captured", (server:value "{vault://env/of-the-specs}"))
      assert.equal("value of anew", (server:value "{vault://hcv/anew/value}"))
    end
    -- Each request is a Lua VM of its own, with a cache of its own.
    assert.equal(20, vault:count "/v1/secret/anew")
    threads_are_few(server)
    assert.is_true(process.descriptors(server:worker()) < 80)
    ends_well(server)
  end)
end)

describe("a reload", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function configured(prefix)
    return ([[ assert(require("kong.vault").configure({ vault_env_prefix = "%s" })) ]]):format(prefix)
  end

  it("takes a new configuration and multiplies nothing", function()
    local env = { ONE_NAME = "first", TWO_NAME = "second" }
    local server = start(vault, { init = configured "ONE_", env = env })
    assert.equal("first", (server:value "{vault://env/name}"))
    assert.equal("value of reload", (server:value "{vault://hcv/reload/value}"))
    server:reload({ init = configured "TWO_" })
    assert.equal("second", (server:value "{vault://env/name}"))
    local descriptors = process.descriptors(server.process.pid)
    for _ = 1, 5 do
      server:reload()
      assert.equal("value of reload", (server:value "{vault://hcv/reload/value}"))
      threads_are_few(server)
    end
    assert.equal("second", (server:value "{vault://env/name}"))
    assert.equal(1, #server:workers())
    assert.equal(1, process.threads(server.process.pid))
    assert.is_true(process.descriptors(server.process.pid) <= descriptors + 2)
    ends_well(server)
  end)

  it("lets a request that waits in the old worker have its value", function()
    local server = start(vault, { init = LOAD })
    local old = server:worker()
    vault:route("/v1/secret/waiting", { gate = "waiting" })
    local waiting = server:begin [[
      return require("kong.vault").get("{vault://hcv/waiting/value}"), ngx.worker.pid()
    ]]
    vault:await("waiting", 1)
    server:signal "HUP"
    wait.eventually("a new worker serves", function()
      return server:eval "return ngx.worker.pid()" ~= old
    end)
    assert.equal("value of reload-new", (server:value "{vault://hcv/reload-new/value}"))
    assert.is_true(process.alive(old))
    vault:open "waiting"
    local value, pid = waiting.read()
    assert.same({ "value of waiting", old }, { value, pid })
    wait.eventually("the old worker ends", function()
      return not process.alive(old)
    end)
    ends_well(server)
  end)

  it("with a configuration that is wrong leaves the old one in force", function()
    local server = start(vault, { init = configured "ONE_", env = { ONE_NAME = "first" } })
    local old = server:worker()
    server:write({ init = [[ assert(require("kong.vault").configure({ vault_env_nope = "s3cret" })) ]] })
    server:signal "HUP"
    wait.eventually("the error is logged", function()
      return server:log():find("vault_env_nope", 1, true)
    end)
    assert.equal("first", (server:value "{vault://env/name}"))
    assert.equal(old, server:worker())
    ends_well(server)
  end)
end)

describe("with fetches under way", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  -- A fetch that nobody waits for: from a phase that can't.
  local BACKGROUND = [[
    location /background {
      log_by_lua_block { require("kong.vault").get "{vault://hcv/background/value}" }
      return 200;
    }
  ]]

  it("TERM ends a worker at once, whoever waits", function()
    vault:route("/v1/secret/term-*", { gate = "term" })
    local server = start(vault, { init = LOAD })
    local waiting = {}
    for i = 1, 20 do
      waiting[i] = server:ask(("{vault://hcv/term-%d/value}"):format(i))
    end
    vault:await("term", 20)
    ends_well(server, "TERM")
    for i = 1, 20 do
      assert.is_false((pcall(waiting[i].read)))
    end
    vault:open "term"
  end)

  it("QUIT lets requests have their values and then ends the worker", function()
    vault:route("/v1/secret/quit-*", { gate = "quit" })
    local server = start(vault, { init = LOAD })
    local waiting = {}
    for i = 1, 20 do
      waiting[i] = server:ask(("{vault://hcv/quit-%d/value}"):format(i))
    end
    vault:await("quit", 20)
    server:signal "QUIT"
    wait.eventually("the worker heard of it", function()
      return server:log():find "gracefully shutting down"
    end)
    vault:open "quit"
    for i = 1, 20 do
      assert.equal("value of quit-" .. i, (waiting[i].read()))
    end
    ends_well(server)
  end)

  it("QUIT does not wait for what nobody waits for", function()
    vault:route("/v1/secret/background", { gate = "background" })
    local server = start(vault, { init = LOAD, server = BACKGROUND })
    assert.equal("value of before", (server:value "{vault://hcv/before/value}"))
    server:get "/background"
    vault:await("background", 1)
    ends_well(server)
    vault:open "background"
  end)

  it("QUIT waits for a timer no longer than its fetch may last", function()
    vault:route("/v1/secret/timer", { gate = "timer" })
    local server = start(vault, {
      env = { KONG_VAULT_FETCH_TIMEOUT = "1" },
      init = LOAD,
      init_worker = [[ ngx.timer.at(0, function() require("kong.vault").get("{vault://hcv/timer/value}") end) ]],
    })
    vault:await("timer", 1)
    ends_well(server)
    vault:open "timer"
  end)

  it("KILL leaves nothing behind either", function()
    vault:route("/v1/secret/kill", { gate = "kill" })
    local server = start(vault, { init = LOAD })
    assert.equal("value of before", (server:value "{vault://hcv/before/value}"))
    local old = server:worker()
    local waiting = server:ask "{vault://hcv/kill/value}"
    vault:await("kill", 1)
    process.send(old, "KILL")
    assert.is_false((pcall(waiting.read)))
    wait.eventually("there is a new worker", function()
      return server:worker() ~= old and server:is_ready()
    end)
    vault:open "kill"
    assert.equal("value of kill", (server:value "{vault://hcv/kill/value}"))
    ends_well(server)
  end)
end)
