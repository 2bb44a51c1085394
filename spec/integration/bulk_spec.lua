-- More references at once than a vault is asked for at a time: whoever waits on purpose is queued.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local MANY = 2500

-- References to so many secrets whose names begin alike.
local REFERENCES = [[
  local start, count = ...
  local references = {}
  for i = 1, count do
    references[i] = "{vault://hcv/" .. start .. i .. "/value}"
  end
]]

-- Warms them up. Returns the worker, what `warmup` returned, and how many have a value that is right afterwards.
local WARMUP = REFERENCES
  .. [[
  local vault, right = require "kong.vault", 0
  local ok, err = vault.warmup(references)
  for i, reference in ipairs(references) do
    right = right + (vault.get(reference) == "value of " .. start .. i and 1 or 0)
  end
  return ngx.worker.pid(), ok or false, err or "", right
]]

describe("many references at once", function()
  local vault

  setup(function()
    vault = fake.start()
    vault:route("/v1/secret/late-*", { delay = 0.02 })
  end)

  teardown(cleanup.run)

  local function start(options)
    options.http = options.http or "lua_shared_dict kong_secrets 10m;"
    options.init = [[require "kong.vault"]]
    options.env = options.env or {}
    options.env.KONG_VAULT_HCV_PORT = vault.port
    options.env.KONG_VAULT_CACHE_SIZE = options.env.KONG_VAULT_CACHE_SIZE or "10000"
    return nginx.start(options)
  end

  local function ends_well(server)
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ "value of " }))
  end

  it("are all there after warmup, each fetched once", function()
    local server = start({})
    local _, ok, err, right = server:eval(WARMUP, "one-", MANY)
    assert.same({ true, "", MANY }, { ok, err, right })
    assert.equal(MANY, vault:count "/v1/secret/one-*")
    assert.equal(0, server:stats().fetching)
    ends_well(server)
  end)

  it("are all there for each of several workers", function()
    local server = start({ workers = 2 })
    local requests = {}
    for i = 1, 4 do
      requests[i] = server:begin(WARMUP, "several-", MANY)
    end
    for _, request in ipairs(requests) do
      local _, ok, err, right = request.read()
      assert.same({ true, "", MANY }, { ok, err, right })
    end
    assert.is_true(vault:count "/v1/secret/several-*" <= MANY * 1.1)
    ends_well(server)
  end)

  it("are all there where init_worker waits for them", function()
    local server = start({
      workers = 4,
      vars = { count = MANY },
      init_worker = REFERENCES:gsub("%.%.%.\n", '"init-", {{count}}\n') .. [[
        local ok, err = require("kong.vault").warmup(references)
        ngx.shared.results:set("warm-" .. ngx.worker.id(), tostring(ok) .. " " .. tostring(err))
      ]],
    })
    for worker = 0, 3 do
      wait.eventually("each worker is warm", function()
        return server:eval("return ngx.shared.results:get(...)", "warm-" .. worker)
      end, 60)
      assert.equal("true nil", server:eval("return ngx.shared.results:get(...)", "warm-" .. worker))
    end
    assert.is_true(vault:count "/v1/secret/init-*" <= MANY * 1.1)
    assert.equal("value of init-" .. MANY, (server:value("{vault://hcv/init-" .. MANY .. "/value}")))
    ends_well(server)
  end)

  it("leave room for requests", function()
    local server = start({})
    local request = server:begin(WARMUP, "late-", MANY)
    wait.eventually("they are under way", function()
      return vault:count "/v1/secret/late-*" > 0
    end)
    assert.equal("value of single", (server:value "{vault://hcv/single/value}"))
    assert.is_true(vault:count "/v1/secret/late-*" < MANY, "it had to wait for all of them")
    local _, ok, err, right = request.read()
    assert.same({ true, "", MANY }, { ok, err, right })
    ends_well(server)
  end)

  it("are all had where the cache is too small for them, which is told once", function()
    local server = start({ env = { KONG_VAULT_CACHE_SIZE = "200" } })
    for _ = 1, 2 do
      local ok, err = server:eval(REFERENCES .. [[return require("kong.vault").warmup(references)]], "crowded-", 600)
      assert.same({ true, nil }, { ok, err })
    end
    wait.eventually("it is told", function()
      return server:log():find("vault_cache_size (200)", 1, true)
    end)
    assert.equal(1, server:logged "vault_cache_size")
    local stats = server:stats()
    assert.equal(200, stats.entries)
    assert.is_true(stats.evictions >= 400, stats.evictions .. " evictions")
    assert.matches(
      "kong_vault_evictions_total " .. stats.evictions,
      server:eval "return require('kong.vault').metrics()",
      1,
      true
    )
    ends_well(server)
  end)

  it("fail only where their vault is away", function()
    local server = start({
      env = { KONG_VAULT_DECLARATIVE_CONFIG = "{{prefix}}/kong.yml" },
      files = {
        ["kong.yml"] = cjson.encode({
          vaults = { { prefix = "lost", name = "hcv", config = { port = process.free_port() } } },
        }),
      },
    })
    local err, right = server:eval [[
      local references, right = {}, 0
      for i = 1, 1500 do
        references[i] = ("{vault://%s/mixed-%d/value}"):format(i % 2 == 0 and "hcv" or "lost", i)
      end
      local _, err = require("kong.vault").warmup(references)
      for i = 2, #references, 2 do
        right = right + (require("kong.vault").get(references[i]) == "value of mixed-" .. i and 1 or 0)
      end
      return err, right
    ]]
    assert.equal(750, right)
    assert.matches("750 of 1500 references have no value", err, 1, true)
    ends_well(server)
  end)
end)
