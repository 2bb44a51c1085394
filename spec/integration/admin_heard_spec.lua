-- Who is heard by the Admin API, whose entities are taken, and what references may not read.

local socket = require "socket"

local admin = require "spec.support.admin"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"

local TOKEN = "t0ken-of-a-vault"
local ENV = { SECRET_NAME = "a secret" }

describe("the Admin API", function()
  teardown(cleanup.run)

  it("hears nobody where the token is empty, whatever else is set", function()
    local REFERENCE = "{vault://env/admin-token}"
    for _, case in ipairs({
      { env = { KONG_VAULT_ADMIN_TOKEN = "" }, conf = TOKEN, says = "KONG_VAULT_ADMIN_TOKEN" },
      { env = { KONG_VAULT_ADMIN_TOKEN = " \t" }, conf = TOKEN, says = "KONG_VAULT_ADMIN_TOKEN" },
      { env = { KONG_VAULT_ADMIN_TOKEN = "" }, says = "KONG_VAULT_ADMIN_TOKEN" },
      { env = { KONG_VAULT_ADMIN_TOKEN = TOKEN }, conf = "", says = "configure key vault_admin_token" },
      { env = {}, conf = " ", says = "configure key vault_admin_token" },
      { env = { ADMIN_TOKEN = "" }, conf = REFERENCE, says = "vault_admin_token" },
      { env = { ADMIN_TOKEN = " " }, conf = REFERENCE, says = "vault_admin_token" },
      { env = {}, conf = REFERENCE, says = "vault_admin_token" },
    }) do
      case.env.SECRET_NAME = "a secret"
      local server = admin.start(admin.folder(), {
        env = case.env,
        conf = case.conf and ("vault_admin_token = %q"):format(case.conf) or "",
      })
      for _, token in ipairs({ "", TOKEN, REFERENCE }) do
        local status, body = admin.json(
          server,
          "PUT",
          "/vaults/mine",
          { name = "env" },
          { ["Kong-Admin-Token"] = token }
        )
        assert.equal(503, status)
        assert.truthy(body.message:find(case.says, 1, true), body.message)
      end
      assert.equal(503, (admin.call(server, "GET", "/vaults")))
      assert.truthy(server:log():find(case.says, 1, true))
      assert.equal("a secret", (server:value "{vault://env/secret-name}"))
    end
  end)

  it("hears nobody where configure came too late to say which token", function()
    local server = nginx.start({
      server = admin.SERVER,
      env = { KONG_VAULT_DATA_DIR = admin.folder(), SECRET_NAME = "a secret" },
      init = [[
        local vault = require "kong.vault"
        vault.get "{vault://env/secret-name}"
        local ok, err = vault.configure({ vault_admin_token = "s3cret" })
        if not ok then ngx.log(ngx.ERR, err) end
      ]],
    })
    local status, body = admin.call(server, "GET", "/vaults", { headers = { ["Kong-Admin-Token"] = "s3cret" } })
    assert.equal(503, status)
    assert.truthy(body.message:find("configured already", 1, true), body.message)
  end)

  it("without a token refuses browsers, and names that lead here", function()
    local folder = admin.folder()
    local server = admin.start(folder, { env = ENV })
    -- Any headers, Host among them, also twice or not at all.
    local function raw(lines, method, version)
      local connection = assert(socket.connect("127.0.0.1", server.port))
      connection:settimeout(30)
      local body = "name=env&prefix=csrf-1"
      assert(connection:send(table.concat({
        (method or "POST") .. " /vaults HTTP/" .. (version or "1.1"),
        "Connection: close",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Length: " .. #body,
        table.concat(lines, "\r\n"),
      }, "\r\n") .. (#lines > 0 and "\r\n\r\n" or "\r\n") .. body))
      local text = assert(connection:receive "*a")
      connection:close()
      return tonumber(text:match "^HTTP/%S+ (%d+)"), text
    end
    local refused = {
      { "Host: evil.example" },
      { "Host: localhost.evil.example:8001" },
      { "Host: 192.0.2.1" },
      { "Host: localhost", "Origin: http://evil.example" },
      { "Host: localhost", "Origin: null" },
      { "Host: localhost", "Origin: http://localhost" },
      { "Host: localhost", "origin:" },
      { "Host: 127.0.0.1", "Sec-Fetch-Site: cross-site" },
      { "Host: [::1]:8001", "Sec-Fetch-Site: same-site" },
      { "Host: localhost", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document" },
      { "Host: localhost", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site" },
      { "Host: localhost", "Sec-Fetch-Site: same-origin", "Origin: http://localhost:3000" },
      { "Host: localhost", "Sec-Fetch-Mode: no-cors" },
      { "Host: localhost", "Kong-Admin-Token: anything", "Origin: http://evil.example" },
    }
    for _, lines in ipairs(refused) do
      for _, method in ipairs({ "POST", "GET", "OPTIONS", "DELETE" }) do
        local status, text = raw(lines, method)
        assert.equal(403, status, table.concat(lines, ", "))
        assert.truthy(text:find("vault_admin_token", 1, true), text)
        assert.falsy(text:find("evil", 1, true), text)
      end
    end
    assert.equal(403, (raw({}, "POST", "1.0")))
    local twice = raw({ "Host: localhost", "Host: evil.example" })
    assert.truthy(twice == 400 or twice == 403, twice)
    assert.is_nil(files.read(folder .. "/vaults.json"))
    for number, host in ipairs({ "localhost", "LOCALHOST:8001", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8001" }) do
      local status = raw({ "Host: " .. host })
      assert.equal(number == 1 and 201 or 409, status, host)
    end
    -- The page of the API itself, as a browser says it.
    for _, lines in ipairs({
      { "Host: [::1]:8001", "Sec-Fetch-Site: same-origin" },
      { "Host: localhost:81", "Sec-Fetch-Site: same-origin", "Origin: http://localhost:81" },
    }) do
      assert.equal(409, (raw(lines)), table.concat(lines, ", "))
    end
    -- Who has a token says so, wherever he is.
    local guarded = admin.start(admin.folder(), { conf = ("vault_admin_token = %q"):format(TOKEN) })
    server = guarded
    local shown = "Kong-Admin-Token: " .. TOKEN
    assert.equal(201, (raw({ "Host: admin.example", "Origin: https://admin.example", shown })))
    assert.equal(401, (raw({ "Host: localhost" })))
  end)

  it("without a token hears programs on this machine alone, whatever host they name", function()
    -- nginx is told by a header from where a connection comes: what a client says so never makes it nearer.
    local server = admin.start(admin.folder(), {
      env = ENV,
      http = "set_real_ip_from 127.0.0.1; real_ip_header X-From;",
      server = "listen unix:{{prefix}}/api.sock; listen 0.0.0.0:{{everywhere}};",
      ports = { "everywhere", "spread" },
    })
    local function status(connection, lines)
      connection:settimeout(30)
      lines[#lines + 1] = "Connection: close"
      assert(
        connection:send("GET /vaults HTTP/1.1\r\nHost: localhost\r\n" .. table.concat(lines, "\r\n") .. "\r\n\r\n")
      )
      local text = assert(connection:receive "*a")
      connection:close()
      return tonumber(text:match "^HTTP/%S+ (%d+)"), text
    end
    local function over(host, port, lines)
      return status(assert(socket.connect(host, port)), lines or {})
    end
    assert.equal(200, (over("127.0.0.1", server.port)))
    for _, from in ipairs({ "192.0.2.7", "10.0.0.1", "2001:db8::1", "::ffff:192.0.2.7" }) do
      local refused, text = over("127.0.0.1", server.port, { "X-From: " .. from })
      assert.equal(403, refused, from)
      assert.truthy(text:find("vault_admin_token", 1, true), text)
      assert.falsy(text:find(from, 1, true), text)
    end
    for _, from in ipairs({ "127.0.0.2", "::1" }) do
      assert.equal(200, (over("127.0.0.1", server.port, { "X-From: " .. from })), from)
    end
    local connection = require("socket.unix").stream()
    assert(connection:connect(server.prefix .. "/api.sock"))
    assert.equal(200, (status(connection, {})))
    -- This machine's own address on a network, where it has one, is none by which only programs on it come.
    local probe = socket.udp()
    local address = probe:setpeername("192.0.2.1", 9) and probe:getsockname()
    probe:close()
    if address and not address:find "^127%." and address ~= "0.0.0.0" then
      for _, lines in ipairs({ {}, { "X-From: 127.0.0.1" }, { "X-Forwarded-For: 127.0.0.1" } }) do
        assert.equal(403, (over(address, server.vars.everywhere, lines)))
      end
    end
  end)

  it("takes no folder that others may write to, and no entities that others have put there", function()
    local folder = files.folder()
    files.chmod(folder, 511) -- 0777
    local server = admin.start(folder, { env = ENV })
    assert.truthy(server:log():find("every user can write to it", 1, true), server:log())
    local status, body = admin.form(server, "PUT", "/vaults/mine", "name=env")
    assert.equal(500, status)
    assert.truthy(body.message:find("chmod", 1, true), body.message)
    assert.equal("a secret", (server:value "{vault://env/secret-name}"))
    -- While it is served.
    folder = admin.folder()
    server = admin.start(folder, { env = ENV })
    assert.equal(200, (admin.form(server, "PUT", "/vaults/mine", "name=env&config.prefix=SECRET_")))
    assert.equal("a secret", (server:value "{vault://mine/name}"))
    files.chmod(folder .. "/vaults.json", 438) -- 0666
    status, body = admin.form(server, "PUT", "/vaults/other", "name=env")
    assert.equal(500, status)
    assert.truthy(body.message:find("vaults.json", 1, true), body.message)
    assert.equal("a secret", (server:value "{vault://mine/name}"))
    files.chmod(folder .. "/vaults.json", 384) -- 0600
    assert.equal(200, (admin.form(server, "PUT", "/vaults/other", "name=env")))
  end)

  it("lets references read no credential of kong-vault's own", function()
    local env = {
      KONG_VAULT_HCV_TOKEN = "hvs." .. TOKEN,
      KONG_VAULT_ADMIN_TOKEN = TOKEN,
      AWS_SECRET_ACCESS_KEY = TOKEN,
      MINE = TOKEN,
      SECRET_NAME = "a secret",
    }
    local server = admin.start(admin.folder(), { env = env })
    local shown = { ["Kong-Admin-Token"] = TOKEN }
    local entity = { name = "hcv", config = { token = "{vault://env/mine}" } }
    assert.equal("a secret", (server:value "{vault://env/secret-name}"))
    assert.equal(TOKEN, (server:value "{vault://env/mine}"))
    assert.equal(200, (admin.json(server, "PUT", "/vaults/cluster", entity, shown)))
    entity = { name = "env", config = { prefix = "KONG_VAULT_" } }
    assert.equal(200, (admin.json(server, "PUT", "/vaults/sly", entity, shown)))
    for _, reference in ipairs({
      "{vault://env/kong-vault-hcv-token}",
      "{vault://env/kong-vault-admin-token}",
      "{vault://env/admin-token?prefix=kong-vault-}",
      "{vault://env/aws-secret-access-key}",
      "{vault://env/aws-secret-access-key#2}",
      "{vault://sly/hcv-token}",
      "{vault://env/mine}",
    }) do
      local value, err = server:value(reference)
      assert.is_nil(value, reference)
      assert.truthy(err:find("vault_allow_env_credentials", 1, true), err)
    end
    assert.same({}, server:flaws({ TOKEN }))
  end)
end)
