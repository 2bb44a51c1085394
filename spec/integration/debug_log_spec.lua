-- What a worker writes to nginx's log about its fetches when that has the level `debug`, and that it writes nothing otherwise.

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

  it("is silent at the level info", function()
    local server = start "info"
    assert.equal("value of quiet", (server:value "{vault://hcv/quiet/value}"))
    assert.is_nil(server:log():find("created fetch", 1, true))
    assert.is_nil(server:log():find("listening to the engine", 1, true))
  end)
end)
