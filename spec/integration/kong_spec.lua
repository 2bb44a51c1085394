-- The strategies and the plugin as Kong calls them. A Kong itself can't be here; what it does in which order is known.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local TOKEN = "t0ken-of-kong"

describe("in Kong,", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local HOST = [[
    entities = {
      { id = "7f1d4b0e-2f2e-4d8a-9d2c-0c7a8d7a2f10", prefix = "mine", name = "hcv", tags = ngx.null,
        config = { port = {{vault}}, token = "{{token}}", mount = "mine", ttl = ngx.null, ["$refs"] = { token = "x" } } },
      { id = "7f1d4b0e-2f2e-4d8a-9d2c-0c7a8d7a2f11", prefix = "theirs", name = "custom", config = {} },
    }
    kong = require("spec.support.kong_host").new({
      database = "postgres", role = "traditional", db_update_frequency = 3600,
      vault_hcv_port = "{{vault}}", vault_hcv_token = "{{token}}", vault_hcv_decode_base64 = "false",
    }, entities)
  ]]

  local function start(init, more)
    local options =
      { vars = { vault = vault.port, token = TOKEN }, init = HOST .. init, env = { KONG_VAULTS = "all,of,them" } }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return nginx.start(options)
  end

  describe("a strategy", function()
    local LOAD = [[
      strategy = require "kong.vaults.hcv.init"
      strategy.init()
    ]]
    local CONFIG = "{ port = %d, token = '" .. TOKEN .. "', kv = 'v1', ttl = 60 }"

    local function get(server, config, resource)
      return server:eval(("return strategy.get(%s, %q, 1)"):format(config, resource))
    end

    local function config()
      return CONFIG:format(vault.port)
    end

    it("fetches a whole document in init, in a timer and in a request, a new one each time", function()
      local server = start(LOAD .. [[
        in_init = { strategy.get({ port = {{vault}}, token = "{{token}}" }, "in-init") }
        assert(strategy.VERSION == require("kong.vault")._VERSION)
      ]], {
        init_worker = [[
          ngx.timer.at(0, function()
            in_timer = { strategy.get({ port = {{vault}}, token = "{{token}}" }, "in-timer") }
          end)
        ]],
      })
      assert.matches('"value":"value of in-init"', (server:eval "return in_init[1], in_init[2]"), 1, true)
      wait.eventually("the timer has it", function()
        return server:eval "return in_timer ~= nil"
      end)
      assert.matches('"value":"value of in-timer"', (server:eval "return in_timer[1], in_timer[2]"), 1, true)
      for count = 1, 3 do
        local value = get(server, config(), "fresh")
        assert.matches(('"count":"%d"'):format(count), value, 1, true)
      end
    end)

    it("gives the bare reason, as Kong puts words of its own around it", function()
      local server = start(LOAD)
      vault:route("/v1/secret/gone", { status = 404, body = '{"errors":[]}' })
      local value, err = get(server, config(), "gone")
      assert.is_nil(value)
      assert.matches("^hcv vault %(hcv%) at 127.0.0.1:%d+: there is no secret/gone", err)
    end)

    it("sends nothing to where the operator named no vault", function()
      local server = start(LOAD)
      for _, evil in ipairs({ "host = '127.0.0.2'", "mount = 'other'", "namespace = 'x'", "protocol = 'https'" }) do
        local value, err = get(server, ("{ port = %d, token = 'x', %s }"):format(vault.port, evil), "evil")
        assert.is_nil(value)
        assert.matches("may not set where the vault is or who we are", err, 1, true)
      end
      assert.equal(0, vault:count "/v1/secret/evil")
      local value = get(server, ("{ port = %d, token = 'x', mount = 'mine' }"):format(vault.port), "of-an-entity")
      assert.matches("value of of-an-entity", value, 1, true)
      vault:route("/v1/secret/short", { body = '{"data":{"value":"x"},"lease_duration":30,"lease_id":"secret/1"}' })
      assert.same({ 30 }, { select(3, get(server, config(), "short")) })
    end)

    it("looks up what is a reference in kong.conf itself, and trusts who runs Kong's command line", function()
      local server = start(LOAD .. [[ ngx.IS_CLI = true ]], { main = "env OF_VAULT;", env = { OF_VAULT = TOKEN } })
      local options = ("{ port = %d, mount = 'cli', token = '{vault://env/of-vault}' }"):format(vault.port)
      assert.matches("value of x", (get(server, options, "x")))
      assert.equal(1, vault:count "/v1/cli/x")
      local _, err = get(server, options:gsub("of%-vault", "nowhere"), "x")
      assert.matches("has no environment variable NOWHERE", err)
    end)

    it("decodes base64 where Kong can't know which field is asked for", function()
      local server = start(LOAD)
      vault:route("/v1/secret/coded", { body = '{"data":{"a":"aGVsbG8=","b":"~"}}' })
      local value = get(server, ("{ port = %d, token = 'x', base64_decode = true }"):format(vault.port), "coded")
      assert.same({ a = "hello", b = "~" }, require("cjson").decode(value))
    end)

    it("is there without its library, and says so when it is asked", function()
      local server = start([[
        package.preload["kong.vault.native"] = function() error("no library", 0) end
      ]] .. LOAD .. [[ schema = require "kong.vaults.hcv.schema" ]])
      local value, err = get(server, config(), "x")
      assert.is_nil(value)
      assert.matches("native library of kong.vault can.t be loaded", err)
      assert.equal("hcv", server:eval "return schema.name")
      local _, lines = server:log():gsub("%d: %[lua%][^\n]*no library", "")
      assert.equal(1, lines)
    end)
  end)

  it("a schema has all options, with Kong's types and our checks", function()
    local server = start ""
    local fields = server:eval [[
      local native, found = require "kong.vault.native", {}
      for _, backend in ipairs(native.backends) do
        local schema = require("kong.vault.strategy").schema(backend)
        local fields = schema.fields[1].config.fields
        assert(schema.name == backend and #fields == #native.options(backend))
        for _, field in ipairs(fields) do
          local name, spec = next(field)
          local refusal
          if spec.custom_validator then
            refusal = { select(2, spec.custom_validator("a b\n")) }
            spec.custom_validator = nil
          end
          found[backend .. "." .. name] = { spec = spec, refusal = refusal }
        end
      end
      return found
    ]]
    local token, port = fields["hcv.token"], fields["hcv.port"].spec
    assert.is_true(token.spec.referenceable and token.spec.encrypted)
    assert.same({ "has to be printable ASCII without spaces" }, token.refusal)
    assert.same({ "integer", 8200, { 1, 65535 } }, { port.type, port.default, port.between })
    assert.same({ "v1", "v2" }, fields["hcv.kv"].spec.one_of)
    assert.same({ "boolean", true }, { fields["aws.ssl_verify"].spec.type, fields["aws.ssl_verify"].spec.default })
    assert.same(
      { "array", "string" },
      { fields["hcv.redirect_hosts"].spec.type, fields["hcv.redirect_hosts"].spec.elements.type }
    )
    assert.equal("number", fields["aws.ttl"].spec.type)
    for name, field in pairs(fields) do
      assert.is_string(field.spec.description, name)
    end
    assert.same(
      { if_match = { eq = "approle" }, then_match = { required = true } },
      server:eval [[
        for _, check in ipairs(require("kong.vaults.hcv.schema").fields[1].config.entity_checks) do
          local it = check.conditional
          if it and it.if_field == "auth_method" and it.then_field == "approle_role_id" then
            return { if_match = it.if_match, then_match = it.then_match }
          end
        end
      ]]
    )
  end)

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
          vault_aws_regoin = "x", vault_custom_x = "x", vault_gcp_project_id = "x",
        }, {})
      ]] .. LOAD, { init_worker = WORKER })
      assert.equal("value of x", (server:value "{vault://hcv/x/value}"))
      local log = server:log()
      assert.matches("kong.vault: unknown option regoin of the aws vault, set by Kong", log, 1, true)
      assert.is_nil(log:find("custom_x", 1, true) or log:find("gcp_", 1, true))
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
      assert.equal(1, vault:count "/v1/newer/x")
      assert.equal("flush", server:eval "return kong.calls[#kong.calls]")
    end)

    it("gives Kong its own functions back where its configuration says off, and takes them again", function()
      local server = serving()
      assert.equal(
        "Kong's",
        server:eval [[
        handler:configure({ { pdk = "off" } })
        kong.vault.get "{vault://custom/x}"
        return kong.vault.get == require("kong.vault").get and "ours" or "Kong's"
      ]]
      )
      assert.equal(
        "ours",
        server:eval [[
        handler:configure(nil)
        return kong.vault.get == require("kong.vault").get and "ours" or "Kong's"
      ]]
      )
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

  it("the files of strategies and plugin are where Kong looks", function()
    for _, backend in ipairs({ "aws", "hcv" }) do
      assert.is_true(files.exists(("lua/kong/vaults/%s/init.lua"):format(backend)))
      assert.is_true(files.exists(("lua/kong/vaults/%s/schema.lua"):format(backend)))
    end
    for _, name in ipairs({ "handler", "schema", "api" }) do
      assert.is_true(files.exists(("lua/kong/plugins/kong-vault/%s.lua"):format(name)))
    end
  end)
end)
