-- What the workers of one nginx count and know is one set: any of them shows it, and none takes it along when it ends.

local cjson = require "cjson"

local at_worker = require "spec.support.at_worker"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local TOKEN, SECRET = "s.node-status-token", "the value of node status"

local SERVER = [[
  location = /metrics { content_by_lua_block { require("kong.vault.metrics").serve() } }
  location ~ ^/vaults { content_by_lua_block { require("kong.vault.admin").serve() } }
  location = /slow {
    content_by_lua_block {
      local value = assert(require("kong.vault").get "{vault://hcv/slow/value}")
      ngx.header.content_length = #value
      ngx.print(value)
    }
  }
  location = /under_way {
    content_by_lua_block {
      local count = require("kong.vault.metrics").classic():match "\nkong_vault_fetches_under_way (%d+)"
      ngx.header.content_length = #count
      ngx.print(count)
    }
  }
]] .. at_worker.LOCATION

describe("the state of a node", function()
  local server, vault

  local function status()
    local answer = server:get "/vaults/_status"
    assert.equal(200, answer.status, answer.body)
    return cjson.decode(answer.body)
  end

  local function named(list, key, name)
    for _, one in ipairs(list) do
      if one[key] == name then
        return one
      end
    end
  end

  local function metric(name)
    local text = server:get("/metrics").body
    return tonumber(text:match("\n" .. name:gsub("%p", "%%%0") .. " (%S+)"))
  end

  setup(function()
    vault = fake.start()
    vault:route("/v1/secret/app", { body = cjson.encode({ data = { value = SECRET } }) })
    vault:route("/v1/secret/refused", { status = 403, body = '{"errors":["permission denied"]}' })
    server = nginx.start({
      workers = 2,
      http = "lua_shared_dict kong_secrets 5m;",
      env = {
        KONG_VAULT_HCV_PORT = vault.port,
        KONG_VAULT_HCV_TOKEN = TOKEN,
        KONG_VAULT_HCV_TTL = "60",
        KONG_VAULT_BREAKER_INTERVAL = "60",
        KONG_VAULT_METRICS_REFERENCES = "named",
        KONG_VAULT_DECLARATIVE_CONFIG = "{{prefix}}/kong.yml",
      },
      files = {
        ["kong.yml"] = cjson.encode({
          vaults = { { prefix = "gone", name = "hcv", config = { port = 1, token = TOKEN } } },
        }),
      },
      init = [[require "kong.vault"]],
      init_worker = [[require("kong.vault").init_worker()]],
      server = SERVER,
    })
  end)

  teardown(cleanup.run)

  it("is the same whoever answers", function()
    assert.equal(SECRET, (server:value "{vault://hcv/app/value}"))
    assert.is_nil((server:value "{vault://hcv/refused/value}"))
    for i = 1, 6 do
      assert.is_nil((server:value("{vault://gone/" .. i .. "/value}")))
    end
    local pids = {}
    wait.eventually("both workers answered", function()
      local found = status()
      assert.equal(2, found.workers)
      local app = assert(named(found.references, "reference", "{vault://hcv/app}"), cjson.encode(found))
      assert.equal("fresh", app.state)
      assert.is_true(app.age >= 0 and app.age < 60 and app.next_renewal > found.now, cjson.encode(app))
      assert.same({ 1, "hcv" }, { app.successes, app.vault })
      assert.equal("failing", named(found.references, "reference", "{vault://hcv/refused}").state)
      local hcv, gone = named(found.vaults, "name", "hcv"), named(found.vaults, "name", "gone")
      assert.same({ "built-in", "hcv", "closed", "denied" }, { hcv.kind, hcv.backend, hcv.state, hcv.reason })
      assert.matches("permission", hcv.error)
      assert.same({ denied = 1 }, hcv.failures)
      assert.same({ "declarative", "open", "unavailable" }, { gone.kind, gone.state, gone.reason })
      assert.equal("unused", named(found.vaults, "name", "env").state)
      pids[server:eval "return ngx.worker.pid()"] = true
      return next(pids, next(pids)) ~= nil
    end)
  end)

  it("loses nothing with a worker, nor by a reload", function()
    local before = metric "kong_vault_misses_total"
    assert.is_true(before >= 6)
    local old = server:workers()
    for _, pid in ipairs(old) do
      os.execute("kill -9 " .. pid)
    end
    wait.eventually("nginx has started others", function()
      local new = server:workers()
      return #new == 2 and new[1] ~= old[1] and new[2] ~= old[2] and status().workers == 2
    end)
    assert.equal(before, metric "kong_vault_misses_total")
    assert.equal(0, metric "kong_vault_entries")
    assert.equal(SECRET, (server:value "{vault://hcv/app/value}"))
    assert.equal(1, metric 'kong_vault_vault_successes_total{vault="hcv"}')
    server:reload()
    assert.is_true(metric "kong_vault_misses_total" > before)
    assert.equal(1, metric 'kong_vault_vault_successes_total{vault="hcv"}')
  end)

  it("tells of the fetches that are under way now, also by a worker that has none", function()
    vault:route("/v1/secret/slow", { gate = "slow", body = cjson.encode({ data = { value = SECRET } }) })
    local one, other = unpack(server:workers())
    local slow = at_worker.begin(server, one, "/slow")
    vault:await("slow", 1)
    assert.equal("1", at_worker.ask(server, other, "/under_way"))
    vault:open "slow"
    assert.equal(SECRET, slow:read())
    wait.eventually("none is under way", function()
      return at_worker.ask(server, other, "/under_way") == "0"
    end)
  end)

  it("has no value in it, and takes no change", function()
    local text = server:get("/vaults/_status").body .. server:get("/metrics").body
    assert.is_nil(text:find(SECRET, 1, true))
    assert.is_nil(text:find(TOKEN, 1, true))
    local answer = server:get("/vaults/_status", { method = "DELETE" })
    assert.same({ 405, "GET, HEAD, OPTIONS" }, { answer.status, answer.headers.allow })
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ TOKEN, SECRET }))
  end)
end)
