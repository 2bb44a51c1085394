-- The plugin as Kong calls it. A Kong itself can't be here; what it does in which order is known.

local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local in_kong = require "spec.support.in_kong"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

describe("in Kong,", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(init, more)
    return in_kong.start(vault, init, more)
  end

  describe("the plugin", function()
    local LOAD = [[
      before = kong.vault
      handler = require "kong.plugins.kong-vault.handler"
      kong.vault.warmup({
        vaults = { x = entities[1], y = entities[2] },
        plugins = { z = { key = "{vault://hcv/warm/value}", other = "{vault://mine/warm/value}" } },
      })
    ]]
    local WORKER = [[
      kong.vault.init_worker()
      handler.init_worker()
    ]]

    local function serving(more)
      local options = { init_worker = WORKER }
      for name, value in pairs(more or {}) do
        options[name] = value
      end
      return start(LOAD, options)
    end

    it("puts our functions into kong.vault in place, and has warmed up in init what Kong knows", function()
      local server = serving()
      assert.is_true(server:eval "return before == kong.vault and kong.vault.get == require('kong.vault').get")
      for _, reference in ipairs({ "{vault://hcv/warm/value}", "{vault://mine/warm/value}" }) do
        assert.equal("value of warm", (server:value(reference)))
      end
      assert.same({ 1, 1 }, { vault:count "/v1/secret/warm", vault:count "/v1/mine/warm" })
      assert.matches("%d+%.%d+%.%d+", server:eval "return handler.VERSION")
    end)

    it("leaves vaults of others to Kong", function()
      local server = serving()
      for _, reference in ipairs({ "{vault://custom/x}", "{vault://custom/x}" }) do
        assert.equal("of a custom vault", (server:eval("return kong.vault.get(...)", reference)))
      end
      assert.same(
        { "of a custom vault", "value of beside" },
        server:eval [[
        assert(kong.vault.get "{vault://hcv/beside/value}")
        local config = { ["$refs"] = { "{vault://custom/x}", "{vault://hcv/beside/value}" } }
        kong.vault.update(config)
        return { config[1], config[2] }
      ]]
      )
      assert.equal(
        "called",
        server:eval [[
        return kong.vault.try(function() return "called" end, { ["$refs"] = { "{vault://custom/x}" } })
      ]]
      )
      assert.is_true(server:eval "return kong.calls[#kong.calls - 1] == 'try'")
      assert.same({ nil, "could not find vault (nope)" }, { server:eval "return kong.vault.get '{vault://nope/x}'" })
    end)

    it("leaves the rotation of others' values to Kong, which sees its own keys alone", function()
      local server = serving({ http = "lua_shared_dict kong_secrets 1m;" })
      assert.equal("init_worker", server:eval "return kong.calls[#kong.calls]")
      assert.equal("value of shared", (server:value "{vault://hcv/shared/value}"))
      local seen, all = server:eval [[
        local dict, hash = ngx.shared.kong_secrets, ("h"):rep(22)
        dict:set(hash .. ".{vault://custom/x}", "x")
        dict:set(hash .. ".{vault://theirs/x}", "x")
        dict:set(hash .. ".{vault://hcv/shared/value}", "x")
        local seen = dict:get_keys(0)
        table.sort(seen)
        return seen, #getmetatable(dict).__index.get_keys(dict, 0)
      ]]
      local hash = ("h"):rep(22)
      assert.same({ hash .. ".{vault://custom/x}", hash .. ".{vault://theirs/x}" }, seen)
      assert.is_true(all > 3)
      server:eval [[ handler:configure({ { pdk = "off" } }) ]]
      assert.equal(3, #server:eval "return ngx.shared.kong_secrets:get_keys(0)")
    end)

    it("says once what is wrong in kong.conf, also what is misspelt, and leaves others' keys alone", function()
      local server = start([[
        kong = require("spec.support.kong_host").new({
          database = "off", vault_hcv_port = "{{vault}}", vault_hcv_token = "{{token}}",
          vault_aws_regoin = "x", vault_custom_x = "x",
        }, {})
      ]] .. LOAD, { init_worker = WORKER })
      assert.equal("value of x", (server:value "{vault://hcv/x/value}"))
      local log = server:log()
      assert.matches("kong.vault: unknown option regoin of the aws vault, set by Kong", log, 1, true)
      assert.is_nil(log:find("custom_x", 1, true))
      assert.matches("unknown option regoin", select(2, server:value "{vault://aws/x}"), 1, true)
    end)

    it("has the secrets of kong.conf in each worker from its start", function()
      local server = start([[
        kong.configuration = setmetatable({ ["$refs"] = { pg_password = "{vault://hcv/pg/value}", list = {} } },
          { __index = kong.configuration })
      ]] .. LOAD, {
        init_worker = [[
        pg = { pg_password = "", ["$refs"] = { pg_password = "{vault://hcv/pg/value}" } }
        kong.vault.update(pg)
      ]] .. WORKER,
      })
      assert.equal("value of pg", server:eval "return pg.pg_password")
    end)

    it("looks for an entity that nobody told of, and has all workers look when one was changed here", function()
      local server = serving()
      server:eval [[ entities[3] = { prefix = "late", name = "hcv", config = entities[1].config } ]]
      assert.equal("value of x", (server:value "{vault://late/x/value}"))
      assert.same({}, server:eval "return kong.posted")
      server:eval [[ entities[3] = nil; kong.post("crud.vaults") ]]
      assert.same({ "kong-vault.entities" }, server:eval "return kong.posted")
      assert.same({ nil, "could not find vault (late)" }, { server:value "{vault://late/x/value}" })
      server:eval [[ entities[1].prefix = "moved"; kong.post("kong-vault.entities") ]]
      assert.equal("value of x", (server:value "{vault://moved/x/value}"))
      -- Kong's own never hears of what is no other's: it would remember values of vaults that are ours.
      server:eval "assert(not table.concat(kong.calls, ' '):find 'late')"
    end)

    it("serves routes that Kong reads the same, whichever it comes to first", function()
      local server = start [[
        package.preload["kong.api.endpoints"] = function()
          return setmetatable({}, { __index = function() return function() return print end end })
        end
        kong.db.vaults.schema = {}
        api = require "kong.plugins.kong-vault.api"
      ]]
      server:eval [[
        for path, route in pairs(api) do
          assert(route.schema == kong.db.vaults.schema and next(route.methods), path)
        end
      ]]
    end)

    it("follows entities: events of this node, and a declarative configuration that is replaced", function()
      local server = serving()
      assert.same({ nil, "could not find vault (new)" }, { server:value "{vault://new/x/value}" })
      server:eval [[
        entities[1].prefix = "new"
        kong.post("crud.vaults")
      ]]
      assert.equal("value of x", (server:value "{vault://new/x/value}"))
      assert.same({ nil, "could not find vault (mine)" }, { server:value "{vault://mine/x/value}" })
      server:eval [[
        entities[1].config.mount = "newer"
        kong.vault.flush()
      ]]
      assert.equal("value of x", (server:value "{vault://new/x/value}"))
      wait.eventually("the changed entity is asked", function()
        return vault:count "/v1/newer/x" == 1
      end)
      assert.equal("flush", server:eval "return kong.calls[#kong.calls]")
    end)

    -- A control plane lacks the variables of its data planes.
    it("looks for an entity's token when entities have changed, not whenever they are read", function()
      local server = serving()
      server:eval [[ entities[1].config.token = "{vault://env/of-data-planes}"; kong.post("crud.vaults") ]]
      local fetches = server:stats().fetches
      server:eval [[ for _ = 1, 3 do kong.post("kong-vault.entities") end ]]
      assert.equal(fetches, server:stats().fetches)
      server:eval [[ entities[1].config.mount = "another"; kong.post("crud.vaults") ]]
      assert.equal(fetches + 1, server:stats().fetches)
    end)

    it("has no line of the audit log on what a control plane has a data plane change", function()
      local server = start([[
        local conf = getmetatable(kong.configuration).__index
        conf.vault_audit_log, conf.database, conf.role = "{{prefix}}/audit.json", "off", "data_plane"
      ]] .. LOAD, { init_worker = WORKER })
      server:eval [[ kong.db.vaults:post_crud_event("create", { id = "1", prefix = "mine", name = "env", config = {} }) ]]
      assert.equal("value of x", (server:value "{vault://hcv/x/value}"))
      local log = wait.eventually("a later line is there", function()
        local text = files.read(server.prefix .. "/audit.json")
        return text:find("{vault://hcv/x/value}", 1, true) and text
      end)
      assert.is_nil(log:find('"admin"', 1, true))
    end)

    it("takes an entity's token as it was written, and refuses what refers to another vault", function()
      local server = serving({ main = "env OF_MINE;", env = { OF_MINE = in_kong.TOKEN } })
      server:eval [[
        entities[1].config.token = "{vault://env/of-mine}"
        entities[3] = { prefix = "chained", name = "hcv",
          config = { port = entities[1].config.port, token = "{vault://hcv/of-chained/value}" } }
        kong.post("crud.vaults")
      ]]
      assert.equal("value of x", (server:value "{vault://mine/x/value}"))
      local value, err = server:value "{vault://chained/x/value}"
      assert.is_nil(value)
      assert.matches("environment", err, 1, true)
      assert.equal(0, vault:count "/v1/secret/of-chained")
    end)

    it("does not read entities anew for what Kong looks up while they are read", function()
      local server = serving()
      assert.equal(
        1,
        server:eval [[
        local reads, vaults = 0, kong.db.vaults
        local each = vaults.each
        function vaults.each(...)
          reads = reads + 1
          assert(reads < 10)
          require("kong.vault.gateway.entities").refresh()
          return each(...)
        end
        kong.post("kong-vault.entities")
        return reads
      ]]
      )
    end)

    it("goes on serving what Kong still serves by, when its whole configuration is replaced", function()
      local server = serving()
      for _, reference in ipairs({ "{vault://hcv/kept/value}", "{vault://mine/kept/value}" }) do
        assert.equal("value of kept", (server:value(reference)))
      end
      server:eval [[
        entities[1].prefix = "renamed"
        kong.vault.flush()
        config = { a = "", b = "", ["$refs"] = { a = "{vault://hcv/kept/value}", b = "{vault://mine/kept/value}" } }
        kong.vault.update(config)
      ]]
      assert.same({ "value of kept", "value of kept" }, server:eval "return { config.a, config.b }")
      assert.same({ 1, 1 }, { vault:count "/v1/secret/kept", vault:count "/v1/mine/kept" })
      assert.equal("value of kept", (server:value "{vault://renamed/kept/value}"))
      wait.eventually("the old one is gone, however often it is replaced again", function()
        return not server:eval [[
          kong.vault.flush()
          return (kong.vault.get "{vault://mine/kept/value}")
        ]]
      end)
      assert.same({ nil, "could not find vault (mine)" }, { server:value "{vault://mine/kept/value}" })
    end)

    local CERTIFICATES = [[
      forgotten, away, read = {}, false, 0
      kong.core_cache = { invalidate_local = function(_, key) forgotten[#forgotten + 1] = key end }
      kong.db.certificates = {
        cache_key = function(_, id) return "certificates:" .. id end,
        each = function()
          read = read + 1
          local rows = { { id = "in-order" }, { id = "lacking", ["$refs"] = { cert = "{vault://hcv/tls/value}" } } }
          return function()
            if away then
              return table.remove(rows) and false, "Kong's database is away"
            end
            local row = table.remove(rows)
            if row and row["$refs"] then
              kong.vault.get(row["$refs"].cert)
            end
            return row
          end
        end,
      }
    ]]

    it("has Kong forget one that a request asked for, also where its database is away meanwhile", function()
      vault:route("/v1/secret/tls", { status = 503, body = "{}" })
      local server = start(LOAD .. CERTIFICATES, { init_worker = WORKER })
      server:eval [[
        away = true
        kong.vault.get "{vault://hcv/tls/value}"
      ]]
      vault:route("/v1/secret/tls", nil)
      wait.eventually("the secret can be had", function()
        return server:value "{vault://hcv/tls/value}"
      end)
      wait.eventually("it was looked for in vain", function()
        return server:eval "return read > 0"
      end)
      assert.same({}, server:eval "return forgotten")
      server:eval "away = false"
      wait.eventually("Kong forgets it", function()
        return server:eval "return forgotten[1] == 'certificates:lacking'"
      end)
    end)

    it("has Kong forget a certificate whose secret could not be had, once it can", function()
      local pair = certs.authority("an authority").issue("placeholder", "DNS:localhost")
      vault:route("/v1/secret/tls", { status = 503, body = "{}" })
      local server = start(LOAD .. CERTIFICATES, {
        init_worker = WORKER,
        ports = { "tls" },
        server = ([[
          listen 127.0.0.1:{{tls}} ssl;
          ssl_certificate %s;
          ssl_certificate_key %s;
          ssl_certificate_by_lua_block { kong.vault.get "{vault://hcv/tls/value}" }
        ]]):format(pair.certificate, pair.key),
      })
      process.run({ command = { "openssl", "s_client", "-connect", "127.0.0.1:" .. server.vars.tls } })
      assert.same({}, server:eval "return forgotten")
      vault:route("/v1/secret/tls", nil)
      local forgotten = wait.eventually("Kong forgets it", function()
        local now = server:eval "return forgotten"
        return #now > 0 and now
      end)
      assert.same({ "certificates:lacking" }, forgotten)
    end)

    it("leaves Kong as it was where all vaults are off, and where the library can't be loaded", function()
      for _, init in ipairs({
        [[ kong.configuration = { loaded_vaults = {} } ]],
        [[ package.preload["kong.vault.native"] = function() error("no library", 0) end ]],
      }) do
        local server = start(init .. LOAD, { init_worker = WORKER })
        assert.same({ "of a custom vault" }, { server:eval "return kong.vault.get '{vault://custom/x}'" })
        server:eval "handler:configure(nil)"
        assert.equal("get {vault://custom/x}", server:eval "return kong.calls[#kong.calls]")
      end
    end)
  end)
end)
