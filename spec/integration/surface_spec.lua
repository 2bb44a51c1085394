-- The rest of `require "kong.vault"` in nginx: configure, install, warmup, flush, stats.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local TOKEN = "t0ken-of-the-surface"

local LOAD = [[ require "kong.vault" ]]

describe("kong.vault in nginx", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(options)
    options.vars = { vault = vault.port, token = TOKEN }
    return nginx.start(options)
  end

  local function with_vault(more)
    local env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_HCV_TOKEN = TOKEN }
    for name, value in pairs(more or {}) do
      env[name] = value
    end
    return start({ init = LOAD, env = env })
  end

  describe("configure", function()
    it("takes the keys of kong.conf in init_by_lua, and the environment wins over it", function()
      local server = start({
        env = { KONG_VAULT_ENV_PREFIX = "SPEC_", SPEC_NAME = "by the environment", OTHER_NAME = "by configure" },
        init = [[
          local vault = require "kong.vault"
          assert(vault.configure({
            vaults = { "env", "hcv" },
            vault_hcv_port = {{vault}},
            vault_hcv_token = "{{token}}",
            vault_hcv_ttl = 60,
            vault_env_prefix = "OTHER_",
          }))
          local ok, err = vault.configure({})
          assert(not ok and err:find "configured already")
        ]],
      })
      assert.equal("value of configured", (server:value "{vault://hcv/configured/value}"))
      assert.equal("by the environment", (server:value "{vault://env/name}"))
      assert.same({ nil, "could not find vault (aws)" }, { server:value "{vault://aws/x}" })
      local ok, err = server:eval "return require('kong.vault').configure({})"
      assert.is_nil(ok)
      assert.matches("configured already", err)
    end)

    it("needs nothing but the environment", function()
      local server = with_vault({ KONG_VAULTS = "hcv" })
      assert.equal("value of bare", (server:value "{vault://hcv/bare/value}"))
      assert.same({ nil, "could not find vault (env)" }, { server:value "{vault://env/x}" })
    end)

    it("keeps nginx from starting with an option that is wrong, and says which", function()
      for key, value in pairs({ vault_hcv_nope = "1", vault_hcv_port = '"many"', vaults = '"nope"', nope = "1" }) do
        local init = [[ assert(require("kong.vault").configure({ %s = %s, vault_hcv_token = "{{token}}" })) ]]
        local started, err = pcall(start, { init = init:format(key, value) })
        assert.is_false(started)
        assert.matches(key, err, 1, true)
        assert.is_nil(err:find(TOKEN, 1, true))
      end
    end)

    it("bounds the cache", function()
      local server = with_vault({ KONG_VAULT_CACHE_SIZE = "2" })
      for _, name in ipairs({ "a", "b", "c" }) do
        assert.equal("1", (server:value(("{vault://hcv/bounded-%s/count}"):format(name))))
      end
      assert.equal(2, server:stats().entries)
      assert.equal("1", (server:value "{vault://hcv/bounded-c/count}"))
      assert.equal("2", (server:value "{vault://hcv/bounded-a/count}"))
    end)
  end)

  it("install gives plugins kong.vault, or takes over what is there", function()
    local server = start({
      env = { KONG_VAULT_HCV_PORT = vault.port },
      init = [[
        kong = require("kong.vault").install({})
        theirs = { vault = { get = function() return "theirs" end, other = "kept" } }
        before = theirs.vault
        require("kong.vault").install(theirs)
      ]],
    })
    assert.equal("value of installed", server:eval 'return kong.vault.get "{vault://hcv/installed/value}"')
    assert.is_true(server:eval 'return kong.vault.is_reference "{vault://hcv/x}"')
    assert.equal("kept", server:eval "return before == theirs.vault and theirs.vault.other")
    assert.equal("value of installed", server:eval 'return before.get "{vault://hcv/installed/value}"')
  end)

  it("misuse raises where the user's code is", function()
    local server = with_vault()
    for _, call in ipairs({ "get(nil)", "get(1)", "get({})", "parse_reference(true)", "warmup('x')" }) do
      local raised, err = server:eval(([[
        local ok, err = pcall(function() require("kong.vault").%s end)
        return not ok, err
      ]]):format(call))
      assert.is_true(raised)
      assert.matches("^eval:1: bad argument #1 to", err)
    end
  end)

  describe("warmup", function()
    it("has all references of a table fetched side by side, each document once", function()
      local server = with_vault()
      vault:route("/v1/secret/warm-*", { gate = "warm" })
      local warming = server:begin [[
        local config = { list = {}, ["{vault://hcv/warm-key/value}"] = true }
        for i = 1, 10 do
          local document = "{vault://hcv/warm-" .. i
          config.list[i] = { value = document .. "/value}", count = document .. "/count}" }
        end
        config.itself = config
        return require("kong.vault").warmup(config)
      ]]
      vault:await("warm", 11)
      vault:open "warm"
      assert.same({ true, nil }, { warming.read() })
      assert.equal("value of warm-10", (server:value "{vault://hcv/warm-10/value}"))
      assert.equal(11, vault:count "/v1/secret/warm-*")
    end)

    it("says how many have no value, and why the first has none", function()
      local server = with_vault()
      vault:route("/v1/secret/cold", { status = 404, body = '{"errors":[]}' })
      local ok, err = server:eval [[
        return require("kong.vault").warmup({ "{vault://hcv/warmer/value}", "{vault://hcv/cold/value}" })
      ]]
      assert.is_nil(ok)
      assert.matches("^1 of 2 references have no value, the first: could not get value .*secret/cold", err)
    end)

    it("in init_worker serves the phases that can't wait", function()
      local server = start({
        env = { KONG_VAULT_HCV_PORT = vault.port },
        init = LOAD,
        init_worker = [[ assert(require("kong.vault").warmup({ "{vault://hcv/early/value}" })) ]],
        server = [[
          location /header {
            header_filter_by_lua_block { ngx.header.x_value = require("kong.vault").get "{vault://hcv/early/value}" }
            return 200;
          }
        ]],
      })
      assert.equal("value of early", server:get("/header").headers["x-value"])
      assert.equal(1, vault:count "/v1/secret/early")
    end)
  end)

  it("a worker that is busy after a flush starts once more the fetch that it asks for, and waits for it", function()
    local server = with_vault()
    vault:route("/v1/secret/busy", { delay = 0.2 })
    assert.equal("value of busy", (server:value "{vault://hcv/busy/value}"))
    local value, err = server:eval [[
      local vault = require "kong.vault"
      vault.flush()
      -- Long enough for the next call to be allowed to start the fetch, while the event for the listener still waits.
      local deadline = ngx.now() + 1.2
      repeat ngx.update_time() until ngx.now() > deadline
      return vault.get "{vault://hcv/busy/value}"
    ]]
    assert.equal("value of busy", value, err)
    assert.equal(2, vault:count "/v1/secret/busy")
  end)

  it("flush drops what is known and has it fetched again before anybody asks", function()
    local server = with_vault()
    for i = 1, 5 do
      assert.equal("1", (server:value(("{vault://hcv/flushed-%d/count}"):format(i))))
    end
    assert.is_true(server:eval "return require('kong.vault').flush()")
    wait.eventually("all that was known is fetched again", function()
      return vault:count "/v1/secret/flushed-*" == 10 and server:stats().entries == 5
    end)
    for i = 1, 5 do
      assert.equal("2", (server:value(("{vault://hcv/flushed-%d/count}"):format(i))))
    end
    assert.equal(10, vault:count "/v1/secret/flushed-*")
  end)

  it("stats counts, accounts for bytes, and holds no secret", function()
    local server = with_vault()
    local before = server:stats()
    assert.same({ 0, 0, 0 }, { before.entries, before.bytes, before.fetching })
    vault:route("/v1/secret/weighty", { body = cjson.encode({ data = { value = ("w31ght"):rep(10000) } }) })
    vault:route("/v1/secret/going-on", { gate = "going-on" })
    assert.equal(60000, #server:value "{vault://hcv/weighty/value}")
    local request = server:ask "{vault://hcv/going-on/value}"
    vault:await("going-on", 1)
    local stats = server:stats()
    assert.same({ 1, 1, 2 }, { stats.entries, stats.fetching, stats.fetches })
    assert.is_true(stats.bytes > 60000 and stats.bytes < 250000)
    vault:open "going-on"
    request.read()
    stats = server:stats()
    assert.same({ 2, 0, 2 }, { stats.entries, stats.fetching, stats.fetches })
    local text = cjson.encode(stats)
    for _, secret in ipairs({ "w31ght", TOKEN, "value of" }) do
      assert.is_nil(text:find(secret, 1, true))
    end
  end)

  it("_VERSION is the library's and the rock's", function()
    assert.matches("^%d+%.%d+%.%d+", (with_vault():eval "return require('kong.vault')._VERSION"))
  end)
end)

describe("kong.vault in nginx's stream subsystem", function()
  it("gives values in preread", function()
    pending "Debian has no nginx module for Lua in the stream subsystem"
  end)
end)
