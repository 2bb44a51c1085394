-- Vault entities that change under load, by each route: nothing that had a value is without one until it ends.

local cjson = require "cjson"
local socket = require "socket"

local admin = require "spec.support.admin"
local changing = require "spec.support.change"
local cleanup = require "spec.support.cleanup"
local in_kong = require "spec.support.in_kong"
local load = require "spec.support.load"
local wait = require "spec.support.wait"

local SERVER, CONFIG, serves, warm = changing.SERVER, changing.CONFIG, changing.serves, changing.warm

local TOKEN, OTHER = "t0ken-of-before", "t0ken-of-after"

describe("vault entities that change,", function()
  local one, other

  setup(function()
    one, other = changing.vaults()
  end)

  before_each(function()
    changing.route({ one, other })
  end)

  teardown(cleanup.run)

  -- Changes in turn while requests come; each has time for an outcome, or has none.
  local function under_load(server, changes, seconds)
    local requests = load.start(server, { paths = { "/update", "/get" }, connections = 8, rate = 400 })
    for _, change in ipairs(changes) do
      change()
      wait.pass(seconds or 0.5)
    end
    local samples = requests:stop()
    assert.truthy(#samples > 100, #samples)
    assert.same({}, samples:failures())
    return samples
  end

  local function entity(vault, more)
    local config = { port = vault.port, token = TOKEN, ttl = 30 }
    for name, value in pairs(more or {}) do
      config[name] = value
    end
    return { prefix = "mine", name = "hcv", config = config }
  end

  describe("by the Admin API,", function()
    local folder, server

    local function start(options)
      folder = admin.folder()
      server = admin.start(folder, {
        workers = 2,
        env = (options or {}).env,
        server = SERVER,
        init_worker = CONFIG .. [[ require("kong.vault").init_worker() ]],
        http = (options or {}).http or "lua_shared_dict kong_secrets 1m;",
      })
      assert.equal(201, (admin.json(server, "POST", "/vaults", entity(one))))
      warm(server)
    end

    local function patch(change)
      return function()
        assert.equal(200, (admin.json(server, "PATCH", "/vaults/mine", change)))
      end
    end

    for _, http in ipairs({ "lua_shared_dict kong_secrets 1m;", "lua_shared_dict other 1m;" }) do
      it("serve on until the first value under the new options is there: " .. http, function()
        start({ http = http })
        under_load(server, {
          patch({ config = { ttl = 31 } }),
          patch({ config = { token = OTHER } }),
          patch({ tags = { "a" }, description = "b" }),
          patch({ config = { port = other.port, resurrect_ttl = 0 } }),
          patch({ config = { ttl = 1, mount = "mount" } }),
          patch({ config = { base64_decode = false, ttl = cjson.null, port = one.port } }),
        })
        serves(server, "one of " .. one.port)
        assert.equal(204, (admin.call(server, "DELETE", "/vaults/mine")))
        assert.equal(502, server:get("/get").status)
        wait.eventually("the fields end with it", function()
          return server:get("/update").status == 500 and server:get("/update").status == 500
        end)
        assert.equal(0, server:stop("QUIT", 15))
        assert.same({}, server:flaws({ TOKEN, OTHER }))
      end)
    end

    it("serve the new value whatever a fetch under the old options brings later", function()
      start()
      one:route("/v1/secret/late", { gate = "late", status = 200, body = '{"data":{"value":"old"}}' })
      other:route("/v1/secret/late", { status = 200, body = '{"data":{"value":"new"}}' })
      local waits = server:ask "{vault://mine/late/value}"
      one:await("late", 1)
      patch({ config = { port = other.port } })()
      -- On a busy machine a worker may take its moment until it has read the change.
      local workers = {}
      wait.eventually("both workers have the new one", function()
        local pid, value = server:eval "return ngx.worker.pid(), require('kong.vault').get '{vault://mine/late/value}'"
        workers[pid] = value == "new" or nil
        local first = next(workers)
        return first and next(workers, first)
      end)
      one:open "late"
      assert.equal("old", (waits:read()))
      for _ = 1, 20 do
        assert.equal("new", (server:value "{vault://mine/late/value}"))
      end
    end)

    it("serve on after a failure under the new options, for `resurrect_ttl`, with a line in the log", function()
      start()
      for _, mount in ipairs({ "denied", "refused" }) do
        one:route(("/v1/%s/*"):format(mount), { status = 403, body = '{"errors":["permission denied"]}' })
      end
      local before = "one of " .. one.port
      under_load(server, { patch({ config = { mount = "denied", token = OTHER } }) }, 1)
      assert.is_true(one:count "/v1/denied/one" > 0)
      serves(server, before)
      wait.eventually("the log tells of it", function()
        return server
          :log()
          :find("hcv vault (mine) failed with its changed options, its cached values stay in use", 1, true)
      end)
      under_load(server, { patch({ config = { mount = "mount", token = TOKEN } }) }, 1)
      wait.eventually("and of its end", function()
        return server:log():find("hcv vault (mine) answers with its changed options", 1, true)
      end)
      patch({ config = { mount = "refused", resurrect_ttl = 0 } })()
      wait.eventually("none serves on after an outcome where none may", function()
        return server:get("/get").status == 502 and server:get("/update").status == 500
      end)
      assert.same({}, server:flaws({ TOKEN, OTHER }))
    end)

    it("serve on where the new options can't be used, and are as they were once those are mended", function()
      start()
      under_load(server, { patch({ config = { token = "{vault://env/none}" } }) })
      wait.eventually("the log tells of it", function()
        return server:log():find("the vault entity mine is not valid any more, its cached values stay in use", 1, true)
      end)
      assert.matches("without a value", select(2, server:value "{vault://mine/unknown/value}"), 1, true)
      under_load(server, { patch({ config = { token = TOKEN } }) })
      serves(server, "one of " .. one.port)
      assert.equal("value of unknown", (server:value "{vault://mine/unknown/value}"))
    end)

    it("keep nobody waiting whose values are there, though their reading hangs", function()
      start()
      local paths = { "/get", "/update" }
      local control = load.start(server, { paths = paths, connections = 4, rate = 100 })
      wait.pass(1)
      local quick = control:stop():percentile(99)
      local go_on = admin.stopped_writer(folder)
      local requests = load.start(server, { paths = paths, connections = 4, rate = 100 })
      -- What isn't there has to know where to ask.
      local missing = server:ask "{vault://mine/missing/value}"
      wait.pass(3)
      local samples = requests:stop()
      assert.same({}, samples:failures())
      assert.is_true(samples:percentile(100) < 0.1 + 2 * quick, samples:percentile(100))
      go_on()
      assert.equal("value of missing", (missing:read()))
      patch({ config = { port = other.port } })()
      serves(server, "one of " .. other.port)
    end)

    it("serve on where the backend itself is another", function()
      start({ env = { MINE_ONE = '{"value":"of the environment"}', MINE_TWO = '{"value":"of it","count":"1"}' } })
      under_load(server, {
        function()
          assert.equal(
            200,
            (admin.json(server, "PUT", "/vaults/mine", { name = "env", config = { prefix = "MINE_" } }))
          )
        end,
        function()
          assert.equal(200, (admin.json(server, "PUT", "/vaults/mine", entity(other))))
        end,
      })
      serves(server, "one of " .. other.port)
    end)
  end)

  describe("in Kong,", function()
    local LOAD = [[
      handler = require "kong.plugins.kong-vault.handler"
      entities[1] = { id = entities[1].id, prefix = "mine", name = "hcv",
        config = { port = {{vault}}, token = "{{token}}", ttl = 30 } }
      kong.vault.warmup({ vaults = { x = entities[1] } })
    ]]

    local function start()
      return in_kong.start(one, LOAD, {
        http = "lua_shared_dict kong_secrets 1m;",
        server = SERVER,
        init_worker = CONFIG .. [[
          kong.vault.init_worker()
          handler.init_worker()
        ]],
      })
    end

    -- How a change comes: from this node's Admin API, from another worker, by a look at the database, and as a whole
    -- configuration that is replaced (`POST /config`, a push of the control plane's, a declarative file).
    for what, tell in pairs({
      ["an event of this worker"] = [[ kong.post("crud.vaults") ]],
      ["an event of another worker"] = [[ kong.post("kong-vault.entities") ]],
      ["a look at the database"] = [[ require("kong.vault.gateway.entities").refresh() ]],
      ["a whole configuration"] = [[ kong.vault.flush() ]],
    }) do
      it("serve on after " .. what, function()
        local server = start()
        warm(server)
        local function change(lua)
          return function()
            server:eval(lua .. tell)
          end
        end
        under_load(server, {
          change [[ entities[1].config.ttl = 31 ]],
          change [[ entities[1].config.token = "another" ]],
          change [[ entities[1].tags = { "a" } ]],
          change(("entities[1].config.port = %d "):format(other.port)),
          change [[ entities[1].config.resurrect_ttl, entities[1].config.mount = 0, "mount" ]],
          change [[ entities[1].config.base64_decode, entities[1].config.ttl = false, nil ]],
        })
        serves(server, "one of " .. other.port)
        local is_whole = what == "a whole configuration"
        local requests = load.start(server, { paths = { "/get" }, connections = 1, rate = 50 })
        local told = socket.gettime()
        change [[ entities[1].prefix = "moved" ]]()
        assert.equal("two of " .. other.port, (server:value "{vault://moved/two/value}"))
        wait.eventually("the old name ends", function()
          return server:get("/get").status == 502 and server:get("/update").status == 500
        end)
        -- Kong serves by the old configuration for a while.
        local ended = socket.gettime() - told
        assert.is_true(not is_whole or ended > 4.5, ended)
        local failures = requests:stop():of("/get", told, told + (is_whole and 4.5 or 0)):failures()
        assert.same({}, failures)
        assert.same({}, server:flaws({ in_kong.TOKEN }))
      end)
    end
  end)
end)
