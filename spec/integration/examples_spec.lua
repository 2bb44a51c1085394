-- The examples do what they say: with other ports, and with the module from this folder.

local bao = require "spec.support.bao"
local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local function example(name)
  return assert(files.read(files.root .. "/examples/" .. name))
end

-- Replaces a piece of an example that has to be there.
local function with(text, old, new)
  local from, to = text:find(old, 1, true)
  assert(from, "the example has no " .. old)
  return text:sub(1, from - 1) .. new .. text:sub(to + 1)
end

-- kong.conf's `key = value # comment`, as `configure` takes it: which plugins there are is for Kong alone.
local function read_conf(text)
  local conf = {}
  for line in text:gmatch "[^\n]+" do
    local key, value = line:gsub("%s*#.*$", ""):match "^(%S+)%s*=%s*(.-)%s*$"
    if key and key ~= "plugins" then
      conf[key] = value
    end
  end
  return conf
end

describe("examples/nginx.conf", function()
  teardown(cleanup.run)

  local function start(env)
    local config = example "nginx.conf"
    config = with(config, "listen 127.0.0.1:8080;", "listen 127.0.0.1:{{port}};")
    config = with(config, "listen 127.0.0.1:8081;", "listen 127.0.0.1:{{upstream}};")
    config = with(config, "proxy_pass http://127.0.0.1:8081;", "proxy_pass http://127.0.0.1:{{upstream}};")
    if process.is_root then
      -- Only root may be able to read the folder that this project is in.
      config = "user root;\n" .. config
    end
    env.LUA_PATH = files.root .. "/lua/?.lua;;"
    env.LUA_CPATH = files.root .. "/build/lib/?.so;;"
    return nginx.start({
      config = config,
      ready = "/greeting",
      ports = { "upstream" },
      files = { ["upstream_auth.lua"] = example "upstream_auth.lua" },
      env = env,
    })
  end

  it("greets, and logs in at its upstream", function()
    local env = { GREETING = "hello", UPSTREAM_USER = "kong", UPSTREAM_PASSWORD = "open-sesame" }
    local server = start(env)
    assert.equal("hello\n", server:get("/greeting").body)
    assert.equal("you are kong, asking for /orders\n", server:get("/orders").body)
    assert.equal(0, server:stop("QUIT", 10))
    assert.same({}, server:flaws({ "open-sesame" }))
  end)

  it("answers 503 and logs why where a secret is missing", function()
    local server = start({ GREETING = "hello", UPSTREAM_USER = "kong" })
    local answer = server:get "/orders"
    assert.equal(503, answer.status)
    assert.is_nil(answer.body:find "UPSTREAM_PASSWORD")
    assert.matches("no login for the upstream: .*UPSTREAM_PASSWORD", server:log())
    assert.equal("hello\n", server:get("/greeting").body)
  end)
end)

describe("examples/kong.conf and examples/vaults.yml", function()
  if not bao.program() then
    return pending "TEST_BAO does not name an OpenBao program, and there is no .venv/bin/bao"
  end

  local vault

  setup(function()
    vault = bao.start()
    vault:write("secret/data/db", { data = { password = "of the vault" } })
  end)

  teardown(cleanup.run)

  it("kong.conf has nothing but keys that are known, and they work", function()
    local conf = read_conf(with(example "kong.conf", "vault_hcv_port = 8200", "vault_hcv_port = " .. vault.port))
    local count, lines = 0, {}
    for key, value in pairs(conf) do
      count = count + 1
      lines[count] = ("[%q] = %q,"):format(key, value)
    end
    assert.is_true(count > 10)
    local server = nginx.start({
      env = { KONG_VAULT_HCV_TOKEN = bao.TOKEN, MY_SECRET_DB_PASSWORD = "of the environment" },
      init = ([[ assert(require("kong.vault").configure({ %s })) ]]):format(table.concat(lines, "\n")),
    })
    assert.equal("of the vault", (server:value "{vault://hcv/db/password}"))
    assert.equal("of the environment", (server:value "{vault://env/db-password}"))
  end)

  it("vaults.yml names vaults that references can use", function()
    local text = with(example "vaults.yml", "port: 8200", "port: " .. vault.port)
    text = with(text, "token: dev-only-token", "token: " .. bao.TOKEN)
    local declared = files.write(files.folder() .. "/vaults.yml", text)
    local server = nginx.start({
      env = {
        KONG_VAULT_DECLARATIVE_CONFIG = declared,
        HOME = "/nonexistent",
        AWS_EC2_METADATA_DISABLED = "true",
      },
      init = [[ require "kong.vault" ]],
    })
    assert.equal("of the vault", (server:value "{vault://team-secrets/db/password}"))
    local _, err = server:value "{vault://production/db/password}"
    assert.matches("aws vault (production): no AWS credentials", err, 1, true)
  end)
end)

describe("examples/tls.conf", function()
  local ca, vault

  setup(function()
    ca = certs.authority "an authority"
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function pair(name)
    local issued = ca.issue(name, "DNS:demo.example")
    return { cert = files.read(issued.certificate), key = files.read(issued.key) }
  end

  local function keep(kept)
    vault:route("/v1/secret/tls", { body = require("cjson").encode({ data = kept }) })
  end

  -- What a client sees of the handshake.
  local function handshake(server)
    local address = "127.0.0.1:" .. server.vars.tls
    local command = { "openssl", "s_client", "-connect", address, "-servername", "demo.example" }
    return select(2, process.run({ command = command }))
  end

  local function start(references)
    local config =
      with(example "tls.conf", "listen 127.0.0.1:8443 ssl;", "listen 127.0.0.1:{{port}}; listen 127.0.0.1:{{tls}} ssl;")
    for name, reference in pairs(references or {}) do
      config = with(config, "{vault://env/demo-tls/" .. name .. "}", reference)
    end
    if process.is_root then
      config = "user root;\n" .. config
    end
    local placeholder, own = pair "placeholder", pair "own"
    local server = nginx.start({
      config = config,
      ready = "/",
      ports = { "tls" },
      files = {
        ["tls_certificate.lua"] = example "tls_certificate.lua",
        ["placeholder.crt"] = placeholder.cert,
        ["placeholder.key"] = placeholder.key,
      },
      env = {
        LUA_PATH = files.root .. "/lua/?.lua;;",
        LUA_CPATH = files.root .. "/build/lib/?.so;;",
        DEMO_TLS = require("cjson").encode(own),
        KONG_VAULT_HCV_PORT = vault.port,
        KONG_VAULT_HCV_TOKEN = "t0ken",
        KONG_VAULT_HCV_TTL = "0.2",
      },
    })
    return server, own
  end

  it("serves the pair that its references stand for", function()
    local server, own = start()
    assert.matches(own.cert, handshake(server), 1, true)
    assert.same({}, server:flaws({ own.key }))
  end)

  it("serves a new pair without a reload, and refuses handshakes while there is none", function()
    local server = start({ cert = "{vault://hcv/tls/cert}", key = "{vault://hcv/tls/key}" })
    vault:route("/v1/secret/tls", { status = 404, body = '{"errors":[]}' })
    assert.is_nil(handshake(server):find "BEGIN CERTIFICATE")
    assert.matches("no certificate for this handshake: .*there is no secret/tls", server:log())
    for _, name in ipairs({ "first", "second" }) do
      local now = pair(name)
      keep(now)
      wait.eventually("a handshake shows the pair", function()
        return handshake(server):find(now.cert, 1, true)
      end)
    end
  end)
end)

describe("examples/kong-plugin", function()
  local vault, server

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function keep(name, fields)
    vault:route("/v1/secret/" .. name, { body = require("cjson").encode({ data = fields }) })
  end

  -- What the plugin needs of Kong, and a database that knows one password.
  local HOST = [[
    password_of_database, connected = "first", 0
    package.preload.pgmoon = function()
      local function connect(self)
        connected = connected + 1
        if self.options.user == "shop" and self.options.password == password_of_database then
          return true
        end
        return nil, "password authentication failed"
      end
      local function query(self)
        return { { name = self.options.user } }
      end
      local methods = { connect = connect, query = query, keepalive = function() end }
      return {
        new = function(options)
          return setmetatable({ options = options }, { __index = methods })
        end,
      }
    end
    kong = require("kong.vault").install({
      request = { get_header = function(name) return ngx.req.get_headers()[name] end },
      response = { exit = function(status) return ngx.exit(status) end },
      service = { request = { set_header = function(name, value) ngx.header[name] = value end } },
      log = { err = function(...) ngx.log(ngx.ERR, ...) end },
    })
    handler = require "kong.plugins.db-lookup.handler"
    local schema = require "kong.plugins.db-lookup.schema"
    assert(schema.name == "db-lookup")
    conf = require("spec.support.kong_host").config(schema.fields[1].config.fields, {
      database = { name = "shop", user = "{vault://hcv/shop-db/user}", password = "{vault://hcv/shop-db/password}" },
      api_keys = { "of-no-vault", "{vault://hcv/clients/mobile}" },
      headers = { ["X-Tenant"] = "{vault://hcv/tenant/name}" },
    })
  ]]

  setup(function()
    keep("shop-db", { user = "shop", password = "first" })
    keep("clients", { mobile = "k3y" })
    keep("tenant", { name = "acme" })
    server = nginx.start({
      init = HOST .. "kong.vault.warmup(conf)",
      lua_path = files.root .. "/lua/?.lua;" .. files.root .. "/examples/kong-plugin/?.lua",
      env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_HCV_TOKEN = "t0ken" },
      server = [[
        location = /shop {
          access_by_lua_block { handler:access(kong.vault.update(conf)) }
          content_by_lua_block { ngx.say "open" }
        }
      ]],
    })
  end)

  local function ask(key)
    return server:get("/shop", { headers = { apikey = key } })
  end

  it("has secrets in a field, an array and a map", function()
    local answer = ask "k3y"
    assert.same(
      { 200, "acme", "shop" },
      { answer.status, answer.headers["x-tenant"], answer.headers["x-database-user"] }
    )
    assert.equal(200, ask("of-no-vault").status)
    assert.equal(401, ask("wrong").status)
    assert.equal(401, ask().status)
  end)

  it("goes on without an error when the database's password was rotated", function()
    keep("shop-db", { user = "shop", password = "second" })
    server:eval [[ password_of_database, connected = "second", 0 ]]
    local before = vault:count "/v1/secret/shop-db"
    assert.equal(200, ask("k3y").status)
    assert.equal(2, server:eval "return connected")
    -- Both references are of one secret; a fetch that is quick enough is over when the second is renewed.
    local fetches = vault:count "/v1/secret/shop-db" - before
    assert.is_true(fetches == 1 or fetches == 2, fetches)
    assert.equal(200, ask("k3y").status)
    assert.equal(3, server:eval "return connected")
  end)

  it("answers 503 where the new password is nowhere to be had", function()
    server:eval [[ password_of_database = "third" ]]
    assert.equal(503, ask("k3y").status)
    assert.matches("the database can't be asked: password authentication failed", server:log(), 1, true)
  end)
end)
