-- Vault entities that change under load, by each route: nothing that had a value is without one until it ends.

local cjson = require "cjson"

local admin = require "spec.support.admin"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local in_kong = require "spec.support.in_kong"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
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
    local server

    local function start(options)
      local folder = admin.folder()
      server = admin.start(folder, {
        workers = 2,
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
  end)
end)
