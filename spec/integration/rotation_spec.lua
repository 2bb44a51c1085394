-- Values that are renewed: in the background, before their time is over, as often as `ttl` asks for and no more.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local cjson = require "cjson"
local socket = require "socket"

-- How long a fetch takes at the fake, seconds.
local FETCH = 0.05

-- What a busy machine may add to any time, seconds.
local SLACK = wait.bound(0.25)

describe("rotation", function()
  local vault

  setup(function()
    vault = fake.start(nil, { dated = true })
    vault:route("/v1/secret/*", { delay = FETCH })
  end)

  teardown(cleanup.run)

  local function start(options)
    options.env.KONG_VAULT_HCV_PORT = vault.port
    options.env.KONG_VAULT_FETCH_TIMEOUT = "5"
    options.init = [[require "kong.vault"]]
    return nginx.start(options)
  end

  local function ends_well(server)
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws())
  end

  -- Under steady load on `documents`, all asked for before. The source has a new value at every moment: a value tells
  -- when it was current, and by its count which fetch it is of.
  local function rotates(options)
    local server = start({
      workers = options.workers,
      http = "lua_shared_dict kong_secrets 5m;",
      env = { KONG_VAULT_HCV_TTL = tostring(options.ttl) },
    })
    local paths = {}
    for i = 1, options.documents do
      local document = ("{vault://hcv/%s-%d"):format(options.name, i)
      -- The first and the last field again with another one between: all have to be of one version.
      paths[i] = nginx.value_path(document .. "/at}", document .. "/count}", document .. "/at}")
      assert.equal(200, server:get(paths[i]).status)
    end
    local running = load.start(server, { paths = paths, rate = options.rate, connections = 8 })
    -- What each worker is asked for the first time it takes over from the others, or waits for.
    local from = socket.gettime() + options.ttl
    wait.eventually("it ran for a while", function()
      return socket.gettime() > from + options.seconds
    end, options.seconds + options.ttl + 5)
    local before = vault:count("/v1/secret/" .. options.name .. "*")
    local samples = running:stop()
    assert.same({}, samples:failures())
    samples = samples:of(nil, from)
    assert.is_true(#samples > options.seconds * options.rate / 3, #samples .. " requests")
    assert.is_true(samples:percentile(99) < FETCH, "p99 " .. samples:percentile(99))
    local oldest, of_count = 0, {}
    for _, sample in ipairs(samples) do
      local at, count, again = sample.body:match "^(%S+) (%S+) (%S+)$"
      assert.equal(at, again)
      local version = sample.path .. count
      assert.equal(of_count[version] or at, at)
      of_count[version] = at
      oldest = math.max(oldest, sample.at - tonumber(at))
    end
    assert.is_true(oldest <= options.ttl + FETCH + SLACK, ("a value was %.3f s old"):format(oldest))
    -- From the first fetches on.
    local due = options.documents * (1 + (options.seconds + options.ttl) / options.ttl)
    assert.is_true(before >= 0.9 * (due - 2 * options.documents), ("%d calls, %.0f are due"):format(before, due))
    assert.is_true(before <= 1.25 * due, ("%d calls, %.0f are due"):format(before, due))
    ends_well(server)
  end

  it("lets no request wait, fail or see two versions, and costs the vault what ttl asks, in one worker", function()
    rotates({ name = "one", workers = 1, documents = 3, ttl = 0.5, rate = 300, seconds = 4 })
  end)

  it("does so in a node of four workers", function()
    rotates({ name = "four", workers = 4, documents = 10, ttl = 1, rate = 400, seconds = 5 })
  end)

  it("shows a new value to nobody before the old one in another field", function()
    -- `try` and `flush` bring new values as well; the two fields are still of one version.
    local server = start({ env = {} })
    for i = 1, 20 do
      local count, at, again = server:eval [[
        local vault = require "kong.vault"
        vault.flush()
        return vault.get("{vault://hcv/fields/count}"), vault.get("{vault://hcv/fields/at}"),
          vault.get("{vault://hcv/fields/count}")
      ]]
      assert.equal(count, again)
      assert.is_truthy(at)
      assert.is_true(tonumber(count) >= i)
    end
    ends_well(server)
  end)

  it("drops values that nobody asks for, and fetches no more for them", function()
    local server = start({ env = { KONG_VAULT_HCV_TTL = "0.2", KONG_VAULT_IDLE_TTL = "0.8" } })
    assert.equal("1", (server:value "{vault://hcv/idle/count}"))
    wait.eventually("it was dropped", function()
      return server:stats().entries == 0
    end)
    local count = vault:count "/v1/secret/idle"
    -- Renewed while it might have been in use, and that's that.
    assert.is_true(count >= 2 and count <= 7, count)
    local quiet = socket.gettime() + 0.6
    wait.poll(function()
      return socket.gettime() > quiet
    end)
    assert.equal(count, vault:count "/v1/secret/idle")
    ends_well(server)
  end)

  it("goes on for values in use, also where the first-level cache answers for them", function()
    local server = start({ env = { KONG_VAULT_HCV_TTL = "0.2", KONG_VAULT_IDLE_TTL = "0.8" } })
    local path = nginx.value_path "{vault://hcv/used/count}"
    local running = load.start(server, { paths = { path }, rate = 100, connections = 2 })
    wait.eventually("it was renewed for longer than values live unused", function()
      return vault:count "/v1/secret/used" >= 12
    end)
    local samples = running:stop()
    assert.same({}, samples:failures())
    assert.is_true(samples:of(nil, samples[1].at + 0.5):percentile(100) < FETCH + SLACK)
    assert.equal(1, server:stats().entries)
    ends_well(server)
  end)

  it("goes by a lease of the vault's own, within min_ttl and max_ttl, or by ttl where that is shorter", function()
    local server = start({ env = {} })
    vault:route("/v1/secret/leased-*", {
      body = cjson.encode({ lease_duration = 1, data = { value = "leased", ttl = "1s" } }),
    })
    vault:route("/v1/secret/leased-by-default", {
      body = cjson.encode({ lease_duration = 1, data = { value = "KV v1's default duration is no lease" } }),
    })
    local references, paths =
      {
        ["plain"] = "{vault://hcv/leased-plain/value}",
        ["by-default"] = "{vault://hcv/leased-by-default/value}",
        ["ttl"] = "{vault://hcv/leased-ttl/value?ttl=0.25}",
        ["longer-ttl"] = "{vault://hcv/leased-longer-ttl/value?ttl=60}",
        ["min"] = "{vault://hcv/leased-min/value?min_ttl=60}",
        ["max"] = "{vault://hcv/leased-max/value?max_ttl=0.25}",
      }, {}
    for _, reference in pairs(references) do
      paths[#paths + 1] = nginx.value_path(reference)
    end
    local running = load.start(server, { paths = paths, rate = 200, connections = 4 })
    local until_when = socket.gettime() + 2.5
    wait.poll(function()
      return socket.gettime() > until_when
    end)
    assert.same({}, running:stop():failures())
    local function fetched(name, least, most)
      local count = vault:count("/v1/secret/leased-" .. name)
      assert.is_true(count >= least and count <= most, name .. ": " .. count)
    end
    fetched("plain", 3, 4)
    fetched("by-default", 1, 1)
    fetched("ttl", 8, 15)
    fetched("longer-ttl", 3, 4)
    fetched("min", 1, 1)
    fetched("max", 8, 15)
    ends_well(server)
  end)
end)
