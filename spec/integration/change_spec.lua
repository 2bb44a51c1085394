-- Vault entities that change under load, by each route: nothing that had a value is without one until it ends.

local cjson = require "cjson"
local socket = require "socket"

local admin = require "spec.support.admin"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local in_kong = require "spec.support.in_kong"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local TOKEN, OTHER = "t0ken-of-before", "t0ken-of-after"

-- How far away the vaults are, in seconds.
local AWAY = 0.2

-- Each worker's own configuration, as plugins have theirs, with fields of several documents.
local SERVER = [[
  location = /update {
    content_by_lua_block {
      local config = require("spec.support.inside").config
      require("kong.vault").update(config)
      for name in pairs(config["$refs"]) do
        if config[name] == "" then
          return ngx.exit(500)
        end
      end
      ngx.header.content_length = #config.one
      ngx.print(config.one)
    }
  }
  location = /get {
    content_by_lua_block {
      local value, err = require("kong.vault").get "{vault://mine/one/value}"
      if not value then
        ngx.status, value = 502, err
      end
      ngx.header.content_length = #value
      ngx.print(value)
    }
  }
]]

local CONFIG = [[
  require("spec.support.inside").config = {
    one = "", two = "", long = "", ["$refs"] = {
      one = "{vault://mine/one/value}", two = "{vault://mine/two/value?ttl=20}", long = "{vault://mine/two/count}",
    },
  }
]]

describe("vault entities that change,", function()
  local one, other

  setup(function()
    one, other = fake.start(), fake.start()
  end)

  before_each(function()
    for _, vault in ipairs({ one, other }) do
      for _, mount in ipairs({ "secret", "mount" }) do
        for _, name in ipairs({ "one", "two" }) do
          local body = cjson.encode({ data = { value = ("%s of %s"):format(name, vault.port), count = "1" } })
          vault:route(("/v1/%s/%s"):format(mount, name), { status = 200, body = body, delay = AWAY })
        end
      end
    end
  end)

  teardown(cleanup.run)

  -- Until every worker has both documents.
  local function warm(server)
    wait.eventually("all workers have them", function()
      for _ = 1, 20 do
        if server:get("/update").status ~= 200 then
          return false
        end
      end
      return server:get("/get").status == 200
    end)
  end

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

  local function serves(server, text)
    wait.eventually("what is asked for now is served", function()
      for _ = 1, 10 do
        if server:get("/update").body ~= text or server:get("/get").body ~= text then
          return false
        end
      end
      return true
    end)
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
          :find("hcv vault (mine) can't be asked with its changed options, its values of before", 1, true)
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
        return server:log():find("the vault entity mine can't be used any more, its values of before serve on", 1, true)
      end)
      assert.matches("without a value", select(2, server:value "{vault://mine/unknown/value}"), 1, true)
      under_load(server, { patch({ config = { token = TOKEN } }) })
      serves(server, "one of " .. one.port)
      assert.equal("value of unknown", (server:value "{vault://mine/unknown/value}"))
    end)

    -- A writer whose disk hangs: it has the lock and has said that it is at work. Returns what ends that.
    local function hang(place)
      local locked = place .. "/.lock"
      local writer = process.start({ command = { "flock", locked, "sleep", "600" } })
      wait.eventually("it has the lock", function()
        return (process.run({ command = { "flock", "-n", locked, "true" } })) ~= 0
      end)
      local file = assert(io.open(place .. "/.changes", "r+b"))
      local first = file:read(1):byte()
      file:seek("set", 0)
      file:write(string.char(first + 1))
      file:close()
      return function()
        for _, child in ipairs(process.children(writer.pid)) do
          process.send(child, "KILL")
        end
        writer:stop()
      end
    end

    it("keep nobody waiting whose values are there, though their reading hangs", function()
      start()
      local paths = { "/get", "/update" }
      local control = load.start(server, { paths = paths, connections = 4, rate = 100 })
      wait.pass(1)
      local quick = control:stop():percentile(99)
      local go_on = hang(folder)
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

  describe("at a reload, in workers that know nothing yet,", function()
    -- By `configure`, and by a file of entities that the next reload reads.
    local WAYS = {
      configure = {
        init = [[
          local conf = { vault_hcv_token = "{{token}}" }
          for name, value in pairs({{conf}}) do conf["vault_hcv_" .. name] = value end
          assert(require("kong.vault").configure(conf))
        ]],
        vault = "hcv",
      },
      ["a file of entities"] = {
        init = [[
          local conf = { token = "{{token}}" }
          for name, value in pairs({{conf}}) do conf[name] = value end
          local text = require("cjson").encode({ vaults = { { prefix = "mine", name = "hcv", config = conf } } })
          local file = assert(io.open("{{prefix}}/vaults.json", "w"))
          assert(file:write(text))
          file:close()
          assert(require("kong.vault").configure({ vault_declarative_config = "{{prefix}}/vaults.json" }))
        ]],
        vault = "mine",
      },
    }

    local function options(way, conf)
      local texts = {}
      for name, value in pairs(conf) do
        texts[#texts + 1] = ("%s = %q"):format(name, tostring(value))
      end
      local named = "vault://" .. WAYS[way].vault .. "/"
      return {
        vars = { token = TOKEN },
        workers = 2,
        http = "lua_shared_dict kong_secrets 1m;",
        server = SERVER:gsub("vault://mine/", named),
        init = WAYS[way].init:gsub("{{conf}}", function()
          return "{" .. table.concat(texts, ",") .. "}"
        end),
        init_worker = CONFIG:gsub("vault://mine/", named) .. [[ require("kong.vault").init_worker() ]],
      }
    end

    -- Reloads in turn while requests come on new connections.
    local function reload_under_load(server, way, confs)
      for _, conf in ipairs(confs) do
        -- Past the shortest of these: what the others left is stale then.
        wait.pass(1.2)
        local requests =
          load.start(server, { paths = { "/update", "/get" }, connections = 4, rate = 200, close = true })
        server:reload(options(way, conf))
        wait.pass(0.5)
        assert.same({}, requests:stop():failures())
      end
    end

    it("serve on where only times changed", function()
      local server = nginx.start(options("configure", { port = one.port, ttl = 30 }))
      warm(server)
      reload_under_load(server, "configure", {
        { port = one.port, ttl = 31 },
        { port = one.port, ttl = 1 },
        { port = one.port, ttl = 30 },
      })
      assert.same({}, server:flaws({ TOKEN }))
    end)

    local CHANGES = {
      configure = {
        { port = "other", ttl = 30 },
        { port = "other", token = OTHER, ttl = 30, resurrect_ttl = 0 },
        { port = "other", token = OTHER, ttl = 1, mount = "mount" },
        -- As it was at first, which is a change as well.
        { port = "one", neg_ttl = 5 },
        { port = "other", host = "localhost", ttl = 30 },
      },
      ["a file of entities"] = {
        { port = "one", mount = "mount", ttl = 30 },
        { port = "other", token = OTHER, ttl = 30, resurrect_ttl = 0 },
      },
    }

    for way, changes in pairs(CHANGES) do
      it("serve on until the first value under the new options is there: " .. way, function()
        local server = nginx.start(options(way, { port = one.port, ttl = 30 }))
        warm(server)
        for _, conf in ipairs(changes) do
          conf.port = conf.port == "one" and one.port or other.port
        end
        reload_under_load(server, way, changes)
        serves(server, "one of " .. other.port)
        assert.same({}, server:flaws({ TOKEN, OTHER }))
      end)
    end

    it("serve on after a failure under the new options, as long as they may, with a line in the log", function()
      for _, mount in ipairs({ "denied", "gone" }) do
        one:route(("/v1/%s/*"):format(mount), { status = 403, body = '{"errors":["permission denied"]}' })
      end
      local server = nginx.start(options("configure", { port = one.port, ttl = 30 }))
      warm(server)
      reload_under_load(server, "configure", { { port = one.port, mount = "denied", ttl = 30 } })
      serves(server, "one of " .. one.port)
      wait.eventually("the log tells of it", function()
        return server
          :log()
          :find("hcv vault (hcv) can't be asked with its changed options, its values of before", 1, true)
      end)
      -- Until the first outcome, where none may serve longer.
      server:reload(options("configure", { port = one.port, mount = "gone", ttl = 30, resurrect_ttl = 0 }))
      wait.eventually("none serves on after an outcome where none may", function()
        return server:get("/get").status == 502 and server:get("/update").status == 500
      end)
      for _ = 1, 20 do
        assert.equal(502, server:get("/get").status)
      end
      assert.same({}, server:flaws({ TOKEN }))
    end)

    it("wait for the new value where it is waited for on purpose, and never have one of before a flush", function()
      local server = nginx.start(options("configure", { port = one.port, ttl = 30 }))
      warm(server)
      local again = options("configure", { port = other.port, ttl = 30 })
      again.init_worker = [[
        local vault = require "kong.vault"
        assert(vault.warmup({ "{vault://hcv/one/value}" }))
        warmed = vault.get "{vault://hcv/one/value}"
        vault.flush()
      ]] .. again.init_worker
      server:reload(again)
      for _ = 1, 10 do
        assert.equal("one of " .. other.port, (server:eval "return warmed"))
        assert.equal("two of " .. other.port, (server:value "{vault://hcv/two/value}"))
      end
      assert.same({}, server:flaws({ TOKEN }))
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
      ["a look at the database"] = [[ require("kong.vault.entities").refresh() ]],
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
