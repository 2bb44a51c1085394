-- The ways to a vault, and certificates that change, in an nginx worker.

local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local PASSWORD = "pr0xy-passw0rd"

-- A vault that wants a certificate, tells whose it got, and takes a connection for each request.
local STRICT = [[
  server {
    listen 127.0.0.1:{{tls}} ssl;
    ssl_certificate {{certificate}};
    ssl_certificate_key {{key}};
    ssl_client_certificate {{ca}};
    ssl_verify_client on;
    keepalive_timeout 0;
    location / { return 200 '{"data":{"who":"$ssl_client_s_dn"}}'; }
  }
]]

local function start(vaults, env)
  env = env or {}
  env.KONG_VAULT_DECLARATIVE_CONFIG = files.write(files.folder() .. "/kong.yml", cjson.encode({ vaults = vaults }))
  return nginx.start({ env = env, init = [[require "kong.vault"]] })
end

local function replace(path, other)
  files.write(path .. ".new", files.read(other))
  assert(os.rename(path .. ".new", path))
end

describe("on the way to a vault,", function()
  teardown(cleanup.run)

  it("a renewed client certificate is used without a reload, and a broken one is told of once", function()
    local ca = certs.authority "ours"
    local server, first, second =
      ca.issue("server", "DNS:localhost"), ca.issue("first", "DNS:a"), ca.issue("second", "DNS:b")
    local vault = nginx.start({
      ports = { "tls" },
      vars = { certificate = server.certificate, key = server.key, ca = ca.certificate },
      http = STRICT,
    })
    local config = {
      protocol = "https",
      host = "localhost",
      port = vault.vars.tls,
      ca_cert = ca.certificate,
      client_cert = first.certificate,
      client_key = first.key,
    }
    local worker = start({ { prefix = "strict", name = "hcv", config = config } })
    local count = 0
    local function who()
      count = count + 1
      return worker:value(("{vault://strict/document-%d/who}"):format(count))
    end
    assert.same("CN=first", who())

    replace(first.certificate, second.certificate)
    local told = "is not the key of the certificate file " .. first.certificate
    wait.eventually("the log tells of the pair that does not fit", function()
      assert.same("CN=first", who())
      return worker:logged(told) == 1
    end)
    replace(first.key, second.key)
    wait.eventually("the new pair is used", function()
      return who() == "CN=second"
    end)
    wait.eventually("the log tells of its end", function()
      who()
      return worker:log():find("the changed certificates are in use", 1, true)
    end)
    assert.same(1, worker:logged(told))
    assert.same({}, worker:flaws())
  end)

  it("the proxy that the environment named is asked, and no name is resolved", function()
    local proxy = fake.start()
    local worker = start({
      { prefix = "far", name = "hcv", config = { host = "vault.invalid" } },
      { prefix = "near", name = "hcv", config = { host = "near.invalid" } },
      { prefix = "own", name = "hcv", config = { host = "own.invalid", proxy = "http://127.0.0.1:1" } },
    }, {
      HTTP_PROXY = ("http://gateway:%s@127.0.0.1:%d"):format(PASSWORD, proxy.port),
      NO_PROXY = "near.invalid,example.com",
    })
    assert.same({ "value of a" }, { worker:value "{vault://far/a/value}" })
    assert.same(1, proxy:count "/v1/secret/a")
    proxy:route("/v1/secret/b", { status = 407, body = "" })
    local _, err = worker:value "{vault://far/b/value}"
    assert.matches(
      "hcv vault %(far%) at vault.invalid:8200 by the proxy 127.0.0.1:%d+: the proxy requires credentials",
      err
    )
    _, err = worker:value "{vault://near/a/value}"
    assert.matches("at near.invalid:8200: cannot resolve", err)
    _, err = worker:value "{vault://own/a/value}"
    assert.matches("at own.invalid:8200: the proxy 127.0.0.1:1: connection refused", err)
    assert.same({}, worker:flaws({ PASSWORD }))
  end)

  it("a socket in the file system is a vault's address", function()
    local path = files.folder() .. "/agent.sock"
    nginx.start({
      http = ([[server { listen unix:%s; location / { return 200 '{"data":{"host":"$host"}}'; } }]]):format(path),
    })
    local worker = start({ { prefix = "agent", name = "hcv", config = { host = "unix://" .. path } } })
    assert.same({ "localhost" }, { worker:value "{vault://agent/a/host}" })
    local elsewhere = start({ { prefix = "agent", name = "hcv", config = { host = "unix:///nowhere/agent.sock" } } })
    local _, err = elsewhere:value "{vault://agent/a/host}"
    assert.matches("hcv vault %(agent%) at unix:///nowhere/agent.sock: there is no such socket", err)
  end)
end)
