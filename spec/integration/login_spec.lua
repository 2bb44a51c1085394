-- Logins to the `hcv` vault in nginx's workers, at a real OpenBao: by every worker, and given back at a graceful end.

local bao = require "spec.support.bao"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local POLICY = 'path "secret/data/*" { capabilities = ["read"] }'

describe("logins in nginx", function()
  if not bao.program() then
    return pending "TEST_BAO does not name an OpenBao program, and there is no .venv/bin/bao"
  end

  local vault, role_id

  setup(function()
    vault = bao.start()
    vault:write("sys/policies/acl/reader", { policy = POLICY })
    vault:write("sys/auth/approle", { type = "approle" })
    vault:write("auth/approle/role/gateway", { token_policies = "reader", token_ttl = "60s" })
    role_id = cjson.decode(vault:send("GET", "auth/approle/role/gateway/role-id").body).data.role_id
    for i = 1, 8 do
      vault:write("secret/data/s" .. i, { data = { value = "value of s" .. i } })
    end
  end)

  teardown(cleanup.run)

  -- A secret id, or the token that wraps one.
  local function secret_id(wrapped)
    local answer = assert(http.request(vault.port, "/v1/auth/approle/role/gateway/secret-id", {
      method = "POST",
      body = "{}",
      headers = { ["X-Vault-Token"] = bao.TOKEN, ["X-Vault-Wrap-TTL"] = wrapped and "60s" or nil },
    }))
    local given = cjson.decode(answer.body)
    return wrapped and given.wrap_info.token or given.data.secret_id
  end

  -- How many tokens OpenBao knows; one is its root's.
  local function tokens()
    local answer = assert(vault:send("GET", "auth/token/accessors?list=true"))
    return #cjson.decode(answer.body).data.keys - 1
  end

  local function start(more, options)
    local config = { port = vault.port, kv = "v2", auth_method = "approle", approle_role_id = role_id }
    for name, value in pairs(more) do
      config[name] = value
    end
    local declared = cjson.encode({ vaults = { { prefix = "mine", name = "hcv", config = config } } })
    local started = {
      env = { KONG_VAULT_DECLARATIVE_CONFIG = files.write(files.folder() .. "/kong.yml", declared) },
      init = [[require "kong.vault"]],
    }
    for name, value in pairs(options or {}) do
      started[name] = value
    end
    return nginx.start(started)
  end

  -- Has every worker read a secret that it hasn't yet; returns how many did.
  local function ask_all(server, secret)
    local seen, count = {}, 0
    wait.eventually("every worker answers", function()
      local answer = assert(server:get(nginx.value_path(("{vault://mine/%s/value}"):format(secret))))
      assert.equal("value of " .. secret, answer.body)
      count = count + (seen[answer.headers["x-worker"]] and 0 or 1)
      seen[answer.headers["x-worker"]] = true
      return count == server.vars.workers
    end)
    return count
  end

  it("are one for each worker, whatever it reads, and are given back where that is wanted", function()
    local server = start({ approle_secret_id = secret_id(), revoke_on_exit = true }, { workers = 3 })
    for i = 1, 8 do
      ask_all(server, "s" .. i)
    end
    assert.equal(3, tokens())
    server:reload()
    assert.equal(0, tokens())
    ask_all(server, "s1")
    assert.equal(3, tokens())
    assert.is_truthy(server:stop("QUIT", 10))
    assert.equal(0, tokens())
  end)

  it("in init are given back at once", function()
    local server = start({ approle_secret_id = secret_id(), revoke_on_exit = true }, {
      init = [[assert(require("kong.vault").get("{vault://mine/s1/value}"))]],
    })
    assert.equal(0, tokens())
    assert.equal("value of s1", (server:value "{vault://mine/s1/value}"))
    server:stop()
  end)

  it("of all workers have what one of them unwrapped", function()
    local server = start({
      approle_secret_id_file = files.write(files.folder() .. "/secret-id", secret_id(true)),
      approle_response_wrapping = true,
      revoke_on_exit = true,
    }, { workers = 4 })
    ask_all(server, "s1")
    assert.equal(4, tokens())
    -- Those who come later, too.
    server:reload()
    ask_all(server, "s2")
    assert.is_truthy(server:stop("QUIT", 10))
    assert.equal(0, tokens())
  end)

  it("say what is wrong, and are not tried for ever", function()
    local server = start({ approle_secret_id = "wr0ng-S3cret" })
    for i = 1, 8 do
      local value, err = server:value("{vault://mine/s" .. i .. "/value}")
      assert.is_nil(value)
      assert.matches("the login by approle at auth/approle/login was refused: check `approle_role_id`", err, 1, true)
    end
    assert.equal("open", server:stats().breakers.mine)
    assert.is_nil(server:log():find("wr0ng", 1, true))
    server:stop()
  end)
end)
