-- Vaults that go bad under load, in each of the ways in which they do, and come back.

local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local cjson = require "cjson"
local socket = require "socket"

local TTL, INTERVAL, TIMEOUT, RETRY_AFTER = 0.5, 0.5, 0.4, 1

-- What a busy machine may add to any time, seconds.
local QUICK = 0.3
local SLACK = wait.bound(QUICK)

-- How long all is well, and how long vaults are away.
local HEALTHY, AWAY = 1.5, 5

local LOAD = [[ require "kong.vault" ]]

-- What a vault on the common fake does while it is bad.
local BAD = {
  silent = { gate = "never opened" },
  broken = { status = 500, body = "{}" },
  throttled = { status = 429, headers = { retry_after = tostring(RETRY_AFTER) }, body = "{}" },
  half = { raw = 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data":{"at":"' },
  closing = { hang_up = true },
}

-- So many that each worker meets three failures soon.
local DOCUMENTS = { "a", "b", "c", "d", "e", "f", "g", "h" }

describe("an outage", function()
  local server, samples, log
  local vault, killed, expired
  local began, bad_at, good_at, ended
  local calls = {}
  -- What the machine added at its busiest while vaults were bad; and how long until it is known that a vault is: a renewal's
  -- failure, the pause after it, and a second failure.
  local slack, first_moments

  local function each_vault()
    local names = { "killed", "expired" }
    for name in pairs(BAD) do
      names[#names + 1] = name
    end
    table.sort(names)
    return ipairs(names)
  end

  local function paths_of(name)
    local paths = {}
    for i, document in ipairs(DOCUMENTS) do
      local reference = ("{vault://%s/%s"):format(name, document)
      paths[i] = nginx.value_path(reference .. "/at}", reference .. "/count}")
    end
    return paths
  end

  setup(function()
    local authority = certs.authority "ours"
    local pair, old = authority.issue("vault", "IP:127.0.0.1"), authority.issue("old", "IP:127.0.0.1", -1)
    local good, key = files.read(pair.certificate), files.read(pair.key)
    vault, killed = fake.start(nil, { dated = true }), fake.start(nil, { dated = true })
    expired = fake.start({ pair }, { dated = true })
    local entities = {
      { prefix = "killed", name = "hcv", config = { port = killed.port } },
      {
        prefix = "expired",
        name = "hcv",
        config = { protocol = "https", port = expired.tls_ports[1], ca_cert = authority.certificate },
      },
    }
    for name in pairs(BAD) do
      entities[#entities + 1] = { prefix = name, name = "hcv", config = { port = vault.port, mount = name } }
    end
    for _, entity in ipairs(entities) do
      entity.config.ttl = TTL
    end
    local references = {}
    for _, name in each_vault() do
      for _, document in ipairs(DOCUMENTS) do
        references[#references + 1] = ("%q"):format(("{vault://%s/%s/at}"):format(name, document))
      end
    end
    server = nginx.start({
      workers = 2,
      http = "lua_shared_dict kong_secrets 5m;",
      -- Both workers have all documents, whichever accepts the connections: one document with status 429 opens no breaker.
      init_worker = ('assert(require("kong.vault").warmup({ %s }))'):format(table.concat(references, ", ")),
      env = {
        KONG_VAULT_DECLARATIVE_CONFIG = files.write(files.folder() .. "/kong.yml", cjson.encode({ vaults = entities })),
        KONG_VAULT_BREAKER_INTERVAL = INTERVAL,
        KONG_VAULT_FETCH_TIMEOUT = TIMEOUT,
      },
      init = LOAD,
    })
    local paths = {}
    for _, name in each_vault() do
      for _, path in ipairs(paths_of(name)) do
        assert.equal(200, server:get(path).status)
        paths[#paths + 1] = path
      end
    end
    -- The paths are asked for in turn: with a number of connections that divides theirs, each connection would have a few
    -- documents alone.
    local running = load.start(server, { paths = paths, rate = 400, connections = 9 })
    wait.pass(TTL)
    began = socket.gettime()
    wait.pass(HEALTHY)

    bad_at = socket.gettime()
    killed:kill()
    for name, answer in pairs(BAD) do
      vault:route("/v1/" .. name .. "/*", answer)
    end
    files.write(pair.certificate, files.read(old.certificate))
    files.write(pair.key, files.read(old.key))
    expired.server:reload()
    slack = math.max(SLACK, wait.busiest(AWAY - (socket.gettime() - bad_at), QUICK))
    first_moments = TTL + TIMEOUT + 1 + TIMEOUT + slack

    for name in pairs(BAD) do
      calls[name] = vault:times("/v1/" .. name .. "/*")
    end
    calls.expired = expired:count "/v1/*"
    good_at = socket.gettime()
    killed:revive()
    for name in pairs(BAD) do
      vault:route("/v1/" .. name .. "/*", nil)
    end
    files.write(pair.certificate, good)
    files.write(pair.key, key)
    expired.server:reload()
    wait.pass(RETRY_AFTER + 2 * INTERVAL + 2 * TTL + slack)
    ended = socket.gettime()
    samples, log = running:stop(), server:log()
  end)

  teardown(cleanup.run)

  it("fails no request, whichever vault is away", function()
    assert.is_true(#samples > (ended - began) * 200, #samples .. " requests")
    assert.same({}, samples:failures())
  end)

  it("costs requests no time", function()
    local before = samples:of(nil, began, bad_at)
    local during = samples:of(nil, bad_at, good_at)
    local limit = 1.5 * before:percentile(99) + 0.02
    assert.is_true(
      during:percentile(99) <= wait.bound(limit),
      during:percentile(99) .. " s, " .. limit .. " s are allowed"
    )
    assert.is_true(during:percentile(100) < wait.bound(TIMEOUT / 2), during:percentile(100) .. " s")
  end)

  for name in pairs(BAD) do
    it("has one worker probe a vault once an interval: " .. name, function()
      local quiet, last, probes = bad_at + first_moments, nil, 0
      local pause = name == "throttled" and RETRY_AFTER or INTERVAL
      for _, at in ipairs(calls[name]) do
        if at > quiet and at < good_at then
          assert.is_true(not last or at - last >= 0.9 * pause, ("%.3f s after the last"):format(at - (last or 0)))
          last, probes = at, probes + 1
        end
      end
      assert.is_true(probes >= math.floor((good_at - quiet) / (pause + TIMEOUT)) - 1, probes .. " probes")
    end)

    it("leaves a vault alone soon: " .. name, function()
      local first = 0
      for _, at in ipairs(calls[name]) do
        first = first + (at > bad_at and at <= bad_at + first_moments and 1 or 0)
      end
      -- The longer the machine takes, the more probes are due meanwhile.
      local probes = math.ceil((slack - QUICK) / INTERVAL)
      assert.is_true(first >= 1 and first <= 2 * #DOCUMENTS + 2 + probes, first .. " calls")
    end)
  end

  it("sends nothing to a vault whose certificate has expired", function()
    -- Its fake began anew, with no requests, when it took up the certificate.
    assert.equal(0, calls.expired)
  end)

  for _, name in each_vault() do
    it("serves old values meanwhile and fresh ones soon after: " .. name, function()
      local back = good_at + INTERVAL + (name == "throttled" and RETRY_AFTER or INTERVAL) + slack
      local oldest, served_old = 0, 0
      for _, path in ipairs(paths_of(name)) do
        for _, sample in ipairs(samples:of(path, began)) do
          local age = sample.at - tonumber(sample.body:match "^%S+")
          if sample.at < bad_at or sample.at > back then
            oldest = math.max(oldest, age)
          else
            served_old = math.max(served_old, age)
          end
        end
      end
      assert.is_true(oldest <= TTL + slack, ("%.3f s old"):format(oldest))
      assert.is_true(served_old >= AWAY - TTL, ("%.3f s old at most"):format(served_old))
    end)

    it("is told in the log once when it begins and once when it ends: " .. name, function()
      local down, up = 0, 0
      for line in log:gmatch "[^\n]+" do
        if line:find("kong.vault: ", 1, true) and line:find("(" .. name .. ")", 1, true) then
          if line:find("answers again", 1, true) then
            assert.matches("%[notice%]", line)
            up = up + 1
          else
            assert.matches("%[warn%]", line)
            down = down + 1
          end
        end
      end
      assert.same({ 1, 1 }, { down, up })
    end)
  end

  it("leaves nginx well", function()
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws())
  end)
end)

describe("a secret that", function()
  local server, vault

  setup(function()
    vault = fake.start()
    server = nginx.start({
      workers = 2,
      http = "lua_shared_dict kong_secrets 5m;",
      env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_HCV_TTL = "0.2", KONG_VAULT_HCV_NEG_TTL = "0.5" },
      init = LOAD,
    })
  end)

  teardown(cleanup.run)

  -- Asks for a while; returns the different answers in the order in which they first came.
  local function answers(reference, seconds)
    local running = load.start(server, { paths = { nginx.value_path(reference) }, rate = 100, connections = 2 })
    wait.pass(seconds)
    local seen, list = {}, {}
    for _, sample in ipairs(running:stop()) do
      local answer = sample.status == 200 and sample.body or tostring(sample.status)
      if not seen[answer] then
        seen[answer], list[#list + 1] = true, answer
      end
    end
    return list
  end

  for what, answer in pairs({
    ["is deleted at its source"] = { status = 404, body = '{"errors":[]}' },
    ["we may not read any more"] = { status = 403, body = '{"errors":["permission denied"]}' },
  }) do
    local name = "s" .. answer.status

    it(what .. " serves on, also beyond neg_ttl", function()
      local reference = "{vault://hcv/" .. name .. "/value}"
      assert.equal("value of " .. name, (server:value(reference)))
      vault:route("/v1/secret/" .. name, answer)
      local before = vault:count("/v1/secret/" .. name)
      assert.same({ "value of " .. name }, answers(reference, 1.5))
      assert.is_true(vault:count("/v1/secret/" .. name) > before)
    end)

    it(what .. " stops serving where resurrect_ttl says so", function()
      local document = name .. "-at-once"
      local reference = "{vault://hcv/" .. document .. "/value?resurrect_ttl=0}"
      assert.equal("value of " .. document, (server:value(reference)))
      vault:route("/v1/secret/" .. document, answer)
      answers(reference, 0.4)
      local value, err = server:value(reference)
      assert.is_nil(value)
      assert.matches(tostring(answer.status), err)
      assert.same({ "502" }, answers(reference, 0.5))
      -- And it serves again once it is there again.
      vault:route("/v1/secret/" .. document, nil)
      wait.eventually("it is there again", function()
        return server:value(reference) == "value of " .. document
      end)
    end)
  end

  it("was never read is asked for again after neg_ttl, not before", function()
    vault:route("/v1/secret/never", { status = 404, body = '{"errors":[]}' })
    assert.same({ "502" }, answers("{vault://hcv/never/value}", 1.2))
    local count = vault:count "/v1/secret/never"
    assert.is_true(count >= 2 and count <= 4, count)
  end)

  it("nobody has yet fails at once while its vault is known to be away, and says why", function()
    local lost = fake.start()
    local apart = nginx.start({
      env = {
        KONG_VAULT_HCV_PORT = lost.port,
        KONG_VAULT_HCV_TTL = "0.2",
        KONG_VAULT_FETCH_TIMEOUT = "3",
        KONG_VAULT_BREAKER_INTERVAL = "60",
      },
      init = LOAD,
    })
    lost:route("/v1/secret/*", { status = 500, body = "{}" })
    for i = 1, 3 do
      assert.is_nil((apart:value("{vault://hcv/cold-" .. i .. "/value}")))
    end
    local before = lost:count "/v1/*"
    local start = socket.gettime()
    for i = 4, 50 do
      local value, err = apart:value("{vault://hcv/cold-" .. i .. "/value}")
      assert.is_nil(value)
      assert.matches("500.*circuit breaker open", err)
    end
    local took = socket.gettime() - start
    assert.is_true(took < wait.bound(2), took)
    assert.equal(before, lost:count "/v1/*")
    assert.equal(0, apart:stop("QUIT", 10))
    assert.same({}, apart:flaws())
  end)
end)

describe("an outage", function()
  teardown(cleanup.run)

  -- Lines of the log that tell of the vault, as "down" and "up".
  local function told(server)
    local found = {}
    for line in server:log():gmatch "[^\n]+" do
      if line:find("kong.vault: hcv vault (hcv)", 1, true) then
        found[#found + 1] = line:find("answers again", 1, true) and "up" or "down"
      end
    end
    return found
  end

  it("is told once on a node, also where a reload lies in the one before", function()
    local vault = fake.start()
    local server = nginx.start({
      workers = 2,
      init = [[require "kong.vault"]],
      http = "lua_shared_dict kong_secrets 1m;",
      env = {
        KONG_VAULT_HCV_PORT = vault.port,
        -- Nobody probes it in time: what the reload finds is what the outage left.
        KONG_VAULT_BREAKER_INTERVAL = "60",
        KONG_VAULT_HCV_NEG_TTL = "0",
      },
    })
    local number, expected = 0, {}
    local function ask()
      number = number + 1
      return server:value("{vault://hcv/told-" .. number .. "/value}")
    end
    for _ = 1, 3 do
      vault:route("/v1/secret/*", { status = 500, body = "{}" })
      expected[#expected + 1] = "down"
      wait.eventually("the outage is told", function()
        ask()
        return #told(server) == #expected
      end)
      for _ = 1, 10 do
        ask()
      end
      server:reload()
      -- The same outage is no news for the new workers.
      for _ = 1, 10 do
        ask()
      end
      assert.same(expected, told(server))
      server:reload()
      vault:route("/v1/secret/*", nil)
      expected[#expected + 1] = "up"
      wait.eventually("it is over", function()
        ask()
        return #told(server) == #expected
      end)
      assert.same(expected, told(server))
    end
    assert.equal(0, server:stop("QUIT", 10))
  end)
end)
