-- The page at /vaults in a real Chromium, served by a real nginx, with vaults in a real OpenBao. What the browser does, and what
-- it asserts of the page, is in spec/browser.

local cjson = require "cjson"
local mime = require "mime"

local admin = require "spec.support.admin"
local bao = require "spec.support.bao"
local browser = require "spec.support.browser"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local ADMIN_TOKEN, SECRET = "t0ken-of-the-admin-api", "the-secret-of-the-browser"

local IMAGE = '<img src=x onerror="hacked=1">'
local SCRIPT = "<script>hacked=2</script>"
local CLOSING = '"><svg onload=hacked=3>'

-- What a page that is judged may be told by the server.
local ANSWERS = { 400, 401, 503 }

-- A JSON web token that ends then.
local function token_until(time)
  local function part(text)
    return (mime.b64(text):gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" }))
  end
  return table.concat({ part '{"alg":"HS256"}', part(cjson.encode({ exp = time })), part "signature" }, ".")
end

describe("in a browser, the page", function()
  local chromium, server, folder, vault, locked

  local missing = browser.lacking() or not bao.program() and "OpenBao (TEST_BAO)" or nil

  local function shows(name, test)
    it(name, function()
      if missing then
        return pending("needs " .. missing)
      end
      test()
    end)
  end

  local function url(of, host)
    return ("http://%s:%d/vaults"):format(host or "127.0.0.1", of.port)
  end

  local function put(of, prefix, entity)
    local status, body = admin.json(of, "PUT", "/vaults/" .. prefix, entity)
    assert(status == 200, cjson.encode(body))
  end

  local function hcv(more)
    local config = { host = "127.0.0.1", port = vault.port, kv = "v2", token = bao.TOKEN }
    for name, value in pairs(more or {}) do
      config[name] = value
    end
    return { name = "hcv", config = config }
  end

  -- An nginx whose API has a token.
  local function with_token()
    locked = locked or admin.start(admin.folder(), { conf = ("vault_admin_token = %q"):format(ADMIN_TOKEN) })
    return locked
  end

  local function has(steps, pattern)
    local all = table.concat(steps, "\n")
    assert.truthy(all:find(pattern), all)
    return all
  end

  setup(function()
    if not missing then
      chromium = browser.start()
      vault = bao.start()
      vault:write("secret/data/app", { data = { password = SECRET } })
      folder = admin.folder()
      server = admin.start(folder, { env = { KONG_VAULTS = "env,hcv", KEYBOARD_NAME = "a name" } })
    end
  end)

  teardown(cleanup.run)

  describe("from a vault's first day to its last", function()
    local closed, broken

    local function stored()
      return admin.stored(folder)[1]
    end

    -- Each goes on where the one before it ended.
    local function goes(name, test)
      shows(name, function()
        assert(not broken, broken)
        broken = ("the walk ended where it %s"):format(name)
        test()
        broken = nil
      end)
    end

    goes("creates a vault by its form", function()
      chromium:run("walk/create", { url = url(server), port = vault.port, token = bao.TOKEN })
      local entity = stored()
      assert.same({ "production", "hcv", "The one that counts" }, { entity.prefix, entity.name, entity.description })
      assert.same({ "team-a", "pci" }, entity.tags)
      assert.same({ host = "127.0.0.1", port = vault.port, kv = "v2", token = bao.TOKEN, ttl = 300 }, entity.config)
    end)

    goes("tests it, step by step", function()
      local found = chromium:run("walk/test", { secret = "app/password" })
      assert.matches("^The vault works", found.verdict)
      assert.is_nil(has(found.steps, "ok"):find "wrong")
    end)

    goes("says which step fails, and what to do, before and after a wrong change is saved", function()
      closed = process.free_port()
      local found = chromium:run("walk/edit", { port = closed, token = bao.TOKEN })
      has(found.steps, "wrong: .*" .. closed)
      found = chromium:run("walk/test", { secret = "app/password" })
      assert.matches("^The test found an error", found.verdict)
      has(found.steps, "wrong: .*: .*" .. closed .. ".*: %l+")
      assert.equal(closed, stored().config.port)
    end)

    goes("mends it, and keeps the secret that nobody is shown", function()
      local found = chromium:run("walk/edit", { port = vault.port, token = bao.TOKEN })
      assert.is_nil(has(found.steps, "ok"):find "wrong")
      assert.same({ vault.port, bao.TOKEN }, { stored().config.port, stored().config.token })
      assert.matches("^The vault works", chromium:run("walk/test", { secret = "app/password" }).verdict)
    end)

    goes("shows the reference that nginx resolved with it, and when it is renewed", function()
      assert.equal(SECRET, (server:value "{vault://production/app/password}"))
      local found = chromium:run("walk/reference", { reference = "{vault://production/app}", state = "fresh" })
      local name, state, age, renewal = unpack(found.cells)
      assert.same({ "production", "fresh" }, { name, state })
      assert.matches("^%d+ s$", age)
      assert.matches("^in %d+ %l+", renewal)
      assert.matches("ok", found.vault)
    end)

    goes("deletes it when asked twice", function()
      local found = chromium:run "walk/remove"
      assert.matches("1 reference in use begins with this prefix", found.question)
      assert.same({}, admin.stored(folder))
      assert.is_nil((server:value "{vault://production/app/password}"))
    end)

    goes("asks no other origin in all that time, violates no policy, and keeps no secret", function()
      local found = chromium:run("walk/end", { secrets = { bao.TOKEN, SECRET } })
      assert.is_true(found.requests > 10)
    end)
  end)

  shows("shows what the server does not accept beside the fields", function()
    chromium:run("form/violations", { url = url(server) })
    assert.equal("numbered", admin.stored(folder)[1].prefix)
    admin.call(server, "DELETE", "/vaults/numbered")
  end)

  shows("shows beside the fields why an entity is not tested", function()
    chromium:run("form/untested", { url = url(server) })
    assert.same({}, admin.stored(folder))
  end)

  shows("keeps what is typed when an earlier form's answer comes late", function()
    chromium:run("form/late", { url = url(server) })
    assert.same({}, admin.stored(folder))
  end)

  shows("edits an entity of Kong's, whose secrets its answers hold, without showing them", function()
    local config = {
      host = "vault.example",
      port = 8200,
      token = "kongs-unmasked-token",
      client_cert = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
      client_key = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
    }
    local secrets = { config.token, "BEGIN PRIVATE KEY" }
    chromium:run("kong/edit", { url = url(server), config = config, secrets = secrets })
  end)

  shows("can be used by keys alone", function()
    chromium:run("keyboard/walk", { url = url(server) })
    assert.same({}, admin.stored(folder))
  end)

  describe("with markup in names, texts and errors", function()
    shows("shows what is stored as text", function()
      local entity = hcv({ kube_role = CLOSING .. SCRIPT })
      entity.description, entity.tags = CLOSING .. IMAGE .. SCRIPT, { "<svg onload=hacked=4>", "'\"><b>" }
      put(server, "marked", entity)
      local reference = "{vault://env/<script>hacked()}"
      assert.is_nil((server:value(reference)))
      chromium:run("hostile/stored", {
        url = url(server),
        texts = { entity.description, unpack(entity.tags) },
        option = { name = "kube_role", value = entity.config.kube_role },
        reference = reference,
        error = "has no environment variable <SCRIPT>HACKED(): ",
      })
    end)

    shows("shows as text what a server answers", function()
      put(server, "marked", hcv())
      local found = chromium:run("hostile/answers", { url = url(server) })
      assert.is_true(found.backends > 5)
    end)

    shows("shows characters that draw nothing, or turn a text's direction, as what they are", function()
      local entity = hcv()
      entity.description = cjson.decode [["paid \u202e txt.exe \u2066 x \u200b"]]
        .. cjson.decode [[" \u00ad \u061c \u115f \u1160 \u180e \u2028 \u2029"]]
        .. cjson.decode [[" \u3164 \ufe00 \ufe0f \ufeff \uffa0 \udb40\udc41 \udb40\udc7f"]]
      put(server, "marked", entity)
      chromium:run("hostile/directions", {
        url = url(server),
        text = entity.description,
        shown = "paid ⟨U+202E⟩ txt.exe ⟨U+2066⟩ x ⟨U+200B⟩"
          .. " ⟨U+00AD⟩ ⟨U+061C⟩ ⟨U+115F⟩ ⟨U+1160⟩ ⟨U+180E⟩ ⟨U+2028⟩ ⟨U+2029⟩"
          .. " ⟨U+3164⟩ ⟨U+FE00⟩ ⟨U+FE0F⟩ ⟨U+FEFF⟩ ⟨U+FFA0⟩ ⟨U+E0041⟩ ⟨U+E007F⟩",
      })
      admin.call(server, "DELETE", "/vaults/marked")
    end)
  end)

  describe("has no fault that axe finds, wide and narrow, light and dark, in the view", function()
    local names = { secret = "app/password", vault = "healthy", broken = "broken" }
    local empty, closed

    local function look(name, at, view)
      shows(name, function()
        local asked = { url = url(at()), view = view, answers = ANSWERS }
        for key, value in pairs(names) do
          asked[key] = value
        end
        chromium:run("views/check", asked)
      end)
    end

    teardown(function()
      if chromium then
        chromium:run "views/end"
      end
    end)

    local function main()
      if not closed then
        closed = process.free_port()
        local healthy = hcv()
        healthy.description, healthy.tags = "The one that counts", { "team-a", "pci" }
        put(server, "healthy", healthy)
        put(server, "broken", hcv({ port = closed }))
        vault:write("secret/data/session", { data = { value = token_until(os.time() + 10 * 86400) } })
        assert.equal(SECRET, (server:value "{vault://healthy/app/password}"))
        assert.truthy((server:value "{vault://healthy/session/value}"))
        assert.is_nil((server:value "{vault://broken/app/password}"))
        assert.is_nil((server:value "{vault://healthy/nothing/password}"))
      end
      return server
    end

    look("of vaults and references", main, "list")
    look("of a new vault with all its options", main, "options")
    look("of errors in a form", main, "errors")
    look("of a vault that is edited", main, "edit")
    look("of a test that passes", main, "works")
    look("of a test that fails", main, "fails")
    look("of the question before a deletion", main, "remove")
    look("of a node that does not answer", main, "refused")
    look("of a node without any vault", function()
      empty = empty or admin.start(admin.folder(), { env = { KONG_VAULTS = "off" } })
      return empty
    end, "empty")
    look("of a node without a directory for entities", function()
      return nginx.start({ server = admin.SERVER, init = [[require("kong.vault").configure({})]] })
    end, "no forms")
    look("of the token's question", with_token, "token")
  end)

  describe("with a token set", function()
    shows("asks for it, takes no other, and forgets it when told", function()
      chromium:run("token/ask", { url = url(with_token()), token = ADMIN_TOKEN, vault = "env" })
    end)

    shows("is in no frame of another origin", function()
      local found = chromium:run("origins/frame", { url = url(with_token()) })
      assert.is_nil(found.text:find("oken", 1, true), found.text)
      assert.matches("frame%-ancestors", table.concat(found.refusals, "\n"))
    end)
  end)

  describe("without a token, against other origins", function()
    local attacked, kept, id

    setup(function()
      if missing then
        return
      end
      kept = admin.folder()
      attacked = admin.start(kept, {
        http = [[
          log_format sent "$http_sec_fetch_site $http_sec_fetch_mode $http_sec_fetch_dest $request_method $uri $status";
        ]],
        server = "access_log {{prefix}}/access.log sent;",
      })
      put(attacked, "mine", hcv())
      id = admin.stored(kept)[1].id
    end)

    -- What other origins asked, line by line, which nginx writes when it has answered.
    local function asked()
      local log = files.read(attacked.prefix .. "/access.log")
      files.write(attacked.prefix .. "/access.log", "")
      return log
    end

    for _, row in ipairs({ { "localhost", "127.0.0.1", "cross-site" }, { "127.0.0.1", "127.0.0.1", "same-site" } }) do
      local host, target, site = unpack(row)
      shows(("refuses a page at %s what it asks of %s (%s)"):format(host, target, site), function()
        local before = files.read(kept .. "/vaults.json")
        asked()
        local origin = ("http://%s:%d"):format(target, attacked.port)
        local found = chromium:run("origins/attack", { host = host, target = origin, id = id })
        assert.same({}, found.read)
        for _, text in ipairs(found.framed) do
          assert.is_nil(text:find("mine", 1, true), text)
        end
        assert.same({ reached = "SecurityError", isCut = true, hasNoOpener = true }, found.opened)
        assert.matches("refuses browsers", found.posted)
        assert.equal(before, files.read(kept .. "/vaults.json"))
        local refused, opened = 0, 0
        for line in asked():gmatch "[^\n]+" do
          local from, mode, dest, method, path, status = line:match "(%S+) (%S+) (%S+) (%S+) (%S+) (%S+)"
          if from == site then
            local isPage = mode == "navigate" and dest == "document" and method == "GET" and path == "/vaults"
            assert.equal(isPage and "200" or "403", status, line)
            refused, opened = refused + (isPage and 0 or 1), opened + (isPage and 1 or 0)
          end
        end
        assert.equal(1, opened)
        assert.is_true(refused > 50, refused)
      end)
    end

    shows("asks its own origin where its address begins with two slashes", function()
      chromium:run("origins/slashes", { url = url(attacked), vault = "mine" })
    end)

    shows("is not served under a stranger's name, which may lead to this machine", function()
      local found = chromium:run("origins/visit", { url = url(attacked, "rebound.example") })
      assert.same({ 403, true }, { found.status, found.text:find("only requests for this machine", 1, true) ~= nil })
    end)
  end)

  shows("finds one of 1,000 references at once", function()
    local many = fake.start()
    local crowded = admin.start(admin.folder(), {
      env = { KONG_VAULT_HCV_PORT = many.port, KONG_VAULT_HCV_TOKEN = "any" },
      conf = "vault_metrics_references_max = 2000",
    })
    crowded:eval [[
      local get, threads = require("kong.vault").get, {}
      for first = 1, 20 do
        threads[first] = ngx.thread.spawn(function()
          for i = first, 1000, 20 do
            assert(get(("{vault://hcv/team-%d/service-%d/value}"):format(i % 7, i)))
          end
        end)
      end
      for _, thread in ipairs(threads) do
        assert(ngx.thread.wait(thread))
      end
    ]]
    local found = chromium:run("references/many", { url = url(crowded), number = 1000, needle = "service-777" })
    print(("of 1,000 references, one is found in %d ms (median; at most %d ms)"):format(found.median, found.longest))
    assert.is_true(found.median < 1000 * wait.bound(0.5), found.median)
  end)

  shows("is left by all of the browser's processes when the browser ends", function()
    assert.is_true(#chromium:processes() > 3)
    chromium.process:signal "KILL"
    chromium.process:wait()
    wait.eventually("the browser is gone", function()
      return #chromium:processes() == 0
    end)
  end)
end)
