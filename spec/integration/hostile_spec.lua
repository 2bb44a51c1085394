-- Confused deputies: whatever a reference says, nothing is sent to anybody whom the operator did not name, and nothing but
-- what he would have sent.

local cleanup = require "spec.support.cleanup"
local connects = require "spec.support.connects"
local files = require "spec.support.files"
local hostile = require "spec.support.hostile"
local nginx = require "spec.support.nginx"

local cjson = require "cjson"

local TOKEN, KEY, BEARER = "0perators-t0ken", "0perators/secret+key", "ya29.0perators"

-- A vault, Secrets Manager, Secret Manager and an attacker, which write down all that they are sent.
local SERVERS = [[
  lua_need_request_body on;
  init_by_lua_block {
    local cjson = require "cjson"
    function record(who)
      local file = assert(io.open("{{prefix}}/" .. who, "a"))
      file:write(cjson.encode({ head = ngx.req.raw_header(), body = ngx.req.get_body_data() }), "\n")
      file:close()
    end
  }
  server {
    listen 127.0.0.1:{{vault}};
    location / {
      content_by_lua_block {
        record "vault"
        if ngx.var.request_uri == "/v1/secret/hello" then
          return ngx.print '{"data":{"foo":"bar"}}'
        elseif ngx.var.request_uri == "/v1/secret/away" then
          ngx.header.location = "http://127.0.0.2:{{evil}}/v1/secret/away"
          return ngx.exit(307)
        elseif ngx.var.request_uri == "/v1/secret/away-to-socket" then
          ngx.header.location = "unix:///tmp/evil.sock"
          return ngx.exit(307)
        end
        ngx.status = 404
        ngx.print '{"errors":[]}'
      }
    }
  }
  server {
    listen 127.0.0.1:{{aws}};
    location / {
      content_by_lua_block {
        record "aws"
        local name = require("cjson").decode(ngx.req.get_body_data()).SecretId
        if name == "hello" then
          return ngx.print '{"SecretString":"{\\"foo\\":\\"bar\\"}"}'
        elseif name == "away" then
          ngx.header.location = "http://127.0.0.2:{{evil}}/"
          return ngx.exit(307)
        end
        ngx.status = 400
        ngx.print '{"__type":"ResourceNotFoundException"}'
      }
    }
  }
  server {
    listen 127.0.0.1:{{google}};
    location /computeMetadata/ {
      content_by_lua_block {
        record "metadata"
        ngx.header["Metadata-Flavor"] = "Google"
        if ngx.var.uri == "/computeMetadata/v1/universe/universe-domain" then
          return ngx.print "googleapis.com"
        end
        ngx.print '{"access_token":"ya29.0perators","expires_in":3599,"token_type":"Bearer"}'
      }
    }
    location / {
      content_by_lua_block {
        record "google"
        local name, version = ngx.var.request_uri:match "^/v1/projects/ours/secrets/([%w_-]+)/versions/(%w+):access$"
        if name == "hello" and version == "latest" then
          return ngx.print '{"payload":{"data":"eyJmb28iOiJiYXIifQ=="}}'
        elseif name == "away" then
          ngx.header.location = "http://127.0.0.2:{{evil}}/"
          return ngx.exit(307)
        end
        ngx.status = 404
        ngx.print '{"error":{"code":404,"status":"NOT_FOUND","message":"Secret Version [x] not found."}}'
      }
    }
  }
  server {
    listen 127.0.0.1:{{azure}};
    location / {
      content_by_lua_block {
        record "azure"
        local evil = "https://127.0.0.2:{{evil}}"
        if ngx.var.request_method == "POST" then
          return ngx.print '{"access_token":"0perators.azure.token","expires_in":3599,"token_type":"Bearer"}'
        elseif ngx.var.uri == "/secrets/hello" then
          return ngx.print '{"value":"{\\"foo\\":\\"bar\\"}"}'
        elseif ngx.var.uri == "/secrets/away" then
          ngx.header.location = evil .. "/secrets/away"
          return ngx.exit(307)
        elseif ngx.var.uri == "/secrets/away/versions" and not ngx.var.arg_page then
          return ngx.print('{"value":[],"nextLink":"' .. evil .. '/secrets/away/versions?page=2"}')
        end
        ngx.header["www-authenticate"] = ('Bearer authorization="%s/t", resource="%s"'):format(evil, evil)
        ngx.status = 404
        ngx.print '{"error":{"code":"SecretNotFound","message":"x"}}'
      }
    }
  }
  server {
    listen 127.0.0.1:{{conjur}};
    location / {
      content_by_lua_block {
        record "conjur"
        local uri = ngx.var.request_uri
        if ngx.var.request_method == "POST" then
          return ngx.print '{"protected":"e30=","payload":"e30=","signature":"0perators"}'
        elseif uri == "/secrets/ours/variable/hello" then
          return ngx.print '{"foo":"bar"}'
        elseif uri == "/secrets/ours/variable/away" then
          ngx.header.location = "http://127.0.0.2:{{evil}}/"
          return ngx.exit(307)
        end
        ngx.status = 404
        ngx.print '{"error":{"code":"not_found","message":"CONJ00076E Variable x is empty or not found."}}'
      }
    }
  }
  server {
    listen 127.0.0.2:{{evil}};
    location / { content_by_lua_block { record "evil" } }
  }
]]

-- What a request may say of itself, in lower case.
local OF_VAULT = { ["host"] = 1, ["user-agent"] = 1, ["accept"] = 1, ["x-vault-request"] = 1, ["x-vault-token"] = 1 }
local OF_GOOGLE = { ["host"] = 1, ["user-agent"] = 1, ["accept"] = 1, ["authorization"] = 1 }
local OF_AWS = {
  ["host"] = 1,
  ["user-agent"] = 1,
  ["accept"] = 1,
  ["content-type"] = 1,
  ["content-length"] = 1,
  ["x-amz-target"] = 1,
  ["x-amz-date"] = 1,
  ["authorization"] = 1,
}

describe("of hostile references,", function()
  local servers

  local function start(more)
    local vault, aws, google = servers.vars.vault, servers.vars.aws, servers.vars.google
    local azure, evil = "http://127.0.0.1:" .. servers.vars.azure, "https://127.0.0.2:" .. servers.vars.evil
    local conjur = "http://127.0.0.1:" .. servers.vars.conjur
    local function sly_conjur(prefix, options)
      local config = { endpoint_url = evil, account = "ours", login = "host/gateway", service_id = "prod" }
      for name, value in pairs(options) do
        config[name] = value
      end
      return { prefix = prefix, name = "conjur", config = config }
    end
    local entities = {
      { prefix = "mine", name = "hcv", config = { port = vault, token = TOKEN } },
      { prefix = "cloud", name = "aws", config = { region = "eu-central-1" } },
      { prefix = "google", name = "gcp", config = { project_id = "ours" } },
      { prefix = "sly", name = "azure", config = { vault_uri = evil } },
      { prefix = "slier", name = "azure", config = { vault_uri = evil, verify_challenge_resource = false } },
      { prefix = "lure", name = "gcp", config = { project_id = "ours", endpoint_url = evil } },
      { prefix = "veil", name = "azure", config = { vault_uri = azure, proxy = evil, ssl_verify = false } },
      sly_conjur("sly-conjur", {}),
      sly_conjur("slier-conjur", { auth_method = "azure" }),
      sly_conjur("slyest-conjur", { auth_method = "azure", azure_endpoints = { evil } }),
    }
    local env = {
      KONG_VAULT_DECLARATIVE_CONFIG = files.write(files.folder() .. "/kong.yml", cjson.encode({ vaults = entities })),
      KONG_VAULT_HCV_PORT = vault,
      KONG_VAULT_HCV_TOKEN = TOKEN,
      KONG_VAULT_AWS_REGION = "eu-central-1",
      KONG_VAULT_AWS_ENDPOINT_URL = "http://127.0.0.1:" .. aws,
      AWS_ACCESS_KEY_ID = "AKIAOPERATOR",
      AWS_SECRET_ACCESS_KEY = KEY,
      AWS_EC2_METADATA_DISABLED = "true",
      KONG_VAULT_GCP_PROJECT_ID = "ours",
      KONG_VAULT_GCP_ENDPOINT_URL = "http://127.0.0.1:" .. google,
      GCE_METADATA_HOST = "127.0.0.1:" .. google,
      HOME = "/nonexistent",
      KONG_VAULT_AZURE_VAULT_URI = azure,
      KONG_VAULT_AZURE_RESOURCE = "https://127.0.0.1",
      AZURE_AUTHORITY_HOST = azure,
      AZURE_TENANT_ID = "t",
      AZURE_CLIENT_ID = "c",
      AZURE_CLIENT_SECRET = KEY,
      CONJUR_APPLIANCE_URL = conjur,
      CONJUR_ACCOUNT = "ours",
      CONJUR_AUTHN_LOGIN = "host/gateway",
      CONJUR_AUTHN_API_KEY = KEY,
    }
    for name, value in pairs(more or {}) do
      env[name] = value
    end
    -- A spec's arguments go to the worker in a header.
    local http = "large_client_header_buffers 4 128k;"
    return nginx.start({ env = env, init = [[require "kong.vault"]], http = http })
  end

  local function recorded(who)
    local list = {}
    for line in (files.read(servers.prefix .. "/" .. who) or ""):gmatch "[^\n]+" do
      local request = cjson.decode(line)
      local first, rest = request.head:match "^([^\r\n]*)\r\n(.*)$"
      request.method, request.target = first:match "^(%S+) (%S+) HTTP/1%.1$"
      request.headers = {}
      for header in rest:gmatch "([^\r\n]+)\r\n" do
        local name, value = header:match "^([^:]+): ?(.*)$"
        request.headers[name:lower()] = value
      end
      list[#list + 1] = request
    end
    return list
  end

  setup(function()
    servers = nginx.start({ ports = { "vault", "aws", "google", "azure", "conjur", "evil" }, http = SERVERS })
  end)

  teardown(cleanup.run)

  if not connects.available() then
    return pending "there is no strace to see connections with"
  end

  it("each is a clear error, and no byte leaves for anybody whom the operator did not name", function()
    local worker = start()
    local all = hostile.all(servers.vars.evil)
    assert.is_true(#all >= 150)
    local watch = connects.watch(worker:worker())
    assert.same({ "bar" }, { worker:value "{vault://hcv/hello/foo}" })
    assert.same({ "bar" }, { worker:value "{vault://aws/hello/foo}" })
    assert.same({ "bar" }, { worker:value "{vault://gcp/hello/foo}" })
    assert.same({ "bar" }, { worker:value "{vault://azure/hello/foo}" })
    assert.same({ "bar" }, { worker:value "{vault://conjur/hello/foo}" })
    local unclear = {}
    for _, pair in ipairs(all) do
      local reference, expected = pair[1], pair[2]
      local value, err = worker:value(reference)
      local is_clear = value == nil
        and type(err) == "string"
        and err:find(expected)
        and not err:find "[%c]"
        and #err < 2000
        and not err:find(TOKEN, 1, true)
        and not err:find(KEY, 1, true)
        and not err:find(BEARER, 1, true)
      if not is_clear then
        unclear[#unclear + 1] = ("%s\n  gives %s, %s\n  not %s"):format(reference:sub(1, 200), value, err, expected)
      end
    end
    assert.same("", table.concat(unclear, "\n"))
    assert.same({ "bar" }, { worker:value "{vault://mine/hello/foo}" })
    local own = worker:eval "return require('kong.vault.native').vm:engine_address()"

    local found = watch:stop()
    local named = {}
    for _, server in ipairs({ "vault", "aws", "google", "azure", "conjur" }) do
      local address = "127.0.0.1:" .. servers.vars[server]
      assert.is_truthy(found[address], "the watch saw nothing")
      named[address] = true
    end
    for address in pairs(found) do
      local is_named = named[address] or address:gsub('["@]', "") == own
      assert.is_true(is_named, "connected to " .. address)
    end
    assert.same({}, recorded "evil")
    assert.same({}, worker:flaws({ TOKEN, KEY, BEARER }))
  end)

  it("what goes to the vault is what the operator would have sent", function()
    local requests = recorded "vault"
    assert.is_true(#requests > 10)
    for _, request in ipairs(requests) do
      assert.same("GET", request.method)
      -- Unreserved characters and escapes: nothing that a server could take for more than a part of a name.
      assert.matches("^/v1/secret/[%w%-._~%%/]+$", request.target)
      for part in request.target:gmatch "[^/]+" do
        assert.is_false(part == "." or part == "..", request.target)
      end
      assert.same("127.0.0.1:" .. servers.vars.vault, request.headers.host)
      assert.same(TOKEN, request.headers["x-vault-token"])
      for name in pairs(request.headers) do
        assert.is_truthy(OF_VAULT[name], name)
      end
      assert.is_nil(request.body)
    end
  end)

  it("what goes to AWS is what the operator would have sent", function()
    local requests = recorded "aws"
    assert.is_true(#requests > 3)
    for _, request in ipairs(requests) do
      assert.same({ "POST", "/" }, { request.method, request.target })
      assert.same("127.0.0.1:" .. servers.vars.aws, request.headers.host)
      assert.same("secretsmanager.GetSecretValue", request.headers["x-amz-target"])
      assert.matches(
        "^AWS4%-HMAC%-SHA256 Credential=AKIAOPERATOR/%d+/eu%-central%-1/secretsmanager/aws4_request, ",
        request.headers.authorization
      )
      for name in pairs(request.headers) do
        assert.is_truthy(OF_AWS[name], name)
      end
      local asked = cjson.decode(request.body)
      assert.same({ SecretId = asked.SecretId, VersionStage = "AWSCURRENT" }, asked)
    end
  end)

  it("what goes to Google is what the operator would have sent", function()
    local requests = recorded "google"
    assert.is_true(#requests > 2)
    for _, request in ipairs(requests) do
      assert.same("GET", request.method)
      assert.matches("^/v1/projects/ours/secrets/[%w_-]+/versions/%w+:access$", request.target)
      assert.same("127.0.0.1:" .. servers.vars.google, request.headers.host)
      assert.same("Bearer " .. BEARER, request.headers.authorization)
      for name in pairs(request.headers) do
        assert.is_truthy(OF_GOOGLE[name], name)
      end
      assert.is_nil(request.body)
    end
    for _, request in ipairs(recorded "metadata") do
      assert.same("Google", request.headers["metadata-flavor"])
      assert.is_nil(request.headers.authorization)
    end
  end)

  it("what goes to Azure is what the operator would have sent", function()
    local requests = recorded "azure"
    assert.is_true(#requests > 3)
    for _, request in ipairs(requests) do
      assert.same("127.0.0.1:" .. servers.vars.azure, request.headers.host)
      if request.method == "POST" then
        assert.same("/t/oauth2/v2.0/token", request.target)
        assert.matches(
          "^grant_type=client_credentials&client_id=c&scope=https%%3A%%2F%%2F127%.0%.0%.1%%2F%.default&",
          request.body
        )
        assert.is_nil(request.headers.authorization)
      else
        assert.matches("^/secrets/[%w-]+", request.target)
        assert.same("Bearer 0perators.azure.token", request.headers.authorization)
        assert.is_nil(request.body)
      end
    end
  end)

  it("what goes to Conjur is what the operator would have sent", function()
    local token = require("mime").b64 '{"protected":"e30=","payload":"e30=","signature":"0perators"}'
    local requests = recorded "conjur"
    assert.is_true(#requests > 3)
    for _, request in ipairs(requests) do
      assert.same("127.0.0.1:" .. servers.vars.conjur, request.headers.host)
      if request.method == "POST" then
        assert.same("/authn/ours/host%2Fgateway/authenticate", request.target)
        assert.same(KEY, request.body)
        assert.is_nil(request.headers.authorization)
      else
        assert.matches("^/secrets/ours/variable/[^/?#]+$", (request.target:gsub("%?version=%d+$", "")))
        assert.same(('Token token="%s"'):format(token), request.headers.authorization)
        assert.is_nil(request.body)
      end
    end
  end)

  it("the watch would see one that gets through", function()
    local worker = start({ KONG_VAULT_STRICT_COMPATIBILITY = "true" })
    local watch = connects.watch(worker:worker())
    worker:value(("{vault://hcv/hello/foo?host=127.0.0.2&port=%s}"):format(servers.vars.evil))
    assert.is_truthy(watch:stop()["127.0.0.2:" .. servers.vars.evil])
    assert.same(TOKEN, recorded("evil")[1].headers["x-vault-token"])
  end)
end)
