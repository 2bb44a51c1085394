-- `get` in every phase of nginx: which may wait, which may not, and what each sees.

local cleanup = require "spec.support.cleanup"
local certs = require "spec.support.certs"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local HTTP = [[
  ssl_session_cache off;
  ssl_certificate {{certificate}};
  ssl_certificate_key {{key}};
  upstream balanced {
    server 127.0.0.1:1;
    balancer_by_lua_block {
      note_by_arguments()
      assert(require("ngx.balancer").set_current_peer("127.0.0.1", {{port}}))
    }
  }
  server {
    listen 127.0.0.1:{{tls}} ssl;
    ssl_certificate_by_lua_block {
      local ssl = require "ngx.ssl"
      local name = ssl.server_name()
      note_by_server_name("ssl_cert", name)
      if name:find("^served") then
        local vault = require "kong.vault"
        assert(ssl.clear_certs())
        assert(ssl.set_cert(assert(ssl.parse_pem_cert(assert(vault.get("{vault://hcv/pair/certificate}"))))))
        assert(ssl.set_priv_key(assert(ssl.parse_pem_priv_key(assert(vault.get("{vault://hcv/pair/key}"))))))
      end
    }
    location / { return 200 "over TLS"; }
  }
  server {
    listen 127.0.0.1:{{rewriting}};
    server_rewrite_by_lua_block { note_by_arguments() }
    location / { return 200; }
  }
  server {
    listen 127.0.0.1:{{tls_hello}} ssl;
    ssl_client_hello_by_lua_block {
      note_by_server_name("ssl_client_hello", require("ngx.ssl.clienthello").get_client_hello_server_name())
    }
    location / { return 200 "over TLS"; }
  }
  # Shows whether this nginx lets anybody wait in that phase: it takes a patch of OpenResty's.
  server {
    listen 127.0.0.1:{{tls_hello_sleep}} ssl;
    ssl_client_hello_by_lua_block { ngx.sleep(0.001) }
    location / { return 200 "over TLS"; }
  }
]]

local SERVER = [[
  location /set { set_by_lua_block $unused { note_by_arguments() return "" } return 200; }
  location /rewrite { rewrite_by_lua_block { note_by_arguments() } content_by_lua_block { ngx.print "done" } }
  location /access { access_by_lua_block { note_by_arguments() } content_by_lua_block { ngx.print "done" } }
  location /content { content_by_lua_block { note_by_arguments() } }
  location /header_filter {
    header_filter_by_lua_block { note_by_arguments() }
    content_by_lua_block { ngx.print "done" }
  }
  location /body_filter {
    body_filter_by_lua_block { if not ngx.ctx.noted then ngx.ctx.noted = true note_by_arguments() end }
    content_by_lua_block { ngx.print "done" }
  }
  location /log { log_by_lua_block { note_by_arguments() } content_by_lua_block { ngx.print "done" } }
  location /timer {
    content_by_lua_block {
      local name, reference = ngx.var.arg_name, ngx.unescape_uri(ngx.var.arg_reference)
      assert(ngx.timer.at(0, function() require("spec.support.inside").note(name, reference) end))
    }
  }
  location /subrequest { content_by_lua_block { ngx.location.capture("/content", { args = ngx.var.args }) } }
  location /balancer { proxy_pass http://balanced/_ready; }
]]

-- Loaded at start: whatever sees the environment later sees nginx's wiped one.
local INIT = [[
  local inside, vault = require "spec.support.inside", require "kong.vault"
  function note_by_arguments()
    return inside.note(ngx.var.arg_name, ngx.unescape_uri(ngx.var.arg_reference))
  end
  function note_by_server_name(phase, name)
    inside.note(phase .. "/" .. name, "{vault://hcv/" .. phase .. "-" .. name:match("^[^.]*") .. "/value}")
  end
  inside.note("init/env", "{vault://env/of-the-specs}")
  inside.note("init/cold", "{vault://hcv/init/value}")
  inside.note("init/cached", "{vault://hcv/init/value}")
  inside.note("init/failed", "{vault://hcv/absent/value}")
]]

local INIT_WORKER = [[
  local inside = require "spec.support.inside"
  inside.note("init_worker/env", "{vault://env/of-the-specs}")
  inside.note("init_worker/of_init", "{vault://hcv/init/value}")
  inside.note("init_worker/cold", "{vault://hcv/init-worker/value}")
  inside.note("init_worker/cached", "{vault://hcv/init-worker/count}")
]]

local EXIT_WORKER = [[
  local vault = require "kong.vault"
  local file = assert(io.open("{{prefix}}/exit_worker", "wb"))
  for _, path in ipairs({ "env/of-the-specs", "hcv/init-worker/value", "hcv/never/value" }) do
    local value, err = vault.get("{vault://" .. path .. "}")
    file:write(tostring(value), " ", tostring(err), "\n")
  end
  file:close()
]]

describe("get in nginx", function()
  local server, vault

  setup(function()
    local ca = certs.authority "specs"
    local fallback, served = ca.issue("fallback", "DNS:fallback"), ca.issue("served", "DNS:served")
    vault = fake.start()
    vault:route("/v1/secret/never", { gate = "never" })
    vault:route("/v1/secret/absent", { status = 404, body = '{"errors":[]}' })
    vault:route("/v1/secret/pair", {
      body = cjson.encode({ data = { certificate = files.read(served.certificate), key = files.read(served.key) } }),
    })
    server = nginx.start({
      env = { OF_THE_SPECS = "captured", KONG_VAULT_HCV_PORT = vault.port },
      ports = { "tls", "tls_hello", "tls_hello_sleep", "rewriting" },
      vars = { certificate = fallback.certificate, key = fallback.key },
      http = HTTP,
      server = SERVER,
      init = INIT,
      init_worker = INIT_WORKER,
      exit_worker = EXIT_WORKER,
    })
  end)

  teardown(cleanup.run)

  -- Has `phase` ask for a reference, and returns what came of it: value, err, phase.
  local number = 0
  local function ask(phase, reference)
    number = number + 1
    local name = ("%s-%d"):format(phase, number)
    local path = ("/%s?name=%s&reference=%s"):format(phase, name, http.escape(reference))
    local port = phase == "server_rewrite" and server.vars.rewriting or server.port
    assert.equal(200, http.request(port, path).status)
    wait.eventually(phase .. " ran", function()
      return select(3, server:noted(name))
    end)
    return server:noted(name)
  end

  -- Makes a TLS request; returns what openssl saw of certificate and answer, or nil.
  local function over_tls(port, name)
    local client =
      "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | openssl s_client -connect 127.0.0.1:%d -servername %s -ign_eof"
    local status, output = process.run({ command = { "sh", "-c", client:format(server.vars[port], name) } })
    return status == 0 and output or nil
  end

  it("gives values in init, and keeps no thread that a fork would lose", function()
    assert.same({ "captured", nil, "init" }, { server:noted "init/env" })
    assert.same({ "value of init", nil, "init" }, { server:noted "init/cold" })
    assert.same({ "value of init", nil, "init" }, { server:noted "init/cached" })
    local value, err = server:noted "init/failed"
    assert.is_nil(value)
    assert.matches("there is no secret/absent", err, 1, true)
    assert.equal(1, process.threads(server.process.pid))
  end)

  it("gives values in init_worker, with what init saw of environment and vaults", function()
    assert.same({ "captured", nil, "init_worker" }, { server:noted "init_worker/env" })
    assert.equal("value of init", (server:noted "init_worker/of_init"))
    assert.equal("value of init-worker", (server:noted "init_worker/cold"))
    assert.equal("1", (server:noted "init_worker/cached"))
    assert.equal(1, vault:count "/v1/secret/init")
    assert.equal(1, vault:count "/v1/secret/init-worker")
  end)

  for _, phase in ipairs({ "server_rewrite", "rewrite", "access", "content", "timer" }) do
    it("waits for a cold secret in " .. phase .. ", then has it", function()
      local reference = ("{vault://hcv/cold-%s/value}"):format(phase)
      assert.same({ "value of cold-" .. phase, nil, phase }, { ask(phase, reference) })
      assert.same({ "value of cold-" .. phase, nil, phase }, { ask(phase, reference) })
      assert.equal("captured", (ask(phase, "{vault://env/of-the-specs}")))
      assert.equal(1, vault:count("/v1/secret/cold-" .. phase))
    end)
  end

  it("waits for a cold secret in a subrequest", function()
    assert.equal("value of sub", (ask("subrequest", "{vault://hcv/sub/value}")))
  end)

  for _, phase in ipairs({ "set", "header_filter", "body_filter", "log", "balancer" }) do
    it("does not wait in " .. phase .. ", but fetches in the background", function()
      local reference = ("{vault://hcv/cold-%s/value}"):format(phase)
      vault:route("/v1/secret/cold-" .. phase, { gate = phase })
      local value, err, ran = ask(phase, reference)
      assert.is_nil(value)
      assert.matches("^could not get value from external vault %(no value found %(.*would block", err)
      assert.equal(phase, ran)
      vault:open(phase)
      wait.eventually("the value of a background fetch is there", function()
        return ask(phase, reference)
      end)
      assert.same({ "value of cold-" .. phase, nil, phase }, { ask(phase, reference) })
      assert.equal("captured", (ask(phase, "{vault://env/of-the-specs}")))
      assert.equal(1, vault:count("/v1/secret/cold-" .. phase))
    end)

    it("gives what is cached in " .. phase, function()
      local reference = ("{vault://hcv/warm-%s/value}"):format(phase)
      assert.equal("value of warm-" .. phase, (server:value(reference)))
      assert.same({ "value of warm-" .. phase, nil, phase }, { ask(phase, reference) })
    end)
  end

  for _, phase in ipairs({ "set", "header_filter", "body_filter", "log", "balancer" }) do
    it("gives what is stale in " .. phase .. ", and has it refreshed", function()
      local path = "/v1/secret/stale-" .. phase
      local reference = ("{vault://hcv/stale-%s/value?ttl=0.05}"):format(phase)
      assert.is_truthy(server:value(reference))
      wait.eventually("a stale value is refreshed", function()
        assert.equal("value of stale-" .. phase, (ask(phase, reference)))
        return vault:count(path) > 1
      end)
    end)
  end

  it("waits for a cold secret in ssl_certificate", function()
    for _ = 1, 2 do
      assert.matches("over TLS", over_tls("tls", "name"), 1, true)
      assert.same({ "value of ssl_cert-name", nil, "ssl_cert" }, { server:noted "ssl_cert/name" })
    end
  end)

  it("serves a certificate and its key out of one document, fetched once", function()
    for _ = 1, 2 do
      assert.matches("CN = served", over_tls("tls", "served"), 1, true)
    end
    assert.matches("CN = fallback", over_tls("tls", "other"), 1, true)
    assert.equal(1, vault:count "/v1/secret/pair")
  end)

  it("gives what is cached in ssl_client_hello", function()
    server:value "{vault://hcv/ssl_client_hello-warm/value}"
    assert.matches("over TLS", over_tls("tls_hello", "warm"), 1, true)
    local expected = { "value of ssl_client_hello-warm", nil, "ssl_client_hello" }
    assert.same(expected, { server:noted "ssl_client_hello/warm" })
  end)

  it("waits for a cold secret in ssl_client_hello, if this nginx can; otherwise has it fetched", function()
    if not over_tls("tls_hello_sleep", "cold") then
      vault:route("/v1/secret/ssl_client_hello-cold", { gate = "hello" })
      assert.matches("over TLS", over_tls("tls_hello", "cold"), 1, true)
      local value, err, phase = server:noted "ssl_client_hello/cold"
      assert.same({ nil, "ssl_client_hello" }, { value, phase })
      assert.matches("would block", err, 1, true)
      vault:open "hello"
      wait.eventually("the value of a background fetch is there", function()
        assert.matches("over TLS", over_tls("tls_hello", "cold"), 1, true)
        return (server:noted "ssl_client_hello/cold")
      end)
    end
    assert.matches("over TLS", over_tls("tls_hello", "cold"), 1, true)
    local expected = { "value of ssl_client_hello-cold", nil, "ssl_client_hello" }
    assert.same(expected, { server:noted "ssl_client_hello/cold" })
  end)

  it("keeps to one thread of its own, and exits with what exit_worker still could read", function()
    assert.is_true(process.threads(server:worker()) <= 2)
    assert.equal(0, server:stop "QUIT")
    local lines = {}
    for line in files.read(server.prefix .. "/exit_worker"):gmatch "[^\n]+" do
      lines[#lines + 1] = line
    end
    assert.equal("captured nil", lines[1])
    assert.equal("value of init-worker nil", lines[2])
    assert.matches("^nil could not get value .*would block", lines[3])
    assert.same({}, server:flaws())
  end)
end)
