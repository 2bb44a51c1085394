-- The command behind scripts/screenshots: a node with what an operator may see on a day on which not all is well.

local cjson = require "cjson"

local admin = require "spec.support.admin"
local bao = require "spec.support.bao"
local browser = require "spec.support.browser"
local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local wait = require "spec.support.wait"

local folder = arg[1] or "docs/images"

local function put(server, prefix, description, tags, config)
  local entity = { name = "hcv", description = description, tags = tags, config = config }
  local status, body = admin.json(server, "PUT", "/vaults/" .. prefix, entity)
  assert(status == 200, cjson.encode(body))
end

-- Asks until a vault, or the secret of a reference, has this state.
local function becomes(server, list, key, name, state, ask)
  wait.eventually(name .. " is " .. state, function()
    ask()
    for _, one in ipairs(cjson.decode(server:get("/vaults/_status").body)[list]) do
      if one[key] == name and one.state == state then
        return true
      end
    end
  end, 30)
end

local function take()
  local vault, warehouse = bao.start(), fake.start()
  local certificate = certs.authority("shop.example").issue("www.shop.example", "DNS:www.shop.example", 9)
  vault:write("secret/data/shop/postgres", { data = { username = "shop", password = "any" } })
  vault:write("secret/data/shop/redis", { data = { password = "any" } })
  vault:write("secret/data/shop/mail", { data = { password = "any" } })
  vault:write("secret/data/tls/shop.example", { data = { certificate = files.read(certificate.certificate) } })

  local server = admin.start(admin.folder(), {
    env = { KONG_VAULTS = "env,hcv", SESSION_KEY = "any", KONG_VAULT_BREAKER_INTERVAL = "60" },
    workers = 2,
  })
  local function config(port, token, kv, ttl)
    return { host = "127.0.0.1", port = port, kv = kv, token = token, ttl = ttl }
  end
  put(server, "production", "Shop, Frankfurt", { "shop", "eu" }, config(vault.port, bao.TOKEN, "v2", 300))
  put(server, "staging", "Shop, for rehearsals", { "shop" }, config(vault.port, "hvs.replaced-last-week", "v2", 300))
  put(server, "warehouse", "Reports", { "data" }, config(warehouse.port, "any", "v1", 1))

  for _, reference in ipairs({
    "production/shop/postgres/password",
    "production/shop/postgres/username",
    "production/shop/redis/password",
    "production/shop/mail/password",
    "production/tls/shop.example/certificate",
    "warehouse/reports/value",
    "warehouse/exports/value",
    "env/session-key",
  }) do
    assert(server:value(("{vault://%s}"):format(reference)))
  end
  server:value "{vault://staging/shop/postgres/password}"
  warehouse:kill()
  becomes(server, "vaults", "name", "warehouse", "open", function()
    for i = 1, 5 do
      server:value(("{vault://warehouse/month-%d/value}"):format(i))
    end
  end)

  local chromium = browser.start()
  chromium:run("pictures/take", {
    url = ("http://127.0.0.1:%d/vaults"):format(server.port),
    folder = folder:sub(1, 1) == "/" and folder or files.root .. "/" .. folder,
    vault = "production",
    broken = "staging",
    secret = "shop/postgres/password",
  })
end

local missing = browser.lacking() or not bao.program() and "OpenBao (TEST_BAO)" or nil
if missing then
  io.stderr:write("error: this needs ", missing, ": run scripts/setup rust runtime specs vaults\n")
  os.exit(1)
end
local ok, err = xpcall(take, debug.traceback)
cleanup.run()
if not ok then
  io.stderr:write(err, "\n")
  os.exit(1)
end
