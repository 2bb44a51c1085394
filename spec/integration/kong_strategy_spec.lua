-- The strategies as Kong calls them. A Kong itself can't be here; what it does in which order is known.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local in_kong = require "spec.support.in_kong"
local wait = require "spec.support.wait"

local TOKEN = in_kong.TOKEN

describe("in Kong,", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(init, more)
    return in_kong.start(vault, init, more)
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
        assert.matches("may not set its server or credentials", err, 1, true)
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
      server:eval [[ database, kong.db = kong.db, nil ]]
      assert.matches("value of x", (get(server, options, "x")))
      assert.equal(1, vault:count "/v1/cli/x")
      local _, err = get(server, options:gsub("of%-vault", "nowhere"), "x")
      assert.matches("has no environment variable NOWHERE", err)
      -- With kong.conf read and a database, a reference may be a file's that somebody else wrote.
      server:eval [[ kong.db = database ]]
      local value = get(server, options:gsub("'cli'", "'foreign'"), "x")
      assert.is_nil(value)
      assert.equal(0, vault:count "/v1/foreign/x")
    end)

    it("reads no variable for what serves, however its options come", function()
      local server = start(LOAD, { main = "env OF_VAULT;", env = { OF_VAULT = TOKEN } })
      local options = ("{ port = %d, mount = 'mine', token = '{vault://env/of-vault}' }"):format(vault.port)
      assert.is_nil((get(server, options, "served")))
      assert.equal(0, vault:count "/v1/mine/served")
    end)

    it("takes options from the environment while Kong reads kong.conf and hands none over", function()
      local server = start(LOAD .. [[
        kong = nil
        in_init = { strategy.get({}, "by-the-environment") }
        spelt = { strategy.get({ tls_verify = false }, "spelt-otherwise") }
      ]], {
        env = {
          KONG_VAULT_HCV_PORT = tostring(vault.port),
          KONG_VAULT_HCV_MOUNT = "environment",
          KONG_VAULT_HCV_TLS_VERIFY = "false",
          KONG_VAULT_HCV_TOKEN = "{vault://env/of-vault}",
          OF_VAULT = TOKEN,
        },
      })
      assert.matches("value of by-the-environment", (server:eval "return in_init[1], in_init[2]"), 1, true)
      assert.equal(1, vault:count "/v1/environment/by-the-environment")
      assert.matches("value of spelt-otherwise", (server:eval "return spelt[1], spelt[2]"), 1, true)
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
      assert.matches("cannot load the native library of kong.vault", err)
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
        local schema = require("kong.vault.gateway.strategy").schema(backend)
        local fields = schema.fields[1].config.fields
        assert(schema.name == backend and #fields == #native.options(backend))
        for _, field in ipairs(fields) do
          local name, spec = next(field)
          local refusal
          if spec.custom_validator then
            refusal = { select(2, spec.custom_validator("a b\n")), (spec.custom_validator "") or false }
            spec.custom_validator = nil
          end
          found[backend .. "." .. name] = { spec = spec, refusal = refusal }
        end
      end
      return found
    ]]
    local token, port = fields["hcv.token"], fields["hcv.port"].spec
    assert.is_true(token.spec.referenceable and token.spec.encrypted)
    -- What may hold a key beside something else, Kong's keyring is to encrypt as well.
    for _, name in ipairs({ "client_cert", "cert_auth_cert", "ca_cert", "oauth2_ca_cert", "oauth2_token_endpoint" }) do
      local spec = fields["hcv." .. name].spec
      assert.same({ true, nil }, { spec.encrypted, spec.referenceable }, name)
    end
    assert.is_nil(fields["hcv.host"].spec.encrypted)
    assert.same({ "must be printable ASCII without spaces", true }, token.refusal)
    -- What can't be a reference isn't empty because of one; where there is no default, an empty text is none.
    assert.is_false(fields["hcv.host"].refusal[2] or fields["hcv.mount"].refusal[2])
    assert.is_true(fields["hcv.namespace"].refusal[2] and fields["aws.region"].refusal[2])
    -- With `ttl` beside it, Kong's own functions read no newer value for both together.
    assert.is_nil(fields["hcv.resurrect_ttl"].spec.default)
    assert.same({ "integer", 8200, { 1, 65535 } }, { port.type, port.default, port.between })
    assert.same({ "v1", "v2" }, fields["hcv.kv"].spec.one_of)
    assert.same({ "boolean", true }, { fields["aws.ssl_verify"].spec.type, fields["aws.ssl_verify"].spec.default })
    assert.same(
      { "array", "string" },
      { fields["hcv.redirect_hosts"].spec.type, fields["hcv.redirect_hosts"].spec.elements.type }
    )
    assert.equal("number", fields["aws.ttl"].spec.type)
    -- A backend may have another default than all, as Kong's has.
    assert.same({ "number", 3600 }, { fields["azure-certs.ttl"].spec.type, fields["azure-certs.ttl"].spec.default })
    assert.is_nil(fields["azure.ttl"].spec.default)
    assert.same({ "secrets" }, fields["azure.type"].spec.one_of)
    -- Kong writes defaults into entities, and no entity may set what the operator alone can.
    assert.is_nil(fields["azure.verify_challenge_resource"].spec.default)
    for name, field in pairs(fields) do
      assert.is_string(field.spec.description, name)
    end
    assert.same(
      {
        approle_role_id = { if_match = { eq = "approle" }, then_match = { required = true } },
        kube_role = { if_match = { eq = "kubernetes" }, then_match = { required = true, len_min = 1 } },
      },
      server:eval [[
        local found = {}
        for _, check in ipairs(require("kong.vaults.hcv.schema").fields[1].config.entity_checks) do
          local it = check.conditional
          if it and it.if_field == "auth_method" and (it.then_field == "approle_role_id" or it.then_field == "kube_role") then
            found[it.then_field] = { if_match = it.if_match, then_match = it.then_match }
          end
        end
        return found
      ]]
    )
  end)

  it("the files of strategies and plugin are where Kong looks", function()
    for _, backend in ipairs({ "aws", "azure", "azure-certs", "conjur", "fs", "gcp", "hcv" }) do
      assert.is_true(files.exists(("lua/kong/vaults/%s/init.lua"):format(backend)))
      assert.is_true(files.exists(("lua/kong/vaults/%s/schema.lua"):format(backend)))
    end
    for _, name in ipairs({ "handler", "schema", "api" }) do
      assert.is_true(files.exists(("lua/kong/plugins/kong-vault/%s.lua"):format(name)))
    end
  end)
end)
