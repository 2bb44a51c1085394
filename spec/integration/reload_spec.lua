-- Options that change by a reload: nothing that had a value is without one in the new workers, which know nothing yet.

local change = require "spec.support.change"
local cleanup = require "spec.support.cleanup"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local SERVER, CONFIG, serves, warm = change.SERVER, change.CONFIG, change.serves, change.warm

local TOKEN, OTHER = "t0ken-of-before", "t0ken-of-after"

describe("options that change by a reload,", function()
  local one, other

  setup(function()
    one, other = change.vaults()
  end)

  before_each(function()
    change.route({ one, other })
  end)

  teardown(cleanup.run)

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
      local requests = load.start(server, { paths = { "/update", "/get" }, connections = 4, rate = 200, close = true })
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
        :find("hcv vault (hcv) failed with its changed options, its cached values stay in use", 1, true)
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
