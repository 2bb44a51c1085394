-- What a worker's memory holds of a secret that was dropped, while the connection that brought it stays open.

local admin = require "spec.support.admin"
local bao = require "spec.support.bao"
local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local memory = require "spec.support.memory"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local cjson = require "cjson"

-- No spec's Lua may name a marker in the worker, as it would be found there.
local MARKER = "m4rker-0f-a-secret-value-"
local TOKEN = "m4rker-0f-a-t0ken"

-- A vault that speaks HTTP/1.1 over TLS and keeps its connections.
local TLS_VAULT = [[
  server {
    listen 127.0.0.1:{{tls}} ssl;
    ssl_certificate {{certificate}};
    ssl_certificate_key {{key}};
    keepalive_timeout 600;
    location / { default_type application/json; root {{folder}}; try_files $uri =404; }
  }
]]

local QUIET = "local value, err = require('kong.vault').get(...) return value and #value, err"

local function collect(server)
  server:eval "collectgarbage() collectgarbage()"
end

describe("a worker's memory", function()
  teardown(cleanup.run)

  if not bao.program() then
    return pending "TEST_BAO does not name an OpenBao program, and there is no .venv/bin/bao"
  end

  local server
  -- By reference; each has a marker of its own, which a large value repeats.
  local values, markers = {}, {}
  for _, way in ipairs({ "http", "tls", "h2" }) do
    for size, times in pairs({ small = 1, large = 2000 }) do
      local reference = ("{vault://%s/%s/v}"):format(way, size)
      markers[reference] = MARKER .. way .. size
      values[reference] = markers[reference]:rep(times)
    end
  end

  local function copies_left()
    local left = {}
    for reference, marker in pairs(markers) do
      local count = memory.copies(server:worker(), marker)
      left[#left + 1] = count > 0 and ("%d of %s"):format(count, reference) or nil
    end
    return left
  end

  setup(function()
    local ca = certs.authority "memory"
    local pair = ca.issue("vault", "DNS:localhost,IP:127.0.0.1")
    local vault = bao.start(pair)
    local folder = files.folder()
    files.chmod(folder, 493) -- 0755
    for _, part in ipairs({ "/v1", "/v1/secret" }) do
      files.chmod(files.mkdir(folder .. part), 493)
    end
    for _, mount in ipairs({ "http", "h2" }) do
      vault:mount(mount, "1")
    end
    for reference, value in pairs(values) do
      local way, name = reference:match "//(%w+)/(%w+)"
      if way == "tls" then
        files.chmod(files.write(folder .. "/v1/secret/" .. name, cjson.encode({ data = { v = value } })), 420) -- 0644
      else
        vault:write(way .. "/" .. name, { v = value })
      end
    end
    local kept = nginx.start({
      http = TLS_VAULT,
      ports = { "tls" },
      vars = { certificate = pair.certificate, key = pair.key, folder = folder },
    })
    local function vault_at(port, more)
      local config = { port = port, token = bao.TOKEN, ttl = 1, resurrect_ttl = 0 }
      for name, value in pairs(more) do
        config[name] = value
      end
      return config
    end
    local over_tls = { protocol = "https", host = "localhost", ca_cert = ca.certificate }
    local declared = cjson.encode({
      vaults = {
        { prefix = "http", name = "hcv", config = vault_at(vault.port, { mount = "http" }) },
        { prefix = "tls", name = "hcv", config = vault_at(kept.vars.tls, over_tls) },
        {
          prefix = "h2",
          name = "hcv",
          config = vault_at(vault.tls_port, {
            protocol = "https",
            host = "localhost",
            ca_cert = ca.certificate,
            mount = "h2",
          }),
        },
      },
    })
    server = nginx.start({
      env = { KONG_VAULT_DECLARATIVE_CONFIG = files.write(files.folder() .. "/kong.yml", declared) },
      http = "lua_shared_dict kong_secrets 5m;",
      init = [[assert(require("kong.vault").configure({ vault_idle_ttl = 1 }))]],
    })
  end)

  it("holds nothing of values that were dropped, large or small, by whichever way they came", function()
    for reference, value in pairs(values) do
      assert.equal(#value, server:eval(QUIET, reference))
      assert.is_true(memory.copies(server:worker(), markers[reference]) > 0, reference .. " is cached, and found")
    end
    wait.eventually("the values are dropped", function()
      return server:stats().entries == 0
    end)
    wait.poll(function()
      collect(server)
      return #copies_left() == 0
    end, 10)
    assert.same({}, copies_left())
  end)

  it("holds nothing of an entity's token after the entity is gone", function()
    local folder = admin.folder()
    -- One nginx is given the token and keeps it in the folder; another one, that never saw the request, uses it.
    local giver = admin.start(folder, {})
    local entity = { name = "hcv", config = { port = server.port, token = TOKEN } }
    assert.equal(200, (admin.json(giver, "PUT", "/vaults/mine", entity)))
    giver:stop()
    local user = admin.start(folder, { conf = "vault_idle_ttl = 1" })
    user:eval(QUIET, "{vault://mine/small/v}")
    assert.is_true(memory.copies(user:worker(), TOKEN) > 0)
    assert.equal(204, (admin.call(user, "DELETE", "/vaults/mine")))
    user:eval(QUIET, "{vault://env/nothing}")
    assert.is_true(wait.poll(function()
      collect(user)
      return memory.copies(user:worker(), TOKEN) == 0
    end, 10))
  end)
end)
