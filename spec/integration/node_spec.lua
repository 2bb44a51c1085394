-- The node's cache: several workers and the shared dictionary `kong_secrets`.

local cleanup = require "spec.support.cleanup"
local crowd = require "spec.support.crowd"
local fake = require "spec.support.fake"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local LOAD = [[ require "kong.vault" ]]

local DICTIONARY = "lua_shared_dict kong_secrets 5m;"

-- All that is in the dictionary, keys and values.
local DUMP = [[
  location = /dump {
    content_by_lua_block {
      local dict = ngx.shared.kong_secrets
      for _, key in ipairs(dict:get_keys(0)) do
        ngx.print(key, "\n", tostring(dict:get(key)), "\n")
      end
    }
  }
]]

describe("the workers of a node", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(options)
    options.env = options.env or {}
    options.env.KONG_VAULT_HCV_PORT = vault.port
    options.env.KONG_VAULT_FETCH_TIMEOUT = options.env.KONG_VAULT_FETCH_TIMEOUT or "20"
    options.init = LOAD
    options.workers = options.workers or 4
    options.server = options.server or DUMP
    return nginx.start(options)
  end

  local function ends_well(server)
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ "value of " }))
  end

  -- Asks until each worker has answered; returns the different answers, sorted.
  local function ask_all(server, reference)
    local pids, known, answers, number = {}, {}, {}, 0
    wait.eventually("each worker was asked", function()
      local asked = {}
      for i = 1, 8 do
        asked[i] = server:begin("return ngx.worker.pid(), require('kong.vault').get(...)", reference)
      end
      for _, request in ipairs(asked) do
        local pid, value, err = request.read()
        number = number + (pids[pid] and 0 or 1)
        pids[pid] = true
        local answer = value or err
        answers[#answers + 1] = not known[answer] and answer or nil
        known[answer] = true
      end
      return number >= server.vars.workers
    end)
    table.sort(answers)
    return answers
  end

  it("fetch each of 200 cold documents once for 1,000 clients, and all answers are right", function()
    local server = start({ http = DICTIONARY })
    vault:route("/v1/secret/many-*", { delay = 0.02 })
    local paths = {}
    for i = 1, 200 do
      -- Two fields: by the count it is seen that all have the same fetch's.
      local document = "{vault://hcv/many-" .. i
      paths[i] = nginx.value_path(document .. "/value}", document .. "/count}")
    end
    -- One process can't hold as many connections.
    local loads = {}
    for i = 1, 4 do
      loads[i] = load.start(server, { paths = paths, connections = 250 })
    end
    local answered, wrong, workers = {}, {}, server:workers()
    wait.eventually("all documents were fetched", function()
      return vault:count "/v1/secret/many-*" >= 200
    end)
    for _, running in ipairs(loads) do
      for _, sample in ipairs(running:stop()) do
        local number = sample.path:match "many%-(%d+)"
        answered[number] = true
        if sample.body ~= "value of many-" .. number .. " 1" then
          wrong[#wrong + 1] = sample.status .. " " .. sample.body
        end
      end
    end
    assert.same({}, wrong)
    for i = 1, 200 do
      assert.is_true(answered[tostring(i)], "many-" .. i)
      assert.equal(1, vault:count("/v1/secret/many-" .. i))
    end
    assert.same(workers, server:workers())
    ends_well(server)
  end)

  it("leave nothing in clear text in the dictionary", function()
    local server = start({ http = DICTIONARY, env = { KONG_VAULT_HCV_TOKEN = "t0ken-of-the-node" } })
    for _ = 1, 8 do
      assert.equal("value of clear", (server:value "{vault://hcv/clear/value}"))
    end
    local dump = server:get("/dump").body
    assert.is_true(#dump > 100)
    for _, text in ipairs({ "clear", "value", "hcv", "secret", "t0ken", "127.0.0.1", "count" }) do
      assert.is_nil(dump:find(text, 1, true), text)
    end
    assert.equal(1, vault:count "/v1/secret/clear")
    ends_well(server)
  end)

  it("have what the first fetch of a worker brought, also if that is killed soon", function()
    local server = start({ http = DICTIONARY, workers = 1 })
    for i = 1, 5 do
      local reference = "{vault://hcv/first-" .. i .. "/count}"
      local worker = server:worker()
      assert.equal("1", (server:value(reference)))
      -- The worker's listener may not have started yet when the fetch is complete.
      wait.eventually("it was handed on", function()
        local dump = server:get("/dump").body
        return select(2, dump:gsub("kong%-vault:%x+\n", "")) == i and not dump:find("claim", 1, true)
      end, 1)
      process.send(worker, "KILL")
      wait.eventually("there is a new worker", function()
        return server:worker() ~= worker and server:is_ready()
      end)
      assert.equal("1", (server:value(reference)))
      process.send(server:worker(), "KILL")
      wait.eventually("there is a cold worker", function()
        return server:is_ready()
      end)
    end
    ends_well(server)
  end)

  it("can't be made to believe what somebody else put into the dictionary", function()
    local server = start({ http = DICTIONARY })
    assert.equal("value of mine", (server:value "{vault://hcv/mine/value}"))
    assert.equal("value of other", (server:value "{vault://hcv/other/value}"))
    -- One document in the other's place, and rubbish in the first one's.
    server:eval [[
      local dict, documents = ngx.shared.kong_secrets, {}
      for _, key in ipairs(dict:get_keys(0)) do
        if #(dict:get(key) or "") > 60 then documents[#documents + 1] = key end
      end
      assert(#documents == 2)
      local first = dict:get(documents[1])
      dict:set(documents[1], dict:get(documents[2]))
      dict:set(documents[2], first:sub(1, -2) .. "x")
    ]]
    for _, name in ipairs({ "mine", "other" }) do
      assert.same({ "value of " .. name }, ask_all(server, "{vault://hcv/" .. name .. "/value}"))
    end
    ends_well(server)
  end)

  it("without the dictionary are each on their own", function()
    local server = start({ server = "", workers = 3 })
    assert.same({ "value of alone" }, ask_all(server, "{vault://hcv/alone/value}"))
    assert.equal(3, vault:count "/v1/secret/alone")
    ends_well(server)
  end)

  it("cache on their own where the dictionary is full, and say so once", function()
    local server = start({ http = "lua_shared_dict kong_secrets 12k;", workers = 2 })
    for i = 1, 10 do
      local body = cjson.encode({ data = { value = ("%03d"):format(i):rep(1000) } })
      vault:route("/v1/secret/full-" .. i, { body = body })
    end
    -- Some fit, some don't.
    for _ = 1, 3 do
      for i = 1, 10 do
        assert.equal(("%03d"):format(i):rep(1000), (server:value("{vault://hcv/full-" .. i .. "/value}")))
        assert.equal("value of small-" .. i, (server:value("{vault://hcv/small-" .. i .. "/value}")))
      end
    end
    for i = 1, 10 do
      assert.is_true(vault:count("/v1/secret/full-" .. i) <= 2)
    end
    local said = server:logged "kong_secrets is full"
    assert.is_true(said >= 1 and said <= 2, said .. " lines")
    ends_well(server)
  end)

  it("share on when the dictionary has been filled with documents, and leave Kong's keys there", function()
    local server = start({ http = "lua_shared_dict kong_secrets 256k;", workers = 2 })
    server:eval [[
      for i = 1, 20 do
        assert(ngx.shared.kong_secrets:safe_set("Kongs." .. i, ("k"):rep(300)))
      end
    ]]
    for round = 1, 3 do
      assert.is_true(server:eval(
        [[
        local references = {}
        for i = 1, 1000 do
          references[i] = ("{vault://hcv/filling-%d-%d/value}"):format(..., i)
        end
        return require("kong.vault").warmup(references)
      ]],
        round
      ))
    end
    crowd.gather(server, vault, "shared-on")
    vault:open "shared-on"
    assert.same({ "value of shared-on" }, ask_all(server, "{vault://hcv/shared-on/value}"))
    assert.equal(1, vault:count "/v1/secret/shared-on")
    assert.equal(0, server:logged "kong_secrets is full")
    assert.equal(
      20,
      server:eval [[
      local left = 0
      for i = 1, 20 do
        left = left + (ngx.shared.kong_secrets:get("Kongs." .. i) and 1 or 0)
      end
      return left
    ]]
    )
    ends_well(server)
  end)

  it("take over from one that was killed while it fetched, and only one does", function()
    local server = start({ http = DICTIONARY })
    local requests, owner = crowd.gather(server, vault, "orphan")
    process.send(owner, "KILL")
    vault:await("orphan", 2)
    wait.eventually("there is a new worker", function()
      return #server:workers() == 4 and server:is_ready()
    end)
    -- Somebody who comes now joins in.
    requests[#requests + 1] = crowd.ask(server, "{vault://hcv/orphan/value}")
    vault:open "orphan"
    local served, lost = 0, 0
    for _, request in ipairs(requests) do
      local read, pid, value, err = pcall(request.read)
      if read then
        assert.same({ "value of orphan", nil }, { value, err })
        assert.not_equal(owner, pid)
        served = served + 1
      else
        lost = lost + 1
      end
    end
    assert.is_true(served >= 4 and lost >= 1)
    assert.equal(2, vault:count "/v1/secret/orphan")
    ends_well(server)
  end)

  it("have the value of one that quits while they wait for it", function()
    local server = start({ http = DICTIONARY })
    local requests = crowd.gather(server, vault, "leaving")
    server:signal "HUP"
    wait.eventually("new workers serve", function()
      return #server:workers() > 4
    end)
    vault:open "leaving"
    for _, request in ipairs(requests) do
      local _, value, err = request.read()
      assert.same({ "value of leaving", nil }, { value, err })
    end
    assert.equal(1, vault:count "/v1/secret/leaving")
    ends_well(server)
  end)

  it("keep what they have over a reload, and fetch once what nothing else would renew", function()
    local server = start({ http = DICTIONARY })
    assert.equal("1", (server:value "{vault://hcv/kept/count?ttl=600}"))
    assert.equal("1", (server:value "{vault://hcv/anew/count}"))
    for reload = 1, 3 do
      server:reload()
      assert.same({ "1" }, ask_all(server, "{vault://hcv/kept/count?ttl=600}"))
      assert.same({ tostring(reload + 1) }, ask_all(server, "{vault://hcv/anew/count}"))
    end
    assert.equal(1, vault:count "/v1/secret/kept")
    assert.equal(4, vault:count "/v1/secret/anew")
    ends_well(server)
  end)

  it("share failures for neg_ttl", function()
    local server = start({ http = DICTIONARY, env = { KONG_VAULT_HCV_NEG_TTL = "60" } })
    vault:route("/v1/secret/absent", { status = 404, body = '{"errors":[]}' })
    local answers = ask_all(server, "{vault://hcv/absent/value}")
    assert.equal(1, #answers)
    assert.matches("there is no secret/absent", answers[1], 1, true)
    assert.equal(1, vault:count "/v1/secret/absent")
    ends_well(server)
  end)

  -- The sealed documents in the dictionary, by key.
  local function documents(server)
    local found = {}
    for key, sealed in server:get("/dump").body:gmatch "(kong%-vault:%x+)\n([^\n]*)" do
      found[key] = sealed
    end
    return found
  end

  -- What becomes of the vault, and how long failures are remembered.
  local FAILURES = {
    ["is gone"] = { neg_ttl = 0, gone = true },
    ["is gone, which is remembered"] = { neg_ttl = 60, gone = true },
    ["asks to wait"] = { neg_ttl = 0, status = 429, headers = { retry_after = "60" } },
    ["denies, which is remembered"] = { neg_ttl = 60, status = 403 },
    ["has no secret any more, which is remembered"] = { neg_ttl = 60, status = 404 },
  }
  for what, failure in pairs(FAILURES) do
    it("that are new have the others' old values while the vault " .. what, function()
      local lost = fake.start()
      local server = start({
        http = DICTIONARY,
        workers = 2,
        env = { KONG_VAULT_DECLARATIVE_CONFIG = "{{prefix}}/kong.yml", KONG_VAULT_BREAKER_INTERVAL = "0.5" },
        files = {
          ["kong.yml"] = cjson.encode({
            vaults = {
              { prefix = "lost", name = "hcv", config = { port = lost.port, ttl = 0.2, neg_ttl = failure.neg_ttl } },
            },
          }),
        },
      })
      local value = server:value "{vault://lost/old/value}"
      assert.equal("value of old", value)
      local asked = lost:count "/v1/secret/old"
      if failure.gone then
        lost:kill()
      else
        lost:route("/v1/secret/old", { status = failure.status, headers = failure.headers, body = '{"errors":[]}' })
      end
      local before = documents(server)
      wait.eventually("the failure is handed on", function()
        if failure.gone and failure.neg_ttl == 0 then
          -- It leaves what is in the dictionary as it is.
          return server:log():find("kong.vault: ", 1, true)
        end
        local now = documents(server)
        for key, sealed in pairs(before) do
          if now[key] ~= sealed and (failure.gone or lost:count "/v1/secret/old" > asked) then
            return true
          end
        end
      end)
      for _, pid in ipairs(server:workers()) do
        process.send(pid, "KILL")
      end
      wait.eventually("there are new workers", function()
        return #server:workers() == 2 and server:is_ready()
      end)
      assert.same({ "value of old" }, ask_all(server, "{vault://lost/old/value}"))
      if failure.gone then
        lost:revive()
      end
      ends_well(server)
    end)
  end
end)
