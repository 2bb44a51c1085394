-- Nobody is given an outcome that is older than what he asked for, whoever fetched it, and whoever left meanwhile.

local at_worker = require "spec.support.at_worker"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local http = require "spec.support.http"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local cjson = require "cjson"
local socket = require "socket"

local LOAD = [[ require "kong.vault" ]]

local begin, ask = at_worker.begin, at_worker.ask

local DICTIONARY = "lua_shared_dict kong_secrets 5m;"

-- A `get` that its client may leave, a `try` whose callback wants the value `wanted`, and a flush.
local SERVER = at_worker.LOCATION
  .. [[
  keepalive_requests 100000;
  location = /get {
    lua_check_client_abort on;
    content_by_lua_block {
      local value, err = require("kong.vault").get(ngx.unescape_uri(ngx.var.arg_r))
      local answer = value or ("failed: " .. err)
      ngx.header.content_length = #answer
      ngx.print(answer)
    }
  }
  location = /try {
    content_by_lua_block {
      local options, seen = { ["$refs"] = { p = ngx.unescape_uri(ngx.var.arg_r) } }, {}
      local ok = require("kong.vault").try(function(given)
        seen[#seen + 1] = given.p
        return given.p == ngx.var.arg_wanted
      end, options)
      local answer = ok and "ok" or ("failed with " .. table.concat(seen, ", "))
      ngx.header.content_length = #answer
      ngx.print(answer)
    }
  }
  location = /flush {
    content_by_lua_block {
      local answer = tostring(require("kong.vault").flush())
      ngx.header.content_length = #answer
      ngx.print(answer)
    }
  }
]]

-- How many outages values have to be fresh again after; more of them are a matter of `TEST_OUTAGES=10`. Seconds.
local OUTAGES = tonumber(os.getenv "TEST_OUTAGES") or 3
local SHORTEST, LONGEST = 1.5, 4

describe("an outcome", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(options)
    options.env = options.env or {}
    options.env.KONG_VAULT_HCV_PORT = vault.port
    options.env.KONG_VAULT_FETCH_TIMEOUT = options.env.KONG_VAULT_FETCH_TIMEOUT or "20"
    options.init, options.server, options.http = LOAD, SERVER, DICTIONARY
    return nginx.start(options)
  end

  local function ends_well(server)
    assert.equal(0, server:stop("QUIT", 20))
    assert.same({}, server:flaws())
  end

  local function is(name, value, delay)
    vault:route("/v1/secret/" .. name, { body = cjson.encode({ data = { value = value } }), delay = delay })
  end

  local function reference(name)
    return "{vault://hcv/" .. name .. "/value}"
  end

  local function path(what, name, wanted)
    return ("/%s?r=%s&wanted=%s"):format(what, http.escape(reference(name)), wanted or "")
  end

  for _, round in ipairs({
    { documents = 12, workers = 2, pause = 0 },
    { documents = 5, workers = 3, pause = 0.4 },
  }) do
    local what = ("%d secrets, %d workers"):format(round.documents, round.workers)

    it("that nobody waited for answers no later question: " .. what, function()
      local server = start({ workers = round.workers })
      local workers, names = server:workers(), {}
      for i = 1, round.documents do
        names[i] = ("left-%d-%d"):format(round.documents, i)
        is(names[i], "v1", 0.2)
        -- The client leaves while the first worker fetches.
        local request = begin(server, workers[1], path("get", names[i]))
        wait.eventually("it is fetched", function()
          return vault:count("/v1/secret/" .. names[i]) == 1
        end)
        request:close()
      end
      for _, name in ipairs(names) do
        for _, pid in ipairs(workers) do
          assert.equal("v1", ask(server, pid, path("get", name)))
        end
      end
      wait.pass(round.pause)
      for version = 2, 3 do
        for _, name in ipairs(names) do
          is(name, "v" .. version, 0.2)
        end
        local requests = {}
        for _, name in ipairs(names) do
          for _, pid in ipairs(workers) do
            requests[#requests + 1] = begin(server, pid, path("try", name, "v" .. version))
          end
        end
        for _, request in ipairs(requests) do
          assert.equal("ok", request:read())
        end
        for _, name in ipairs(names) do
          for _, pid in ipairs(workers) do
            assert.equal("v" .. version, ask(server, pid, path("get", name)))
          end
        end
      end
      ends_well(server)
    end)
  end

  it("of a fetch that left before a rotation is not what a try gets that begins after it", function()
    local server = start({ workers = 2 })
    for _, mode in ipairs({ "known", "cold" }) do
      local name = "rotated-" .. mode
      is(name, "v1")
      if mode == "known" then
        for _, pid in ipairs(server:workers()) do
          assert.equal("v1", ask(server, pid, path("get", name)))
        end
      end
      -- In the first worker a fetch is under way that brings the old value.
      vault:route("/v1/secret/" .. name, { body = cjson.encode({ data = { value = "v1" } }), gate = name })
      local pids = server:workers()
      local before = begin(server, pids[1], path("try", name, "v0"))
      vault:await(name, 1)
      is(name, "v2")
      local tries = {}
      for i, pid in ipairs({ pids[1], pids[2], pids[1], pids[2] }) do
        tries[i] = begin(server, pid, path("try", name, "v2"))
      end
      if mode == "known" then
        -- The other worker doesn't wait for it.
        assert.equal("ok", table.remove(tries, 2):read())
      end
      vault:open(name)
      for _, request in ipairs(tries) do
        assert.equal("ok", request:read())
      end
      assert.matches("^failed", before:read())
      -- And the old one does not come back.
      for _, pid in ipairs(pids) do
        assert.equal("v2", ask(server, pid, path("get", name)))
      end
    end
    ends_well(server)
  end)

  it("is never older than ttl where resurrect_ttl is 0", function()
    local server = start({
      workers = 3,
      env = { KONG_VAULT_HCV_TTL = "1", KONG_VAULT_HCV_RESURRECT_TTL = "0", KONG_VAULT_IDLE_TTL = "0.5" },
    })
    local workers = server:workers()
    for i = 1, 6 do
      local name = "strict-" .. i
      is(name, "v1", 0.1)
      local request = begin(server, workers[1], path("get", name))
      wait.eventually("it is fetched", function()
        return vault:count("/v1/secret/" .. name) == 1
      end)
      request:close()
    end
    wait.pass(2)
    local requests = {}
    for i = 1, 6 do
      local name = "strict-" .. i
      is(name, "v2", 0.3)
      for _, pid in ipairs(workers) do
        requests[#requests + 1] = begin(server, pid, path("get", name))
      end
    end
    for _, request in ipairs(requests) do
      assert.equal("v2", request:read())
    end
    ends_well(server)
  end)

  it("of before a flush serves nobody in that worker, and of before a reload no secret without ttl", function()
    local server = start({ workers = 2 })
    local first, second = unpack(server:workers())
    is("flushed", "v1")
    assert.equal("v1", ask(server, first, path("get", "flushed")))
    is("flushed", "v2")
    -- The second never asked for it, but the node's dictionary has it.
    assert.equal("true", ask(server, second, "/flush"))
    assert.equal("v2", ask(server, second, path("get", "flushed")))
    is("flushed", "v3")
    local before = vault:count "/v1/secret/flushed"
    server:reload()
    local workers = wait.eventually("the old workers are no more", function()
      local pids = server:workers()
      return #pids == 2 and not table.concat(pids, " "):find(tostring(first)) and pids
    end)
    for _, pid in ipairs(workers) do
      assert.equal("v3", ask(server, pid, path("get", "flushed")))
    end
    assert.equal(before + 1, vault:count "/v1/secret/flushed")
    ends_well(server)
  end)

  it("that is a limit on one path leaves the others of the vault alone, and the text says how long", function()
    local server = start({ workers = 1, env = { KONG_VAULT_HCV_TTL = "0.3" } })
    assert.equal("value of well", (server:value(reference "well")))
    vault:route("/v1/secret/limited", { status = 429, headers = { retry_after = "300" }, body = "{}" })
    assert.is_nil((server:value(reference "limited")))
    local _, err = server:value(reference "limited")
    assert.matches("no requests for this secret for 300 s", err)
    assert.is_nil(err:find("every 5 s", 1, true))
    assert.equal("value of cold", (server:value(reference "cold")))
    local renewed = vault:count "/v1/secret/well"
    wait.eventually("the others are renewed", function()
      return server:value(reference "well") and vault:count "/v1/secret/well" > renewed + 2
    end)
    assert.equal(1, vault:count "/v1/secret/limited")
    assert.equal("closed", server:stats().breakers.hcv)
    ends_well(server)
  end)

  it("is fresh again after each of several short outages", function()
    local dated = fake.start(nil, { dated = true })
    local entity = { prefix = "dated", name = "hcv", config = { port = dated.port, ttl = 0.5 } }
    local server = start({
      workers = 4,
      env = {
        KONG_VAULT_DECLARATIVE_CONFIG = files.write(
          files.folder() .. "/kong.yml",
          cjson.encode({ vaults = { entity } })
        ),
        KONG_VAULT_BREAKER_INTERVAL = "0.3",
        KONG_VAULT_FETCH_TIMEOUT = "0.4",
      },
    })
    local paths = {}
    for i = 1, 60 do
      paths[i] = nginx.value_path(("{vault://dated/d%d/at}"):format(i))
    end
    local running = load.start(server, { paths = paths, rate = 400, connections = 8 })
    wait.pass(1)
    local quiet = {}
    for i = 1, OUTAGES do
      local bad = ({ { hang_up = true }, { gate = "never" }, { status = 500, body = "{}" } })[(i - 1) % 3 + 1]
      local seconds = SHORTEST + (LONGEST - SHORTEST) * ((i - 1) % 6) / 5
      dated:route("/v1/secret/*", bad)
      wait.pass(seconds)
      dated:route("/v1/secret/*", nil)
      wait.pass(2.5)
      quiet[i] = { socket.gettime() - 1, socket.gettime() }
    end
    local samples = running:stop()
    for _, span in ipairs(quiet) do
      local oldest, number = 0, 0
      for _, sample in ipairs(samples:of(nil, span[1], span[2])) do
        oldest, number = math.max(oldest, sample.at - tonumber(sample.body)), number + 1
      end
      assert.is_true(number > 50, number .. " samples")
      if OUTAGES > 3 then
        print(("%d samples, the oldest %.3f s old"):format(number, oldest))
      end
      assert.is_true(oldest <= 0.5 + 0.4 + 0.3, ("%.3f s old"):format(oldest))
    end
    ends_well(server)
  end)
end)
