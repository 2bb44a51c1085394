-- `stats()` and the text that Prometheus reads.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local TOKEN, SECRET = "t0ken-of-the-metrics", "s3cret-of-the-metrics"

-- What a sample's name may end with, by the type of its family.
local ENDINGS = {
  counter = { _total = true },
  gauge = { [""] = true },
  histogram = { _bucket = true, _sum = true, _count = true },
}

-- Reads OpenMetrics text; raises where it is none. Returns families (`type`, `help`) by name, and a list of samples
-- (`name`, `labels`, `value`, `family`).
local function parse(text)
  local families, samples, ended, current = {}, {}, false, nil
  assert.equal("\n", text:sub(-1))
  for line in text:gmatch "([^\n]*)\n" do
    assert.is_false(ended, "something follows # EOF: " .. line)
    local keyword, name, rest = line:match "^# (%u+) ([%a_:][%w_:]*) (.+)$"
    if line == "# EOF" then
      ended = true
    elseif keyword then
      if not families[name] then
        families[name] = {}
      end
      current = name
      assert.is_true(keyword == "TYPE" or keyword == "HELP" or keyword == "UNIT", line)
      assert.is_nil(families[name][keyword], line)
      families[name][keyword] = rest
    else
      local sample, labels, value = line:match "^([%a_:][%w_:]*){(.*)} (%S+)$"
      if not sample then
        labels, sample, value = "", line:match "^([%a_:][%w_:]*) (%S+)$"
      end
      assert(sample, "no sample: " .. line)
      assert(tonumber(value) or value == "+Inf" or value == "NaN", line)
      local pairs_, left = {}, labels == "" and "" or labels .. ","
      while left ~= "" do
        local label, text_, after = left:match '^([%a_][%w_]*)="([^"\\\n]*)",(.*)$'
        assert(label and not pairs_[label], "labels of " .. line)
        pairs_[label], left = text_, after
      end
      local ending = sample:sub(#current + 1)
      assert.equal(current, sample:sub(1, #current), line)
      assert(ENDINGS[families[current].TYPE][ending], line)
      samples[#samples + 1] = { name = sample, labels = pairs_, value = tonumber(value), family = current }
    end
  end
  assert.is_true(ended, "no # EOF at the end")
  for name, family in pairs(families) do
    assert.is_truthy(family.TYPE and family.HELP, name)
  end
  return families, samples
end

describe("metrics", function()
  local server, vault

  setup(function()
    vault = fake.start()
    vault:route("/v1/secret/hello", { body = cjson.encode({ data = { value = SECRET } }) })
    vault:route("/v1/secret/absent", { status = 404, body = '{"errors":[]}' })
    vault:route("/v1/down/*", { status = 500, body = SECRET })
    server = nginx.start({
      http = "lua_shared_dict kong_secrets 5m;",
      env = {
        KONG_VAULT_HCV_PORT = vault.port,
        KONG_VAULT_HCV_TOKEN = TOKEN,
        KONG_VAULT_HCV_TTL = "60",
        KONG_VAULT_HCV_NEG_TTL = "60",
        KONG_VAULT_BREAKER_INTERVAL = "60",
        KONG_VAULT_DECLARATIVE_CONFIG = "{{prefix}}/kong.yml",
      },
      files = {
        ["kong.yml"] = cjson.encode({
          vaults = { { prefix = "down", name = "hcv", config = { port = vault.port, mount = "down", token = TOKEN } } },
        }),
      },
      init = [[require "kong.vault"]],
      server = [[ location = /metrics { content_by_lua_block { require("kong.vault.metrics").serve() } } ]],
    })
  end)

  teardown(cleanup.run)

  it("are there before anything was asked for", function()
    local stats = server:stats()
    assert.same(
      { 0, 0, 0, 0, 0, 0 },
      { stats.hits, stats.misses, stats.fetches, stats.entries, stats.bytes, stats.fetching }
    )
    assert.is_nil(stats.next_refresh)
    local _, samples = parse(server:get("/metrics").body)
    for _, sample in ipairs(samples) do
      assert.equal(0, sample.value, sample.name)
    end
  end)

  it("count what happened, in stats()", function()
    for _ = 1, 10 do
      assert.equal(SECRET, (server:value "{vault://hcv/hello/value}"))
    end
    for _ = 1, 3 do
      assert.is_nil((server:value "{vault://hcv/absent/value}"))
    end
    for i = 1, 5 do
      assert.is_nil((server:value("{vault://down/" .. i .. "/value}")))
    end
    vault:route("/v1/secret/slow", { gate = "slow" })
    local slow = server:ask "{vault://hcv/slow/value}"
    vault:await("slow", 1)
    local stats = server:stats()
    assert.equal(9, stats.hits)
    assert.equal(2, stats.negative_hits)
    -- hello, absent, five of the vault that is down, slow.
    assert.equal(8, stats.misses)
    assert.equal(1, stats.fetching)
    -- Three failed fetches opened the breaker, the rest was refused.
    assert.equal(vault:count "/v1/secret/*" + 3, stats.fetches)
    assert.equal(2, stats.refused)
    assert.equal(0, stats.stale_hits)
    assert.equal(1, stats.failures["hcv.not_found"], cjson.encode(stats.failures))
    assert.equal(3, stats.failures["hcv.unavailable"], cjson.encode(stats.failures))
    assert.same({ hcv = "closed", down = "open" }, stats.breakers)
    assert.equal(2, stats.entries)
    assert.is_true(stats.bytes > #SECRET and stats.bytes < 10000)
    assert.is_true(stats.next_refresh > 30 and stats.next_refresh <= 60)
    assert.equal(1, stats.front_entries)
    vault:open "slow"
    slow.read()
    assert.equal(0, server:stats().fetching)
  end)

  it("say the same as text that Prometheus reads", function()
    local answer = server:get "/metrics"
    assert.equal(200, answer.status)
    assert.matches("^application/openmetrics%-text; version=1%.0%.0", answer.headers["content-type"])
    local families, samples = parse(answer.body)
    local stats, values, buckets = server:stats(), {}, {}
    for _, sample in ipairs(samples) do
      assert.matches("^kong_vault_", sample.name)
      assert.is_nil(sample.labels.worker)
      if sample.labels.le then
        assert.is_true(sample.value >= (buckets[#buckets] or 0), "buckets are cumulative")
        buckets[#buckets + 1] = sample.value
      else
        local labels = {}
        for _, name in ipairs({ "backend", "vault", "reason", "state" }) do
          labels[#labels + 1] = sample.labels[name]
        end
        values[sample.name .. (#labels > 0 and "/" .. table.concat(labels, "/") or "")] = sample.value
      end
    end
    for name, key in pairs({
      kong_vault_misses_total = "misses",
      kong_vault_fetches_total = "fetches",
      kong_vault_batches_total = "batches",
      kong_vault_refused_total = "refused",
      kong_vault_negative_hits_total = "negative_hits",
      kong_vault_refreshes_total = "refreshes",
      kong_vault_entries = "entries",
      kong_vault_bytes = "bytes",
      kong_vault_fetches_under_way = "fetching",
    }) do
      assert.equal(stats[key], values[name], name)
    end
    assert.equal(stats.hits, values.kong_vault_front_hits_total + values.kong_vault_cache_hits_total)
    assert.equal(3, values["kong_vault_failures_total/hcv/unavailable"])
    assert.equal(1, values["kong_vault_failures_total/hcv/not_found"])
    assert.equal(2, values["kong_vault_breaker/down"])
    assert.equal(0, values["kong_vault_breaker/hcv"])
    assert.equal(stats.fetches, values.kong_vault_fetch_duration_seconds_count)
    assert.equal(stats.fetches, buckets[#buckets])
    assert.is_true(values.kong_vault_fetch_duration_seconds_sum > 0)
    assert.equal("histogram", families.kong_vault_fetch_duration_seconds.TYPE)
    assert.equal("counter", families.kong_vault_fetches.TYPE)
    assert.equal("gauge", families.kong_vault_breaker.TYPE)
  end)

  it("tell of refreshes and of stale values", function()
    assert.equal(200, server:get(nginx.value_path "{vault://hcv/short/value?ttl=0.1}").status)
    wait.eventually("it was refreshed", function()
      server:value "{vault://hcv/short/value?ttl=0.1}"
      return server:stats().refreshes >= 2
    end)
    vault:route("/v1/secret/short", { status = 403, body = "{}" })
    wait.eventually("an old value served", function()
      assert.equal("value of short", (server:value "{vault://hcv/short/value?ttl=0.1}"))
      return server:stats().resurrected >= 1
    end)
  end)

  it("hold no secret", function()
    local text = server:get("/metrics").body .. cjson.encode(server:stats())
    for _, secret in ipairs({ TOKEN, SECRET, "value of", "hello" }) do
      assert.is_nil(text:find(secret, 1, true), secret)
    end
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ TOKEN, SECRET }))
  end)

  it("say what is wrong where the configuration is unusable", function()
    local broken = nginx.start({
      env = { KONG_VAULT_CACHE_SIZE = "many" },
      init = [[require "kong.vault"]],
      server = [[ location = /metrics { content_by_lua_block { require("kong.vault.metrics").serve() } } ]],
    })
    local answer = broken:get "/metrics"
    assert.equal(500, answer.status)
    assert.matches("CACHE_SIZE", answer.body)
  end)
end)
