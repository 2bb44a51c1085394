-- The examples do what they say: with other ports, and with the module from this folder.

local bao = require "spec.support.bao"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"

local function example(name)
  return assert(files.read(files.root .. "/examples/" .. name))
end

-- Replaces a piece of an example that has to be there.
local function with(text, old, new)
  local from, to = text:find(old, 1, true)
  assert(from, "the example has no " .. old)
  return text:sub(1, from - 1) .. new .. text:sub(to + 1)
end

-- kong.conf's `key = value # comment`, as `configure` takes it.
local function read_conf(text)
  local conf = {}
  for line in text:gmatch "[^\n]+" do
    local key, value = line:gsub("%s*#.*$", ""):match "^(%S+)%s*=%s*(.-)%s*$"
    if key then
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
