-- What the Admin API has for its page: the document itself, the options of all vaults, and checks. What a browser makes of it:
-- spec/commands/browser_spec.lua.

local cjson = require "cjson"

local admin = require "spec.support.admin"
local bao = require "spec.support.bao"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local TOKEN, SECRET = "t0ken-of-the-page", "s3cret-of-the-page"
local BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

local function open(server, path, headers)
  headers = headers or {}
  headers.Accept = headers.Accept or BROWSER
  return server:get(path or "/vaults", { headers = headers })
end

local function check(server, body, headers)
  return admin.json(server, "POST", "/vaults/_check", body, headers)
end

-- The step of a report, by its name.
local function step(report, name)
  for _, found in ipairs(report.steps) do
    if found.step == name then
      return found
    end
  end
end

describe("the Admin API's page", function()
  local vault

  setup(function()
    vault = bao.start()
    vault:write("secret/data/db", { data = { password = SECRET } })
  end)

  teardown(cleanup.run)

  it("is one document, which needs nothing else and may do nothing else", function()
    local server = admin.start(admin.folder(), {})
    for _, path in ipairs({ "/vaults", "/vaults/", "/vaults-beta", "/vaults?size=2" }) do
      local answer = open(server, path)
      assert.equal(200, answer.status)
      assert.equal("text/html; charset=utf-8", answer.headers["content-type"])
      assert.matches("^<!DOCTYPE html>", answer.body)
      assert.falsy(answer.body:find("src=", 1, true) or answer.body:find('<link rel="stylesheet', 1, true))
      local policy = answer.headers["content-security-policy"]
      assert.matches("^default%-src 'none'; script%-src 'sha256%-[%w+/]+='; style%-src 'sha256%-[%w+/]+=';", policy)
      for _, directive in ipairs({
        "frame-ancestors 'none'",
        "form-action 'none'",
        "base-uri 'none'",
        "connect-src 'self'",
      }) do
        assert.truthy(policy:find(directive, 1, true), policy)
      end
      assert.falsy(policy:find("unsafe", 1, true) or policy:find("*", 1, true), policy)
      assert.equal("DENY", answer.headers["x-frame-options"])
      assert.equal("nosniff", answer.headers["x-content-type-options"])
      assert.equal("no-store", answer.headers["cache-control"])
      assert.equal("no-referrer", answer.headers["referrer-policy"])
    end
    for _, accept in ipairs({ "*/*", "application/json", "text/plain" }) do
      assert.same({ data = {}, next = cjson.null }, cjson.decode(open(server, "/vaults", { Accept = accept }).body))
    end
    assert.equal(404, open(server, "/vaults/mine").status)
    assert.same({}, server:flaws())
  end)

  it("opens without the token, which all that it shows asks for", function()
    local server = admin.start(admin.folder(), { conf = ("vault_admin_token = %q"):format(TOKEN) })
    local answer = open(server)
    assert.equal(200, answer.status)
    assert.falsy(answer.body:find(TOKEN, 1, true))
    for _, path in ipairs({ "/vaults?size=1000", "/vaults/_status", "/vaults/_options" }) do
      assert.equal(401, (admin.call(server, "GET", path)))
      assert.equal(200, (admin.call(server, "GET", path, { headers = { ["Kong-Admin-Token"] = TOKEN } })))
    end
    assert.equal(401, (check(server, { vault = "env" })))
    assert.equal(200, (check(server, { vault = "env" }, { ["Kong-Admin-Token"] = TOKEN })))
  end)

  it("opens in no frame, and for nobody else where no token is set", function()
    local server = admin.start(admin.folder(), {})
    local function status(headers)
      return open(server, "/vaults", headers).status
    end
    local function opening(destination)
      return { ["Sec-Fetch-Site"] = "cross-site", ["Sec-Fetch-Mode"] = "navigate", ["Sec-Fetch-Dest"] = destination }
    end
    assert.equal(200, status(opening "document"))
    assert.equal(403, status(opening "iframe"))
    assert.equal(403, status({ ["Sec-Fetch-Site"] = "same-site", ["Sec-Fetch-Mode"] = "cors" }))
    assert.equal(403, status({ Origin = "http://evil.example" }))
  end)

  it("has the options that an entity may set", function()
    local server = nginx.start({ server = admin.SERVER })
    local status, list = admin.call(server, "GET", "/vaults/_options")
    assert.equal(200, status)
    local names = {}
    for _, backend in ipairs(list.backends) do
      names[#names + 1] = backend.name
    end
    assert.same({ "env", "hcv", "aws", "gcp", "azure", "azure-certs", "conjur", "fs" }, names)
    local refused, _, headers = admin.json(server, "POST", "/vaults/_options", {})
    assert.same({ 405, "GET, HEAD, OPTIONS" }, { refused, headers.allow })
    refused, _, headers = admin.call(server, "GET", "/vaults/_check")
    assert.same({ 405, "OPTIONS, POST" }, { refused, headers.allow })
  end)

  it("checks a vault and an entity that isn't stored, step by step", function()
    local folder = admin.folder()
    local server = admin.start(folder, { env = { BAO_TOKEN = bao.TOKEN } })
    local function entity(config)
      config.host, config.port, config.protocol, config.kv = "127.0.0.1", config.port or vault.port, "http", "v2"
      return { prefix = "mine", name = "hcv", config = config }
    end
    local status, report = check(server, { entity = entity({ token = bao.TOKEN }), secret = "db/password" })
    assert.equal(200, status)
    assert.same({ "hcv", "mine", 0 }, { report.backend, report.vault, report.summary.errors })
    assert.equal("ok", step(report, "read").severity)
    assert.is_nil(files.read(folder .. "/vaults.json"))
    -- As entities may, it takes its credential by reference.
    status, report = check(server, { entity = entity({ token = "{vault://env/bao-token}" }), secret = "db/password" })
    assert.same({ 200, 0 }, { status, report.summary.errors })
    -- What is stored stands for its mask, and only for the entity that is edited.
    local _, stored = admin.json(server, "PUT", "/vaults/mine", entity({ token = bao.TOKEN }))
    assert.equal("********", stored.config.token)
    local masked = entity({ token = "********" })
    status, report = check(server, { entity = masked, of = stored.id, secret = "db/password" })
    assert.same({ 200, 0 }, { status, report.summary.errors })
    assert.equal(400, (check(server, { entity = masked })))
    status, report = check(server, { entity = masked, of = ("0"):rep(8) .. "-0000-4000-8000-" .. ("0"):rep(12) })
    assert.same({ 400, "no entity has this id" }, { status, report.fields.of })
    status, report = check(server, { vault = "mine", secret = "db/password" })
    assert.same({ 200, 0 }, { status, report.summary.errors })
    -- What fails says where, and nothing of the token.
    local wrong
    status, wrong = check(server, { entity = entity({ token = "wr0ng-t0ken" }), secret = "db/password" })
    assert.equal(200, status)
    assert.is_true(wrong.summary.errors > 0)
    assert.falsy(cjson.encode(wrong):find("wr0ng", 1, true))
    status, wrong = check(server, { entity = entity({ token = bao.TOKEN, port = process.free_port() }) })
    assert.equal(200, status)
    assert.equal("error", wrong.steps[#wrong.steps].severity)
    assert.same({}, server:flaws({ bao.TOKEN, SECRET }))
  end)

  it("says nothing of a variable that references may not read", function()
    local server = admin.start(admin.folder(), { env = { VAULT_TOKEN = TOKEN } })
    local status, report = check(server, { vault = "env", secret = "vault-token" })
    assert.equal(200, status)
    assert.is_true(report.summary.errors > 0)
    assert.truthy(cjson.encode(report):find("does not let references read", 1, true), cjson.encode(report))
    assert.falsy(cjson.encode(report):find("bytes", 1, true), cjson.encode(report))
  end)

  it("refuses what is no check", function()
    local server = admin.start(admin.folder(), {})
    local status, body = check(server, { vault = "nowhere" })
    assert.equal(404, status)
    assert.truthy(body.message:find("nowhere", 1, true), body.message)
    for _, request in ipairs({
      {},
      { vault = "env", entity = { prefix = "a", name = "env" } },
      { entity = "env" },
      { vault = 7 },
      { vault = "env", other = true },
      { vault = "env", secret = "a#b#c" },
      { entity = { prefix = "a", name = "hcv", config = { port = "x" } } },
    }) do
      status, body = check(server, request)
      assert.equal(400, status, cjson.encode(request))
      assert.truthy(body.message)
    end
    status, body = check(server, { entity = { prefix = "a", name = "hcv", config = { port = "x" } } })
    assert.same({ 400, "expected an integer" }, { status, body.fields.config.port })
    status, body = check(server, { entity = { prefix = "A", name = "hcv", config = { protocol = "x" } } })
    assert.equal(400, status)
    assert.truthy(body.fields.prefix and body.fields.config.protocol, cjson.encode(body))
  end)

  it("checks few vaults at once, holds nobody else up meanwhile, and notes who had what checked", function()
    local log = files.folder() .. "/audit.log"
    local silent = fake.start()
    silent:route("/v1/*", { gate = "held", body = "{}" })
    local server = admin.start(admin.folder(), {
      conf = ("vault_audit_log = %q, vault_fetch_timeout = 20"):format(log),
    })
    local request = {
      entity = {
        prefix = "held",
        name = "hcv",
        config = { host = "127.0.0.1", port = silent.port, protocol = "http", token = TOKEN },
      },
    }
    local held = {}
    for number = 1, 4 do
      held[number] = server:open("/vaults/_check", {
        method = "POST",
        body = cjson.encode(request),
        headers = { ["Content-Type"] = "application/json" },
      })
    end
    silent:await("held", 4)
    local status, body = check(server, { vault = "env" })
    assert.equal(503, status)
    assert.truthy(body.message:find("4 checks", 1, true), body.message)
    assert.equal(200, (admin.call(server, "GET", "/vaults")))
    assert.equal(200, (admin.json(server, "PUT", "/vaults/other", { name = "env" })))
    silent:open "held"
    for _, connection in ipairs(held) do
      assert.equal(200, connection:read().status)
    end
    assert.equal(200, (check(server, { vault = "env", secret = "secret-name" })))
    local function checks()
      local found = {}
      for line in (files.exists(log) and files.read(log) or ""):gmatch "[^\n]+" do
        local decoded = cjson.decode(line)
        if decoded.event == "admin_check" then
          assert.same("127.0.0.1", decoded.who.address)
          if decoded.vault == "held" then
            assert.same({ "********", silent.port }, { decoded.entity.config.token, decoded.entity.config.port })
          end
          found[#found + 1] = decoded.reference or decoded.vault
        end
      end
      return found
    end
    wait.eventually("the log has all checks", function()
      return #checks() == 5
    end)
    local noted = checks()
    table.sort(noted)
    assert.same({ "held", "held", "held", "held", "{vault://env/secret-name}" }, noted)
    assert.falsy(files.read(log):find(TOKEN, 1, true))
  end)

  it("notes whose credentials were sent for a mask, and where to", function()
    local log = files.folder() .. "/audit.log"
    local server = admin.start(admin.folder(), { conf = ("vault_audit_log = %q"):format(log) })
    local function entity(prefix, port, token)
      local config = { host = "127.0.0.1", port = port, protocol = "http", token = token }
      return { prefix = prefix, name = "hcv", config = config }
    end
    local _, stored = admin.json(server, "PUT", "/vaults/stored", entity("stored", vault.port, bao.TOKEN))
    local port = process.free_port()
    local request = { entity = entity("other", port, "********"), of = stored.id, secret = "db/password?token=hunter2" }
    assert.equal(200, (check(server, request)))
    local noted
    wait.eventually("the log has the check", function()
      noted = (files.exists(log) and files.read(log) or ""):match '[^\n]*"admin_check"[^\n]*'
      return noted
    end)
    local decoded = cjson.decode(noted)
    assert.same({ "other", "{vault://other/db/password?token=***", "stored", port, "********" }, {
      decoded.vault,
      decoded.reference,
      decoded.credentials_of,
      decoded.entity.config.port,
      decoded.entity.config.token,
    })
    assert.falsy(noted:find("hunter2", 1, true), noted)
    -- What is sent itself is nobody's, whatever is edited; and no other field drives out where it goes.
    request.entity.config.token, request.entity.description = TOKEN, ("x"):rep(100000)
    assert.equal(200, (check(server, request)))
    wait.eventually("the log has the next check", function()
      noted = files.read(log):match '"admin_check".*("admin_check"[^\n]*)\n'
      return noted
    end)
    assert.falsy(noted:find("credentials_of", 1, true) or noted:find(TOKEN, 1, true), noted)
    assert.truthy(noted:find(('"port":%d'):format(port), 1, true), noted)
  end)

  it("checks what another process has just stored, and shows its state", function()
    local folder = admin.folder()
    local one, other = admin.start(folder, {}), admin.start(folder, {})
    local function names()
      local found = {}
      for _, known in ipairs(select(2, admin.call(other, "GET", "/vaults/_status")).vaults) do
        found[known.name] = known.kind
      end
      return found
    end
    assert.is_nil(names().fresh)
    admin.json(one, "PUT", "/vaults/fresh", { name = "env" })
    assert.equal(200, (check(other, { vault = "fresh" })))
    admin.json(one, "DELETE", "/vaults/fresh")
    admin.json(one, "PUT", "/vaults/newer", { name = "env" })
    local known = names()
    assert.same({ nil, "entity" }, { known.fresh, known.newer })
    assert.equal(404, (check(other, { vault = "fresh" })))
  end)

  it("checks an entity only where somebody could store it", function()
    local server = nginx.start({ server = admin.SERVER })
    local status, body = check(server, { entity = { prefix = "mine", name = "env" } })
    assert.same({ 503, "the Admin API has no store: set vault_data_dir to a directory" }, { status, body.message })
    assert.equal(200, (check(server, { vault = "env" })))
  end)
end)
