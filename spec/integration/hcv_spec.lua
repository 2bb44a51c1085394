-- The `hcv` vault in an nginx worker, against a real OpenBao.

local bao = require "spec.support.bao"
local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local WRONG = "wr0ng-T0ken"

describe("hcv in nginx", function()
  if not bao.program() then
    return pending "TEST_BAO does not name an OpenBao program, and there is no .venv/bin/bao"
  end

  local server, vault

  setup(function()
    local ours, theirs = certs.authority "ours", certs.authority "theirs"
    vault = bao.start(ours.issue("bao", "DNS:localhost,IP:127.0.0.1"))

    vault:mount("old/kv", "1")
    vault:write("old/kv/hello", { foo = "of v1", n = 1 })
    vault:write("old/kv/a/b/c", { foo = "nested" })
    vault:write("old/kv/encoded", { foo = "aGVsbG8=" })

    vault:mount("new/kv", "2")
    for _, value in ipairs({ "one", "two", "three", "four" }) do
      vault:write("new/kv/data/team/hello", { data = { foo = value, bar = "with " .. value } })
    end
    vault:write("new/kv/delete/team/hello", { versions = { 2 } })
    vault:write("new/kv/destroy/team/hello", { versions = { 3 } })
    vault:write("secret/data/hello", { data = { foo = "of the default mount" } })

    vault:write("sys/namespaces/department", {})
    vault:mount("kv", "1", "department")
    vault:write("kv/hello", { foo = "of the department" }, "department")

    local v1 = { port = vault.port, token = bao.TOKEN, mount = "old/kv" }
    local v2 = { port = vault.port, token = bao.TOKEN, mount = "new/kv", kv = "v2" }
    local function with(base, more)
      local config = {}
      for _, options in ipairs({ base, more }) do
        for name, value in pairs(options) do
          config[name] = value
        end
      end
      return config
    end
    local over_tls = with(v2, { protocol = "https", host = "localhost", port = vault.tls_port })
    local declared = cjson.encode({
      vaults = {
        { prefix = "one", name = "hcv", config = v1 },
        { prefix = "two", name = "hcv", config = v2 },
        { prefix = "two-with-ttl", name = "hcv", config = with(v2, { ttl = 0.05 }) },
        { prefix = "mixed-up", name = "hcv", config = with(v2, { kv = "v1" }) },
        { prefix = "department", name = "hcv", config = with(v1, { mount = "kv", namespace = "department" }) },
        { prefix = "elsewhere", name = "hcv", config = with(v1, { namespace = "nobody" }) },
        { prefix = "no-token", name = "hcv", config = { port = vault.port, mount = "old/kv" } },
        { prefix = "wrong-token", name = "hcv", config = with(v1, { token = WRONG }) },
        { prefix = "tls", name = "hcv", config = with(over_tls, { ca_cert = ours.certificate }) },
        { prefix = "tls-text", name = "hcv", config = with(over_tls, { ca_cert = files.read(ours.certificate) }) },
        { prefix = "tls-unchecked", name = "hcv", config = with(over_tls, { ssl_verify = false }) },
        { prefix = "tls-unknown", name = "hcv", config = with(over_tls, { ca_cert = theirs.certificate }) },
        { prefix = "tls-system", name = "hcv", config = over_tls },
      },
    })
    server = nginx.start({
      env = {
        KONG_VAULT_DECLARATIVE_CONFIG = files.write(files.folder() .. "/kong.yml", declared),
        KONG_VAULT_HCV_PORT = vault.port,
        KONG_VAULT_HCV_TOKEN = bao.TOKEN,
        KONG_VAULT_HCV_KV = "v2",
      },
      init = [[require "kong.vault"]],
    })
  end)

  teardown(cleanup.run)

  for reference, expected in pairs({
    ["{vault://hcv/hello/foo}"] = "of the default mount",
    ["{vault://one/hello/foo}"] = "of v1",
    ["{vault://one/a/b/c/foo}"] = "nested",
    ["{vault://one/a/b/c/}"] = '{"foo":"nested"}',
    ["{vault://one/a%2Fb%2Fc/foo}"] = "nested",
    ["{vault://one/encoded/foo}"] = "aGVsbG8=",
    ["{vault://one/encoded/foo?base64_decode=true}"] = "hello",
    ["{vault://two/team/hello/foo}"] = "four",
    ["{vault://two/team/hello/bar}"] = "with four",
    ["{vault://two/team/hello/foo#4}"] = "four",
    ["{vault://two/team/hello/foo#1}"] = "one",
    ["{vault://department/hello/foo}"] = "of the department",
    ["{vault://tls/team/hello/foo}"] = "four",
    ["{vault://tls-text/team/hello/foo}"] = "four",
    ["{vault://tls-unchecked/team/hello/foo}"] = "four",
  }) do
    it("reads " .. reference, function()
      for _ = 1, 2 do
        assert.same({ expected, nil }, { server:value(reference) })
      end
    end)
  end

  for reference, reason in pairs({
    ["{vault://one/nothing/foo}"] = "there is no old/kv/nothing",
    ["{vault://one/hello/bar}"] = "subfield bar not found in JSON secret",
    ["{vault://one/hello/n}"] = "unexpected number value in JSON secret for subfield n",
    ["{vault://two/team/nothing/foo}"] = "there is no new/kv/data/team/nothing",
    ["{vault://two/team/hello/foo#2}"] = "version 2 of new/kv/data/team/hello is deleted",
    ["{vault://two/team/hello/foo#3}"] = "version 3 of new/kv/data/team/hello is destroyed",
    ["{vault://two/team/hello/foo#9}"] = "no version 9",
    ["{vault://mixed-up/team/hello/foo}"] = "set `kv` to v2",
    ["{vault://elsewhere/hello/foo}"] = "correct `namespace`",
    ["{vault://no-token/hello/foo}"] = "set `token`",
    ["{vault://wrong-token/hello/foo}"] = "the token is wrong or expired",
    ["{vault://tls-unknown/team/hello/foo}"] = "from a CA that is not trusted",
    ["{vault://tls-system/team/hello/foo}"] = "from a CA that is not trusted",
  }) do
    it("says why it can't read " .. reference, function()
      local value, err = server:value(reference)
      assert.is_nil(value)
      assert.matches(reason, err, 1, true)
      assert.is_nil(err:find(WRONG, 1, true))
    end)
  end

  it("keeps a value without a ttl, and takes up a new one after a ttl", function()
    assert.equal("four", (server:value "{vault://two/team/hello/foo}"))
    assert.equal("four", (server:value "{vault://two-with-ttl/team/hello/foo}"))
    vault:write("new/kv/data/team/hello", { data = { foo = "five", bar = "with five" } })
    wait.eventually("the new version is seen", function()
      return server:value "{vault://two-with-ttl/team/hello/foo}" == "five"
    end)
    assert.equal("four", (server:value "{vault://two/team/hello/foo}"))
    assert.equal("with four", (server:value "{vault://two/team/hello/bar}"))
    assert.equal("five", (server:value "{vault://two/team/hello/foo#5}"))
    server:eval "return require('kong.vault').flush()"
    assert.equal("five", (server:value "{vault://two/team/hello/foo}"))
    assert.equal("with five", (server:value "{vault://two/team/hello/bar}"))
  end)

  it("says that a vault is sealed, keeps what it has, and goes on once that is over", function()
    local key = vault:seal()
    local value, err = server:value "{vault://one/never-read/foo}"
    assert.is_nil(value)
    assert.matches("the vault is sealed: unseal it", err, 1, true)
    assert.matches("503", err, 1, true)
    assert.equal("of v1", (server:value "{vault://one/hello/foo}"))
    vault:unseal(key)
    wait.eventually("the vault answers again", function()
      return server:value "{vault://one/encoded/foo?ttl=60}" == "aGVsbG8="
    end)
  end)

  it("writes no token and no secret down", function()
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ bao.TOKEN, WRONG, "of the default mount", "aGVsbG8=" }))
  end)
end)
