-- Azure's vaults in nginx workers: tokens that end every few seconds under load, and certificates for TLS.

local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local http = require "spec.support.http"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

-- Seconds that a token lives, and seconds of load.
local LIFE, LOAD = 5, 16

-- Entra ID and a key vault, which takes only tokens that were given and live.
local SERVERS = [[
  lua_shared_dict azure 1m;
  lua_need_request_body on;
  server {
    listen 127.0.0.1:{{azure}};
    location / {
      content_by_lua_block {
        local cjson = require "cjson"
        local azure = ngx.shared.azure
        if ngx.var.uri == "/logins" then
          return ngx.print(azure:get "logins" or 0)
        elseif ngx.var.request_method == "POST" then
          assert(ngx.var.uri == "/tenant/oauth2/v2.0/token")
          assert(ngx.req.get_post_args().client_secret == "of-the-app")
          local token = "token-" .. azure:incr("logins", 1, 0)
          azure:set(token, true, {{life}})
          return ngx.print(cjson.encode({ access_token = token, expires_in = {{life}}, token_type = "Bearer" }))
        end
        local token = (ngx.var.http_authorization or ""):match "^Bearer (.+)$"
        if not (token and azure:get(token)) then
          ngx.status = 401
          ngx.header["www-authenticate"] = 'Bearer authorization="https://a/tenant", resource="https://vault.azure.net"'
          return ngx.print '{"error":{"code":"Unauthorized","message":"[TokenExpired]"}}'
        end
        local file = io.open("{{prefix}}/" .. ngx.var.uri:match "^/secrets/([%w-]+)$")
        if not file then
          ngx.status = 404
          return ngx.print '{"error":{"code":"SecretNotFound","message":"x"}}'
        end
        ngx.print(cjson.encode({ value = file:read "*a", contentType = ngx.var["arg_outContentType"] }))
        file:close()
      }
    }
  }
]]

-- A server whose certificate is one of Key Vault.
local TLS = [[
  lua_shared_dict kong_secrets 5m;
  ssl_session_cache off;
  server {
    listen 127.0.0.1:{{tls}} ssl;
    ssl_certificate {{certificate}};
    ssl_certificate_key {{key}};
    ssl_certificate_by_lua_block {
      package.path = package.path .. ";{{root}}/examples/?.lua"
      require("tls_certificate").serve({
        cert = "{vault://azure-certs/site/cert?ttl=1}",
        key = "{vault://azure-certs/site/key?ttl=1}",
      })
    }
    location / { return 200 "over TLS"; }
  }
]]

describe("azure in nginx,", function()
  local servers, worker, ca, default

  local function put(name, text)
    files.write(servers.prefix .. "/" .. name, text)
  end

  local function start(more)
    local url = "http://127.0.0.1:" .. servers.vars.azure
    local env = {
      AZURE_AUTHORITY_HOST = url,
      AZURE_TENANT_ID = "tenant",
      AZURE_CLIENT_ID = "app",
      AZURE_CLIENT_SECRET = "of-the-app",
    }
    for _, vault in ipairs({ "AZURE", "AZURE_CERTS" }) do
      env["KONG_VAULT_" .. vault .. "_VAULT_URI"] = url
      env["KONG_VAULT_" .. vault .. "_VERIFY_CHALLENGE_RESOURCE"] = "off"
    end
    local options = { env = env, init = [[require "kong.vault"]], workers = 2 }
    for name, value in pairs(more or {}) do
      options[name] = value
    end
    return nginx.start(options)
  end

  setup(function()
    servers = nginx.start({ ports = { "azure" }, http = SERVERS, vars = { life = LIFE } })
    ca = certs.authority "issuer"
    default = ca.issue("default", "DNS:default.test")
    put("db", '{"password":"from Key Vault"}')
  end)

  teardown(cleanup.run)

  it("no read fails while tokens end under load, and there are no more logins than tokens ask for", function()
    worker = start({ http = "lua_shared_dict kong_secrets 5m;" })
    local path = nginx.value_path "{vault://azure/db/password?ttl=0.05&resurrect_ttl=0}"
    local running = load.start(worker, { paths = { path }, rate = 200, connections = 8 })
    wait.pass(LOAD)
    local samples = running:stop()
    assert.is_true(#samples > LOAD * 50, #samples)
    assert.same({}, samples:failures())
    for _, sample in ipairs(samples) do
      assert.equal("from Key Vault", sample.body)
    end
    -- Each worker has a token of its own, and renews it when a quarter to a third of its life is left.
    local logins = tonumber(http.request(servers.vars.azure, "/logins").body)
    assert.is_true(logins >= 2 and logins <= 2 * math.ceil(LOAD / (LIFE * 0.6)) + 2, logins)
    assert.same({}, worker:flaws({ "of-the-app", "token-" }))
  end)

  it("a certificate of Key Vault serves TLS with its chain, and the next one after `ttl`", function()
    local function issue(name)
      local pair = ca.issue(name, "DNS:site.test")
      -- As Key Vault has it: the key first; and the issuer before the certificate, as nobody wants it.
      put("site", files.read(pair.key) .. files.read(ca.certificate) .. files.read(pair.certificate))
    end
    issue "first"
    local tls = start({
      http = TLS,
      ports = { "tls" },
      vars = { certificate = default.certificate, key = default.key },
    })
    local function shown()
      local address = "127.0.0.1:" .. tls.vars.tls
      local command =
        { "openssl", "s_client", "-connect", address, "-servername", "site.test", "-CAfile", ca.certificate }
      local _, output = process.run({ command = command })
      return output
    end
    local output = shown()
    assert.matches("subject=CN ?= ?first", output)
    assert.matches("Verify return code: 0", output, 1, true)
    local _, presented = output:gsub("\n %d s:", "")
    assert.equal(2, presented)
    issue "second"
    wait.eventually("the new certificate is served", function()
      return shown():find "subject=CN ?= ?second" ~= nil
    end)
    assert.same({}, tls:flaws({ "of-the-app", "token-", "PRIVATE KEY" }))
  end)

  it("strategies take options from the environment while Kong reads kong.conf", function()
    local pair = ca.issue("strategy", "DNS:site.test")
    put("strategy", files.read(pair.key) .. files.read(pair.certificate))
    local kong = start({
      init = [[
        local azure, certificates = require "kong.vaults.azure.init", require "kong.vaults.azure-certs.init"
        azure.init()
        certificates.init()
        in_init = { azure.get({}, "db"), certificates.get({}, "strategy") }
      ]],
    })
    assert.equal('{"password":"from Key Vault"}', (kong:eval "return in_init[1]"))
    local fields = require("cjson").decode((kong:eval "return in_init[2]"))
    assert.equal(files.read(pair.certificate), fields.cert)
    assert.matches("PRIVATE KEY", fields.key)
  end)
end)
