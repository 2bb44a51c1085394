-- What a worker writes to nginx's log about its fetches when that has the level `debug`, and that it writes nothing otherwise.

local cjson = require "cjson"

local admin = require "spec.support.admin"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

-- Lines of ours at the level debug, in order.
local function debug_lines(server)
  local lines = {}
  for line in server:log():gmatch "[^\n]+" do
    local text = line:match "%[debug%].-%[lua%].- kong%.vault: (.*)"
    if text then
      lines[#lines + 1] = text:gsub(", client: .*", "")
    end
  end
  return lines
end

local function find(lines, pattern)
  for _, line in ipairs(lines) do
    local found = line:match(pattern)
    if found then
      return found
    end
  end
end

describe("the debug log", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(level, workers)
    return nginx.start({
      env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_FETCH_TIMEOUT = "20" },
      init = [[ require "kong.vault" ]],
      http = "lua_shared_dict kong_secrets 5m;",
      level = level,
      workers = workers or 1,
    })
  end

  it("follows a fetch from the call that creates it to its publication", function()
    local server = start "debug"
    vault:route("/v1/secret/followed", { gate = "followed" })
    local one = server:begin [[ return require("kong.vault").get("{vault://hcv/followed/value}") ]]
    vault:await("followed", 1)
    local two = server:begin [[ return require("kong.vault").get("{vault://hcv/followed/count}") ]]
    wait.eventually("the second call joins", function()
      return find(debug_lines(server), "joined fetch")
    end)
    vault:open "followed"
    assert.equal("value of followed", (one.read()))
    assert.equal("1", (two.read()))
    wait.eventually("the outcome is published", function()
      return find(debug_lines(server), "published")
    end)
    local lines = debug_lines(server)
    local ticket = find(lines, "^{vault://hcv/followed/value}: created fetch (%d+)$")
    assert.truthy(ticket, table.concat(lines, "\n"))
    assert.equal(ticket, find(lines, "^{vault://hcv/followed/count}: joined fetch (%d+)$"))
    assert.equal(ticket, find(lines, "^fetch (%d+) of document %x+: this worker fetches it$"))
    assert.equal(ticket, find(lines, "^{vault://hcv/followed/value}: waiting for fetch (%d+)$"))
    assert.equal(ticket, find(lines, "^fetch (%d+) of document %x+: published, to be kept for [%w ]+ s$"))
    assert.equal("listening to the engine", find(lines, "^listening to the engine$"))
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ "value of followed" }))
  end)

  it("says which document was taken from the node's cache", function()
    local server = start("debug", 2)
    wait.eventually("both workers have it", function()
      assert.equal("value of shared", (server:value "{vault://hcv/shared/value}"))
      return find(debug_lines(server), "taken from the node's cache")
    end)
    local lines = debug_lines(server)
    local document = find(lines, "^fetch %d+ of document (%x+): this worker fetches it$")
    assert.equal(document, find(lines, "^fetch %d+ of document (%x+): taken from the node's cache$"))
    assert.equal(1, vault:count "/v1/secret/shared")
  end)

  it("says how long a worker waited for the one that fetches", function()
    local server = start("debug", 2)
    vault:route("/v1/secret/awaited", { gate = "awaited" })
    local requests = {}
    wait.eventually("one worker asks the other", function()
      requests[#requests + 1] = server:begin [[ return require("kong.vault").get("{vault://hcv/awaited/value}") ]]
      return find(debug_lines(server), "^fetch %d+ of document %x+: asking the worker that fetches it$")
    end)
    vault:open "awaited"
    for _, request in ipairs(requests) do
      assert.equal("value of awaited", (request.read()))
    end
    wait.eventually("the time is told", function()
      return find(debug_lines(server), "^fetch %d+ of document %x+: that worker answered after [%d.]+ ms$")
    end)
    assert.equal(1, vault:count "/v1/secret/awaited")
  end)

  it("hides what a reference may hold of secrets", function()
    local server = start "debug"
    local reference = "{vault://hcv/hidden/value?token=hvs.CAESSECRETSECRET}"
    server:value(reference)
    server:value "{vault://hcv/hidden/value}"
    -- nginx itself logs the whole request at this level.
    local lines = table.concat(debug_lines(server), "\n")
    assert.truthy(lines:find("created fetch", 1, true))
    assert.is_nil(lines:find("CAESSECRETSECRET", 1, true))
    assert.is_nil(lines:find("value of hidden", 1, true))
  end)

  -- A worker with a vault that it logs in to.
  local function start_with_login(level)
    local auth = { client_token = "hvs.T0KEN", lease_duration = 2, renewable = true }
    vault:route("/v1/auth/approle/login", { body = cjson.encode({ auth = auth }) })
    auth.lease_duration = 3600
    vault:route("/", { body = cjson.encode({ SecretString = "value of cloud" }) })
    vault:route("/v1/auth/token/renew-self", { body = cjson.encode({ auth = auth }) })
    local server = admin.start(admin.folder(), {
      env = {
        AWS_ACCESS_KEY_ID = "AKIDEXAMPLE",
        AWS_SECRET_ACCESS_KEY = "s3cret-k3y",
        AWS_REGION = "us-east-1",
        KONG_VAULT_BREAKER_INTERVAL = "0.5",
      },
      http = "lua_shared_dict kong_secrets 1m;",
      init_worker = [[ require("kong.vault").init_worker() ]],
      level = level,
      workers = 1,
    })
    local config = {
      port = vault.port,
      auth_method = "approle",
      approle_role_id = "gateway",
      approle_secret_id = "s3cret-1d",
      -- What is renewed needs a token: so that is seen to as well.
      ttl = 0.5,
      resurrect_ttl = 60,
    }
    assert.equal(201, (admin.json(server, "POST", "/vaults", { prefix = "mine", name = "hcv", config = config })))
    assert.equal("value of known", (server:value "{vault://mine/known/value}"))
    local cloud = { endpoint_url = "http://127.0.0.1:" .. vault.port }
    assert.equal(201, (admin.json(server, "POST", "/vaults", { prefix = "cloud", name = "aws", config = cloud })))
    assert.equal("value of cloud", (server:value "{vault://cloud/known}"))
    return server
  end

  local ENGINES = {
    "^read 1 vault entities of epoch %d+ after [%d.]+ ms$",
    "^hcv vault %(mine%): logging in %(approle%)$",
    "^hcv vault %(mine%): logged in after [%d.]+ ms, for 2 s, renewable$",
    "^hcv vault %(mine%): renewing the token succeeded after [%d.]+ ms$",
    "^fetch %d+ of document %x+: asking hcv vault %(mine%) for a look%-up that missed it$",
    "^fetch %d+ of document %x+: hcv vault %(mine%) answered after [%d.]+ ms$",
    "^document %x+: due to be renewed$",
    "^fetch %d+ of document %x+: asking hcv vault %(mine%) for a newer value$",
    "^aws vault %(cloud%): asking for credentials$",
    "^aws vault %(cloud%): credentials from [%w _]+ after [%d.]+ ms, without an end$",
  }

  -- With the vault away.
  local AWAY = {
    "^fetch %d+ of document %x+: hcv vault %(mine%) failed after [%d.]+ ms: unavailable$",
    "^document %x+: its renewal is put off, as hcv vault %(mine%) is away$",
    "^document %x+: hcv vault %(mine%) is to be probed$",
    "^fetch %d+ of document %x+: asking hcv vault %(mine%) whether it is back$",
  }

  local function await_all(server, patterns)
    for _, pattern in ipairs(patterns) do
      wait.eventually(pattern, function()
        return find(debug_lines(server), pattern)
      end)
    end
  end

  it("tells what the engine does, without a credential", function()
    local server = start_with_login "debug"
    await_all(server, ENGINES)
    for i = 1, 4 do
      assert.equal("value of known" .. i, (server:value("{vault://mine/known" .. i .. "/value}")))
    end
    vault:route("/v1/secret/*", { status = 500, body = "{}" })
    finally(function()
      vault:route "/v1/secret/*"
    end)
    await_all(server, AWAY)
    local lines = table.concat(debug_lines(server), "\n")
    for _, secret in ipairs({
      "hvs.T0KEN",
      "s3cret-1d",
      "s3cret-k3y",
      "AKIDEXAMPLE",
      "value of known",
      "value of cloud",
    }) do
      assert.is_nil(lines:find(secret, 1, true), lines)
    end
  end)

  it("has the engine silent at the level info", function()
    local renewed = vault:count "/v1/auth/token/renew-self"
    local server = start_with_login "info"
    wait.eventually("the token is renewed", function()
      return vault:count "/v1/auth/token/renew-self" > renewed
    end)
    local log = server:log()
    for _, text in ipairs({ "[debug]", "vault entities of epoch", "logging in", "logged in", "renewing", "credentials" }) do
      assert.is_nil(log:find(text, 1, true), log)
    end
  end)

  it("is silent at the level info", function()
    local server = start "info"
    assert.equal("value of quiet", (server:value "{vault://hcv/quiet/value}"))
    assert.is_nil(server:log():find("created fetch", 1, true))
    assert.is_nil(server:log():find("listening to the engine", 1, true))
  end)
end)
