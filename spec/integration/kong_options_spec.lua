-- Options of Kong that are not a vault's: tls_certificate_verify, vaults_lazy_load_secrets.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
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

  describe("tls_certificate_verify", function()
    -- What a schema's own checks say of values for its fields; Kong runs them.
    local LOAD = [[
      strategy = require "kong.vaults.hcv.init"
      strategy.init()
      function refusal(backend, field, value)
        for _, entry in ipairs(require("kong.vaults." .. backend .. ".schema").fields[1].config.fields) do
          local name, spec = next(entry)
          if name == field then
            local ok, err = spec.custom_validator(value)
            assert(ok == true and err == nil or ok == nil and type(err) == "string")
            return err
          end
        end
        error("there is no field " .. field)
      end
    ]]
    local REFUSED = "must be true, because tls_certificate_verify is on"

    local function fetch(server, options)
      return server:eval(
        ("return strategy.get({ port = %d, token = '%s', %s }, 'a')"):format(vault.port, TOKEN, options)
      )
    end

    it("has the schemas refuse what turns verification off, and says what to do", function()
      local server = start(LOAD, { env = { KONG_TLS_CERTIFICATE_VERIFY = "on" } })
      for _, backend in ipairs({ "hcv", "aws", "gcp", "azure", "azure-certs" }) do
        local err = server:eval("return refusal(...)", backend, "ssl_verify", false)
        assert.matches(REFUSED, err, 1, true)
        assert.matches("set ca_cert", err, 1, true)
        assert.is_nil((server:eval("return refusal(...)", backend, "ssl_verify", true)))
      end
      assert.matches("must be false", server:eval "return refusal('hcv', 'tls_skip_verify', true)", 1, true)
      local value, err = fetch(server, "ssl_verify = false")
      assert.is_nil(value)
      assert.matches("option ssl_verify of the hcv vault, set by Kong, " .. REFUSED, err, 1, true)
      assert.matches("value of a", (fetch(server, "ssl_verify = true")), 1, true)
    end)

    it("is off unless it is set", function()
      local server = start(LOAD)
      assert.is_nil((server:eval "return refusal('hcv', 'ssl_verify', false)"))
    end)

    it("is taken from Kong's configuration, where that has it, by either name", function()
      for _, key in ipairs({ "tls_certificate_verify", "vault_tls_certificate_verify" }) do
        local host = ([[
          kong = require("spec.support.kong_host").new({ database = "off", %s = %s, vault_hcv_port = "{{vault}}" }, {})
        ]]):format(key, key:find "^vault_" and '"on"' or "true")
        local server = start(host .. LOAD)
        assert.matches(REFUSED, server:eval "return refusal('hcv', 'ssl_verify', false)", 1, true)
      end
    end)

    it("keeps an entity that was there before from being used", function()
      local server = start(
        [[
          entities[1].config.ssl_verify = false
          require "kong.plugins.kong-vault.handler"
        ]],
        {
          env = { KONG_TLS_CERTIFICATE_VERIFY = "on" },
          init_worker = [[ kong.vault.init_worker() require("kong.plugins.kong-vault.handler").init_worker() ]],
        }
      )
      local value, err = server:value "{vault://mine/x/value}"
      assert.is_nil(value)
      assert.matches("ssl_verify", err, 1, true)
      assert.matches(REFUSED, err, 1, true)
      assert.equal("value of x", (server:value "{vault://hcv/x/value}"))
    end)
  end)

  describe("vaults_lazy_load_secrets", function()
    -- As Kong starts without a database: it warms up what its declarative file has, then reads plugins and certificates, by a
    -- function that puts a text in place of each reference.
    local LOAD = [[
      handler = require "kong.plugins.kong-vault.handler"
      kong.vault.warmup({
        vaults = { x = entities[1] },
        plugins = {
          a = { config = { key = "{vault://hcv/%s/value}", also = "{vault://hcv/%s-both/value}" } },
          b = { config = { key = "{vault://hcv/%s-never/value}" } },
          c = { config = { key = "{vault://theirs/x}" } },
        },
        certificates = { c = { cert = "{vault://hcv/%s-cert/value}", key = "{vault://hcv/%s-both/value}" } },
      })
      function read(...)
        local config = { ["$refs"] = {} }
        for i, reference in ipairs({ ... }) do
          config["$refs"][i] = reference
          config[i] = kong.vault.get(reference) or ""
        end
        return config
      end
    ]]
    local WORKER = [[
      kong.vault.init_worker()
      handler.init_worker()
      plugin = read("{vault://hcv/%s/value}", "{vault://hcv/%s-both/value}")
      unused = read("{vault://hcv/%s-never/value}")
      ngx.timer.at(0, function()
        late = read("{vault://hcv/%s/value}")
      end)
    ]]

    local function serving(name, more)
      local options = { env = { KONG_VAULTS_LAZY_LOAD_SECRETS = "on" }, init_worker = WORKER:gsub("%%s", name) }
      for key, value in pairs(more or {}) do
        options[key] = value
      end
      return start((LOAD:gsub("%%s", name)), options)
    end

    local function counts(name)
      local found = {}
      for i, suffix in ipairs({ "", "-both", "-never", "-cert" }) do
        found[i] = vault:count("/v1/secret/" .. name .. suffix)
      end
      return found
    end

    it("fetches a plugin's secrets for the first request, which waits for them, and the others at the start", function()
      local server = serving "lazy"
      wait.eventually("the timer has run", function()
        return server:eval "return late ~= nil"
      end)
      assert.same({ 0, 1, 0, 1 }, counts "lazy")
      assert.same({ "", "value of lazy-both" }, server:eval "return { plugin[1], plugin[2] }")
      assert.same({ "", "" }, server:eval "return { unused[1], late[1] }")
      assert.same({ 0, 1, 0, 1 }, counts "lazy")
      local first = server:eval "kong.vault.update(plugin) return { plugin[1], plugin[2] }"
      assert.same({ "value of lazy", "value of lazy-both" }, first)
      assert.same({ 1, 1, 0, 1 }, counts "lazy")
      assert.equal("value of lazy", server:eval "return kong.vault.get '{vault://hcv/lazy/value}'")
      assert.is_true(server:eval "return kong.vault.update(plugin) == plugin and plugin[1] ~= ''")
      assert.same({ 1, 1, 0, 1 }, counts "lazy")
    end)

    it("has many first requests share one fetch", function()
      vault:route("/v1/secret/gate", { gate = "gate", body = '{"data":{"value":"of the gate"}}' })
      local server = serving "gate"
      server:eval [[
        done = {}
        kong.vault.update({})
        for _ = 1, 20 do
          ngx.timer.at(0, function()
            local config = kong.vault.update({ ["$refs"] = { key = "{vault://hcv/gate/value}" } })
            done[#done + 1] = config.key
          end)
        end
      ]]
      wait.eventually("the vault is asked", function()
        return vault:count "/v1/secret/gate" == 1
      end)
      vault:open "gate"
      wait.eventually("all have it", function()
        return server:eval "return #done" == 20
      end)
      assert.equal(
        "of the gate",
        server:eval "for _, value in ipairs(done) do assert(value == done[1]) end return done[1]"
      )
      assert.equal(1, vault:count "/v1/secret/gate")
    end)

    it("does not keep a request waiting again where the first got no value", function()
      vault:route("/v1/secret/fails", { status = 403, body = '{"errors":["permission denied"]}' })
      local server = serving "fails"
      assert.equal("", server:eval "return kong.vault.update(plugin)[1]")
      assert.matches("error updating secret reference", server:log(), 1, true)
      vault:route("/v1/secret/fails", nil)
      wait.eventually("it is fetched as any other", function()
        return server:eval "return kong.vault.update(plugin)[1]" == "value of fails"
      end)
    end)

    it("puts off what Kong reads from its database in init, but no variable of the environment", function()
      local server = start(
        [[
          require "kong.plugins.kong-vault.handler"
          in_init = { kong.vault.get "{vault://hcv/rows/value}", kong.vault.get "{vault://env/of-row}" }
        ]],
        {
          main = "env OF_ROW;",
          env = { KONG_VAULT_SECRETS_LAZY_LOAD = "on", OF_ROW = "row" },
          init_worker = [[ kong.vault.init_worker() require("kong.plugins.kong-vault.handler").init_worker() ]],
        }
      )
      assert.same({ "", "row" }, server:eval "return in_init")
      assert.equal(0, vault:count "/v1/secret/rows")
      local key = server:eval [[ return kong.vault.update({ ["$refs"] = { key = "{vault://hcv/rows/value}" } }).key ]]
      assert.equal("value of rows", key)
    end)

    it("is off unless it is set", function()
      serving("eager", { env = {} })
      assert.same({ 1, 1, 1, 1 }, counts "eager")
    end)
  end)
end)
