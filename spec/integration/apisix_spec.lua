-- APISIX's secret manager `kong-vault`, by APISIX's contract, against a real OpenBao.

local bao = require "spec.support.bao"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local HTTP = "lua_shared_dict kong_secrets 5m;"

-- What APISIX requires in init by `lua_module_hook`.
local HOOK = [[require "kong.vault.gateway.apisix_hook" host = require "spec.support.apisix_host"]]

describe("the secret manager for APISIX", function()
  if not bao.program() then
    return pending "TEST_BAO does not name an OpenBao program, and there is no .venv/bin/bao"
  end

  local server, vault, options

  setup(function()
    vault = bao.start()
    vault:write("secret/data/db", { data = { user = "kong", password = "of-KV-2" } })
    vault:write("secret/data/team/db", { data = { password = "of a team" } })
    vault:mount("old", "1")
    vault:write("old/db", { password = "of-KV-1" })
    vault:write("sys/policy/read", { policy = 'path "secret/*" { capabilities = ["read"] }' })
    vault:write("sys/auth/userpass", { type = "userpass" })
    vault:write("auth/userpass/users/gateway", { password = "of-the-gateway", token_policies = { "read" } })
    options = { host = "127.0.0.1", port = vault.port, kv = "v2", token = bao.TOKEN }
    server = nginx.start({
      env = {
        HCV_TOKEN = bao.TOKEN,
        OF_THE_SPECS = "of the environment",
        KONG_VAULT_HCV_PORT = vault.port,
        KONG_VAULT_HCV_TOKEN = "{vault://env/hcv-token}",
        KONG_VAULT_HCV_MOUNT = "old",
      },
      http = HTTP,
      init = HOOK,
    })
  end)

  teardown(cleanup.run)

  local function with(more)
    local config = {}
    for _, some in ipairs({ options, more }) do
      for name, value in pairs(some) do
        config[name] = value ~= "" and value or nil
      end
    end
    return { hcv = config }
  end

  local function put(id, secret)
    server:eval("host.put(...)", "kong-vault/" .. id, secret)
  end

  local function fetch(path)
    return server:eval("return host.fetch(...)", "$secret://kong-vault/" .. path)
  end

  it("reads KV 2 and KV 1, fields and whole secrets, at any path", function()
    put("prod", with({}))
    put("old", with({ kv = "v1", mount = "old" }))
    assert.equal("of-KV-2", (fetch "prod/db/password"))
    assert.equal("kong", (fetch "prod/db/user"))
    assert.equal("of a team", (fetch "prod/team/db/password"))
    assert.matches('"password":"of-KV-2"', (fetch "prod/db/"), 1, true)
    assert.equal("of-KV-1", (fetch "old/db/password"))
    assert.equal("of-KV-2", (fetch "prod/db/password#1"))
    assert.equal("of-KV-2", (fetch "prod/db/password?ttl=60"))
    assert.matches("no version 7", select(2, fetch "prod/db/password#7"))
  end)

  it("logs in", function()
    put(
      "login",
      with({
        token = "",
        auth_method = "userpass",
        userpass_username = "gateway",
        userpass_password = "of-the-gateway",
      })
    )
    assert.equal("of-KV-2", (fetch "login/db/password"))
  end)

  it("takes a token by kong-vault's references and by APISIX's", function()
    put("reference", with({ token = "{vault://env/hcv-token}" }))
    assert.equal("of-KV-2", (fetch "reference/db/password"))
    server:eval(
      [[ local token = ... package.loaded["apisix.core.env"] = {
        fetch_by_uri = function(uri) return uri == "$ENV://HCV_TOKEN" and token or nil end,
      } ]],
      bao.TOKEN
    )
    put("variable", with({ token = "$ENV://HCV_TOKEN" }))
    assert.equal("of-KV-2", (fetch "variable/db/password"))
    put("unset", with({ token = "$ENV://NOT_THERE" }))
    local value, err = fetch "unset/db/password"
    assert.is_nil(value)
    assert.equal(
      "vault apisix-unset of APISIX's secrets: config.token: there is no environment variable for $ENV://NOT_THERE: set it, "
        .. "and list it in nginx_config.envs",
      err
    )
    assert.equal("of-KV-2", (fetch "variable/db/password"))
  end)

  it("reads a vault that is configured elsewhere", function()
    put("hcv", {})
    put("env", { desc = "kong-vault's own environment" })
    assert.equal("of-KV-1", (fetch "hcv/db/password"))
    assert.equal("of the environment", (fetch "env/of-the-specs"))
    put("nobody", {})
    local value, err = fetch "nobody/db/password"
    assert.is_nil(value)
    assert.matches("could not find vault (nobody)", err, 1, true)
  end)

  it("gives each id a vault of its own, whatever it is made of", function()
    local ids = { "1", "a_b", "a-5f-b", "a--5fb", "A.b", "a.b", "-", "hcv-", "ä", "x--y", "x--2d--2dy" }
    for i, id in ipairs(ids) do
      vault:write("secret/data/number-" .. i, { data = { value = id } })
      put(id, with({ mount = "secret", ttl = 60 + i }))
    end
    for i, id in ipairs(ids) do
      assert.equal(id, (fetch(("%s/number-%d/value"):format(id, i))))
    end
    local breakers = 0
    for name in pairs(server:stats().breakers) do
      breakers = breakers + (name:find "^apisix%-" and 1 or 0)
    end
    assert.is_true(breakers >= #ids, "each id is a vault")
  end)

  it("follows a secret that changes, and forgets one that is deleted", function()
    put("moving", with({}))
    assert.equal("of-KV-2", (fetch "moving/db/password"))
    assert.equal("of-KV-2", (server:value "{vault://apisix-moving/db/password}"))
    put("moving", with({ kv = "v1", mount = "old" }))
    -- The old value serves until the first answer under the new options.
    wait.eventually("the value is of the new place", function()
      return fetch "moving/db/password" == "of-KV-1"
    end)
    server:eval [[host.delete "kong-vault/moving"]]
    assert.equal("of-KV-2", (fetch "prod/db/password"))
    local value, err = server:value "{vault://apisix-moving/db/password}"
    assert.is_nil(value)
    assert.matches("could not find vault (apisix-moving)", err, 1, true)
  end)

  it("returns a rotated value without a fetch that anybody waits for", function()
    put("rotating", with({ ttl = 0.1 }))
    vault:write("secret/data/rotated", { data = { value = "before" } })
    assert.equal("before", (fetch "rotating/rotated/value"))
    vault:write("secret/data/rotated", { data = { value = "after" } })
    wait.eventually("the new value is there", function()
      return fetch "rotating/rotated/value" == "after"
    end)
  end)

  it("says what is wrong with a secret, and shows no value of it", function()
    put("wrong", with({ hots = "here", token = "t0ken-that-nobody-sees" }))
    local value, err = fetch "wrong/db/password"
    assert.is_nil(value)
    assert.matches("apisix-wrong", err, 1, true)
    assert.matches("hots", err, 1, true)
    put("denied", with({ token = "t0ken-that-nobody-sees" }))
    value, err = fetch "denied/db/password"
    assert.is_nil(value)
    assert.matches("hcv vault (apisix-denied) at 127.0.0.1:" .. vault.port, err, 1, true)
    assert.matches("permission denied", err, 1, true)
    assert.is_nil(err:find("t0ken-that-nobody-sees", 1, true))
    value, err = server:eval("return require('apisix.secret.kong-vault').get(...)", { hcv = {} }, "db/password")
    assert.is_nil(value)
    assert.equal("the secret has no id that begins with kong-vault/", err)
  end)

  it("leaves nothing of a secret in the log", function()
    assert.equal(0, server:stop "QUIT")
    assert.same({}, server:flaws({ bao.TOKEN, "of-KV-2", "of-KV-1", "of-the-gateway", "t0ken-that-nobody-sees" }))
  end)
end)

describe("the secret manager for APISIX in a worker", function()
  teardown(cleanup.run)

  it("does not block it", function()
    local slow = fake.start()
    slow:route("/v1/secret/slow", { gate = "slow" })
    local server = nginx.start({ http = HTTP, init = HOOK })
    server:eval("host.put(...)", "kong-vault/slow", { hcv = { port = slow.port, token = "t" } })
    local request = server:begin [[return host.fetch "$secret://kong-vault/slow/slow/value"]]
    wait.eventually("the vault is asked", function()
      return slow:count "/v1/secret/slow" == 1
    end)
    assert.equal("value of quick", (server:eval [[return host.fetch "$secret://kong-vault/slow/quick/value"]]))
    slow:open "slow"
    assert.equal("value of slow", (request.read()))
    assert.equal(0, server:stop "QUIT")
  end)

  it("keeps nginx from starting with a wrong configuration", function()
    local started, err = pcall(nginx.start, { env = { KONG_VAULT_HCV_PORT = "none" }, init = HOOK })
    assert.is_false(started)
    assert.matches("KONG_VAULT_HCV_PORT", err, 1, true)
  end)

  it("can be loaded without the library, and says where to look", function()
    local server =
      nginx.start({ lua_cpath = "/nonexistent/?.so", init = [[host = require "spec.support.apisix_host"]] })
    server:eval [[host.put("kong-vault/prod", { hcv = {} })]]
    local value, err = server:eval [[return host.fetch "$secret://kong-vault/prod/db/password"]]
    assert.is_nil(value)
    assert.equal("cannot load kong-vault: see the log when APISIX started", err)
    assert.equal("object", server:eval [[return require("apisix.secret.kong-vault").schema.type]])
    assert.matches("kong%-vault is disabled: .*native", server:log())
  end)
end)

-- APISIX's directory, with its dependencies in deps/, as its installation and its `make deps` leave it.
local APISIX = os.getenv "TEST_APISIX"

describe("the secret manager in APISIX itself", function()
  if not (APISIX and APISIX ~= "" and bao.program()) then
    return it("resolves fields of plugins", function()
      pending "needs APISIX with its dependencies (TEST_APISIX names its directory) and an OpenBao (TEST_BAO)"
    end)
  end

  local server, vault, home

  -- The patterns of a directory's Lua files.
  local function files_of(folder)
    return ("%s/?.lua;%s/?/init.lua"):format(folder, folder)
  end

  local CONFIG = [[
deployment: { role: data_plane, role_data_plane: { config_provider: yaml } }
apisix: { enable_admin: false }
]]

  local function secrets(token)
    return ([[
secrets:
  - id: kong-vault/prod
    hcv: { host: 127.0.0.1, port: %d, kv: v2, token: "%s", ttl: 0.1 }
  - id: kong-vault/wrong
    hcv: { hots: 127.0.0.1 }
#END
]]):format(vault.port, token)
  end

  setup(function()
    vault = bao.start()
    vault:write("secret/data/db", { data = { password = "of-KV-2" } })
    home = files.folder()
    files.mkdir(home .. "/conf")
    files.mkdir(home .. "/logs")
    files.write(home .. "/conf/config.yaml", CONFIG)
    files.write(home .. "/conf/apisix.yaml", secrets "{vault://env/hcv-token}")
    server = nginx.start({
      env = { HCV_TOKEN = bao.TOKEN },
      vars = { home = home },
      lua_path = ("{{root}}/lua/?.lua;%s;%s"):format(files_of(APISIX), files_of(APISIX .. "/deps/share/lua/5.1")),
      lua_cpath = ("{{root}}/build/lib/?.so;%s/deps/lib/lua/5.1/?.so;%s/deps/lib64/lua/5.1/?.so"):format(
        APISIX,
        APISIX
      ),
      main = "env HCV_TOKEN;",
      http = HTTP .. [[
        lua_shared_dict lrucache-lock 1m;
        lua_shared_dict standalone-config 1m;
        lua_shared_dict internal-status 1m;
      ]],
      init = [[
        require "kong.vault.gateway.apisix_hook"
        require("apisix.core.profile").apisix_home = "{{home}}/"
        core = require "apisix.core"
        core.env.init()
        assert(core.config.init())
      ]],
      init_worker = [[
        core.env.init()
        if core.lrucache.init_worker then -- from 3.14 on
          core.lrucache.init_worker()
        end
        core.config.init_worker()
        require("apisix.secret").init_worker()
      ]],
    })
  end)

  teardown(cleanup.run)

  local function resolved(uri)
    return server:eval(
      [[
      local found = require("apisix.secret").fetch_secrets({ plugin = { field = ... } })
      return found.plugin.field
    ]],
      uri
    )
  end

  it("resolves fields of plugins, and follows rotation and changed secrets", function()
    wait.eventually("APISIX has read its secrets", function()
      return resolved "$secret://kong-vault/prod/db/password" == "of-KV-2"
    end)
    vault:write("secret/data/db", { data = { password = "rotated" } })
    wait.eventually("the new value is there", function()
      return resolved "$secret://kong-vault/prod/db/password" == "rotated"
    end)
    vault:write("secret/data/db", { data = { password = "rotated again" } })
    files.write(home .. "/conf/apisix.yaml", secrets "$env://HCV_TOKEN")
    wait.eventually("the value comes by the changed secret", function()
      return resolved "$secret://kong-vault/prod/db/password" == "rotated again"
    end)
  end)

  it("leaves a field as it is that has no value, and says why", function()
    assert.equal("$secret://kong-vault/prod/gone/x", resolved "$secret://kong-vault/prod/gone/x")
    assert.matches("hcv vault (apisix-prod)", server:log(), 1, true)
    assert.equal("$secret://kong-vault/wrong/db/password", resolved "$secret://kong-vault/wrong/db/password")
  end)

  it("has APISIX check secrets", function()
    local function check(secret)
      return server:eval(
        [[ return require("apisix.core").schema.check(require("apisix.secret.kong-vault").schema, ...) ]],
        secret
      )
    end
    for _, secret in ipairs({
      { id = "kong-vault/1", create_time = 1, update_time = 2, desc = "of the team", labels = { a = "b" } },
      { hcv = { host = "vault.internal", port = 8200, ttl = 0.5, kv = "v2", token = "t" } },
      { hcv = { auth_method = "kubernetes", kube_role = "gateway" } },
      { aws = { region = "eu-central-1" } },
      { fs = { prefix = "/etc/secrets" } },
    }) do
      assert.is_true((check(secret)))
    end
    for said, secret in pairs({
      ['property "hcv" validation failed: additional properties forbidden, found hots'] = { hcv = { hots = "x" } },
      ['property "port" validation failed: wrong type: expected integer, got string'] = { hcv = { port = "8200" } },
      ['property "auth_method" validation failed'] = { hcv = { auth_method = "magic" } },
      ["then clause did not match"] = { hcv = { auth_method = "kubernetes" } },
      ['"aws_secret_access_key" is required when'] = { hcv = { aws_access_key_id = "k3y-that-nobody-sees" } },
      ['property "prefix" is required'] = { fs = {} },
      ["additional properties forbidden, found proxy"] = { gcp = { proxy = "http://proxy" } },
      ["additional properties forbidden, found token"] = { token = "k3y-that-nobody-sees" },
      ["failed to validate dependent schema"] = { hcv = { host = "x" }, aws = { region = "eu-central-1" } },
      ['property "token" validation failed: wrong type'] = { hcv = { token = { "k3y-that-nobody-sees" } } },
    }) do
      local ok, err = check(secret)
      assert.is_false(ok, said)
      assert.matches(said, err, 1, true)
      assert.is_nil(err:find("k3y-that-nobody-sees", 1, true))
    end
  end)

  it("leaves no value in the log", function()
    assert.equal(0, server:stop "QUIT")
    assert.same({}, server:flaws({ bao.TOKEN, "of-KV-2", "rotated" }))
  end)
end)
