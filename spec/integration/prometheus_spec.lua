-- A real Prometheus scrapes a real nginx with two workers and a real OpenBao: each query of the dashboard has values, and an
-- outage raises its alert.

local cjson = require "cjson"
local bao = require "spec.support.bao"
local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local BOARD, RULES, TEST =
  "packaging/grafana/kong-vault.json", "packaging/prometheus/kong-vault.rules.yml", "kong-vault.test.yml"

-- What has values only where something is wrong that the spec does not bring about, or has not happened yet.
local EMPTY = {
  -- The token of the specs has no end.
  kong_vault_vault_token_expires_timestamp_seconds = true,
}

local function run(command)
  local pipe = io.popen(command .. ' 2>&1; echo "status $?"')
  local output = pipe:read "*a"
  pipe:close()
  return tonumber(output:match "status (%d+)\n$"), output
end

describe("Prometheus", function()
  local prometheus = os.getenv "TEST_PROMETHEUS" or "/usr/bin/prometheus"
  local promtool = os.getenv "TEST_PROMTOOL" or "/usr/bin/promtool"

  if not (files.exists(prometheus) and files.exists(promtool) and bao.program()) then
    pending("is not tried, as it is not installed (Debian's package prometheus, and OpenBao)", function() end)
    return
  end

  local server, vault, scraper

  local function ask(path, query)
    local answer = http.request(scraper.port, "/api/v1/" .. path .. (query and "?query=" .. http.escape(query) or ""))
    local body = cjson.decode(answer.body)
    assert.equal("success", body.status, answer.body)
    return body.data
  end

  local function firing(name)
    for _, alert in ipairs(ask("alerts").alerts) do
      if alert.labels.alertname == name then
        return alert
      end
    end
  end

  setup(function()
    vault = bao.start()
    vault:write("secret/data/app", { data = { password = "the value for Prometheus" } })
    -- It ends in two days.
    local authority = certs.authority "of Prometheus's spec"
    vault:write("secret/data/tls", { data = { cert = files.read(authority.certificate) } })
    vault:write("secret/metadata/temporary", { delete_version_after = "48h" })
    vault:write("secret/data/temporary", { data = { password = "the value for two days" } })
    server = nginx.start({
      workers = 2,
      http = "lua_shared_dict kong_secrets 5m;",
      env = {
        KONG_VAULT_HCV_PORT = vault.port,
        KONG_VAULT_HCV_TOKEN = bao.TOKEN,
        KONG_VAULT_HCV_KV = "v2",
        KONG_VAULT_HCV_TTL = "1",
        KONG_VAULT_HCV_RESURRECT_TTL = "600",
        KONG_VAULT_BREAKER_INTERVAL = "1",
        KONG_VAULT_METRICS_REFERENCES = "named",
      },
      init = [[require "kong.vault"]],
      init_worker = [[require("kong.vault").init_worker()]],
      server = [[ location = /metrics { content_by_lua_block { require("kong.vault.metrics").serve() } } ]],
    })
    assert.is_truthy(server:value "{vault://hcv/app/password}")
    assert.is_truthy(server:value "{vault://hcv/tls/cert}")
    assert.is_truthy(server:value "{vault://hcv/temporary/password}")
    assert.is_nil((server:value "{vault://hcv/absent/x}"))
    local home = files.folder()
    files.write(home .. "/rules.yml", (files.read(RULES):gsub("for: %d+m", "for: 1s")))
    files.write(
      home .. "/prometheus.yml",
      ([[
global: { scrape_interval: 200ms, evaluation_interval: 200ms }
rule_files: [rules.yml]
scrape_configs:
  - job_name: kong-vault
    static_configs: [{ targets: ["127.0.0.1:%d"] }]
]]):format(server.port)
    )
    scraper = { port = process.free_port() }
    scraper.process = process.start({
      command = {
        prometheus,
        "--config.file=" .. home .. "/prometheus.yml",
        "--storage.tsdb.path=" .. home .. "/data",
        "--web.listen-address=127.0.0.1:" .. scraper.port,
        "--log.level=warn",
      },
      output = home .. "/output",
    })
    wait.eventually("it has scraped twice", function()
      local ok, found = pcall(ask, "query", "count_over_time(kong_vault_workers[1m])")
      local sample = ok and found.result[1]
      return sample and tonumber(sample.value[2]) >= 3
    end)
  end)

  teardown(cleanup.run)

  it("takes both formats", function()
    for _, is_classic in ipairs({ "nil", "true" }) do
      local text = server:eval("return require('kong.vault.native').vm:metrics(0, " .. is_classic .. ")")
      local path = files.folder() .. "/metrics"
      files.write(path, (text:gsub("# EOF\n", "")))
      if is_classic == "true" then
        local status, output = run(promtool .. " check metrics <" .. path)
        assert.equal(0, status, output)
      end
    end
  end)

  it("knows when the vault will delete a secret", function()
    local query = 'kong_vault_reference_expires_timestamp_seconds{what="secret"} - time()'
    local left
    wait.eventually("it has the end of the secret", function()
      local sample = ask("query", query).result[1]
      left = sample and tonumber(sample.value[2])
      return left
    end)
    assert.is_true(left > 47 * 3600 and left <= 48 * 3600, left)
  end)

  it("gets values for each query of the dashboard", function()
    -- So that rates have something to rise.
    for _ = 1, 5 do
      server:value "{vault://hcv/app/password}"
      server:value "{vault://hcv/absent/x}"
    end
    local board, count = cjson.decode(files.read(BOARD)), 0
    for _, panel in ipairs(board.panels) do
      for _, target in ipairs(panel.targets or {}) do
        local query = target.expr:gsub("%$__rate_interval", "1m"):gsub("%$instance", ".*"):gsub("%$vault", ".*")
        assert.is_nil(query:find("$", 1, true), query)
        local metric = query:match "kong_vault_[%w_]+"
        if not EMPTY[metric] then
          wait.eventually(panel.title .. " has a value: " .. query, function()
            return #ask("query", query).result > 0
          end)
        else
          ask("query", query)
        end
        count = count + 1
      end
    end
    assert.is_true(count > 20)
  end)

  it("raises the alert of a certificate that ends in two days", function()
    wait.eventually("the alert fires", function()
      local alert = firing "KongVaultSecretEndsNow"
      return alert and alert.state == "firing" and alert.labels.what == "certificate"
    end)
  end)

  it("raises the alert of an outage", function()
    assert.is_nil(firing "KongVaultDown")
    vault.process:signal "KILL"
    local alert
    wait.eventually("the alert fires", function()
      server:value "{vault://hcv/app/password}"
      alert = firing "KongVaultDown"
      return alert and alert.state == "firing"
    end, 60)
    assert.equal("hcv", alert.labels.vault)
    assert.matches("kong%-vault doctor hcv", alert.annotations.description)
    -- The value serves on.
    assert.equal("the value for Prometheus", (server:value "{vault://hcv/app/password}"))
  end)

  it("finds no fault in the rules, and the alerts fire when they should", function()
    local status, output = run("cd packaging/prometheus && " .. promtool .. " test rules " .. TEST)
    assert.equal(0, status, output)
  end)
end)
