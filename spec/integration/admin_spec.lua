-- The Admin API in nginx: the calls of Kong's documentation, all workers and other instances, hostile requests.

local cjson = require "cjson"

local admin = require "spec.support.admin"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local TOKEN = "t0ken-of-a-vault"
local ENV = { SECRET_NAME = "a secret", OTHER_NAME = "another" }

-- How often to ask at most, until every worker has answered: which one does is the kernel's choice.
local ASKED = 1000

-- Seconds after which a request has its answer, whatever the disk does: more than the API lets it wait (60).
local UNTIL_ANSWERED = 120

describe("the Admin API", function()
  teardown(cleanup.run)

  local function all_heard(server, heard)
    for _, pid in ipairs(server:workers()) do
      if not heard[tostring(pid)] then
        return false
      end
    end
    return true
  end

  -- What all workers say of a reference: each different answer once.
  local function said(server, reference)
    local answers, heard, asked = {}, {}, 0
    repeat
      local answer = assert(http.request(server.vars.spread, nginx.value_path(reference)))
      answers[answer.body] = true
      heard[answer.headers["x-worker"]] = true
      asked = asked + 1
      if asked >= ASKED then
        local which = {}
        for pid in pairs(heard) do
          which[#which + 1] = pid
        end
        error(("of %s only %s were heard"):format(table.concat(server:workers(), " "), table.concat(which, " ")))
      end
    until all_heard(server, heard)
    local list = {}
    for body in pairs(answers) do
      list[#list + 1] = body
    end
    return list
  end

  describe("with one instance", function()
    local folder, server

    setup(function()
      folder = admin.folder()
      server = admin.start(folder, { env = ENV, workers = 4, http = "client_body_buffer_size 1k;" })
    end)

    teardown(function()
      assert.equal(0, server:stop("QUIT", 15))
      assert.same({}, server:flaws({ TOKEN }))
    end)

    after_each(function()
      local _, list = admin.call(server, "GET", "/vaults?size=1000")
      for _, vault in ipairs(list.data) do
        admin.call(server, "DELETE", "/vaults/" .. vault.id)
      end
    end)

    -- Kong 2.8's pages; only host and port are this spec's.
    for _, path in ipairs({ "/vaults-beta", "/vaults" }) do
      it("takes the curl calls of Kong's documentation at " .. path, function()
        local base = ("http://127.0.0.1:%d%s"):format(server.port, path)
        local function curl(...)
          local status, output = process.run({ command = { "curl", "-s", ... } })
          assert.equal(0, status)
          return output
        end
        local output = curl(
          "-i",
          "-X",
          "PUT",
          base .. "/my-env-vault-1",
          "--data",
          "name=env",
          "--data",
          "description=ENV vault for secrets",
          "--data",
          "config.prefix=SECRET_"
        )
        assert.truthy(output:find("HTTP/1.1 200 OK", 1, true), output)
        local vault = cjson.decode((output:match "\r\n\r\n(.*)$"))
        assert.same({ prefix = "SECRET_" }, vault.config)
        assert.equal("ENV vault for secrets", vault.description)
        assert.equal("env", vault.name)
        assert.equal("my-env-vault-1", vault.prefix)
        assert.equal(cjson.null, vault.tags)
        assert.same({ "a secret" }, said(server, "{vault://my-env-vault-1/name}"))
        assert.same(vault, cjson.decode(curl(base .. "/my-env-vault-1")))
        assert.same({ data = { vault }, next = cjson.null }, cjson.decode(curl(base)))
        local patched = cjson.decode(curl("-X", "PATCH", base .. "/" .. vault.id, "-d", "config.prefix=OTHER_"))
        assert.equal("OTHER_", patched.config.prefix)
        assert.same({ "another" }, said(server, "{vault://my-env-vault-1/name}"))
        local deleted = curl("-i", "-X", "DELETE", base .. "/my-env-vault-1")
        assert.truthy(deleted:find("HTTP/1.1 204", 1, true), deleted)
        assert.same({ "could not find vault (my-env-vault-1)" }, said(server, "{vault://my-env-vault-1/name}"))
        assert.equal(404, (admin.call(server, "GET", path .. "/my-env-vault-1")))
      end)
    end

    it("takes bodies that nginx writes to files, and answers HEAD, OPTIONS and what is not allowed", function()
      local description = ("x"):rep(200000)
      local status, vault =
        admin.json(server, "POST", "/vaults", { prefix = "big", name = "env", description = description })
      assert.equal(201, status)
      assert.equal(description, vault.description)
      local headers, _
      status, _, headers = admin.call(server, "PUT", "/vaults")
      assert.equal(405, status)
      assert.equal("GET, HEAD, OPTIONS, POST", headers.allow)
      status, _, headers = admin.call(server, "OPTIONS", "/vaults/big")
      assert.equal(204, status)
      assert.truthy(headers.allow:find("PATCH", 1, true))
      local head = assert(http.request(server.port, "/vaults/big", { method = "HEAD" }))
      assert.equal(200, head.status)
      assert.equal("", head.body)
    end)

    it("shows no credential, in no answer and no log", function()
      local status, vault = admin.form(server, "PUT", "/vaults/mine", "name=hcv&config.token=" .. TOKEN)
      assert.equal(200, status)
      assert.equal("********", vault.config.token)
      local answer = server:get "/vaults"
      assert.is_nil(answer.body:find(TOKEN, 1, true))
      assert.equal(200, (admin.json(server, "PUT", "/vaults/mine", vault)))
      assert.equal(TOKEN, admin.stored(folder)[1].config.token)
      status, answer = admin.form(server, "PATCH", "/vaults/mine", "config.token=a%20" .. TOKEN)
      assert.equal(400, status)
      assert.is_nil(cjson.encode(answer):find(TOKEN, 1, true))
    end)

    it("refuses hostile requests with a reason, and changes nothing", function()
      admin.json(server, "PUT", "/vaults/mine", { name = "env" })
      local before = files.read(folder .. "/vaults.json")
      local json, form = "application/json", "application/x-www-form-urlencoded"
      for _, case in ipairs({
        { json, '{"description":"' .. ("x"):rep(10 * 1024 * 1024) .. '"}' },
        { form, ("a"):rep(10 * 1024 * 1024) },
        { json, ('{"config":'):rep(50000) },
        { json, ("["):rep(500000) .. ("]"):rep(500000) },
        { json, '{"description":"\255\254"}' },
        { form, "description=%ff" },
        { json, '{"name":1,"prefix":{},"config":[],"tags":"x"}' },
        { json, '{"prefix":"../../etc/passwd","name":"env"}' },
        { form, "prefix=a%0d%0aSet-Cookie:+b&name=env" },
        { json, '{"name":"hcv","prefix":"mine2","config":{"token":"a\\r\\nb"}}' },
        { "text/plain", "name=env" },
        { json, "" },
      }) do
        for _, call in ipairs({ { "POST", "/vaults" }, { "PUT", "/vaults/other" }, { "PATCH", "/vaults/mine" } }) do
          local status, body =
            admin.call(server, call[1], call[2], { body = case[2], headers = { ["Content-Type"] = case[1] } })
          -- An empty PATCH is none.
          if case[2] ~= "" or call[1] ~= "PATCH" then
            assert.truthy(status >= 400 and status < 500, call[1] .. " " .. case[2]:sub(1, 40) .. " " .. status)
            assert.equal("string", type(body.message))
            assert.equal(before, files.read(folder .. "/vaults.json"))
          end
        end
        before = files.read(folder .. "/vaults.json")
      end
      for _, key in ipairs({ "a%0d%0ab", "%ff", "a%2fb", "..a", "env", "A" }) do
        local status, body = admin.json(server, "PUT", "/vaults/" .. key, { name = "env" })
        assert.equal(400, status)
        assert.equal("string", type(body.message))
      end
      -- nginx itself refuses these.
      for _, key in ipairs({ "..%2f..%2fetc", "%00" }) do
        local refused = server:get("/vaults/" .. key, { method = "PUT", body = "name=env" })
        assert.truthy(refused.status >= 400 and refused.status < 500, key)
      end
      assert.equal(before, files.read(folder .. "/vaults.json"))
    end)
  end)

  it("is heard by all workers of all instances at once, whatever their phase, and after a reload", function()
    local folder = admin.folder()
    local options = {
      env = ENV,
      workers = 3,
      server = [[
        location = /phase {
          header_filter_by_lua_block { ngx.header.x_value = require("kong.vault").get "{vault://mine/name}" or "none" }
          return 200;
        }
      ]],
    }
    local servers = { admin.start(folder, options), admin.start(folder, options) }
    for round = 1, 12 do
      local prefix, value = "SECRET_", "a secret"
      if round % 2 == 0 then
        prefix, value = "OTHER_", "another"
      end
      local teller = servers[round % 3 == 0 and 2 or 1]
      assert.equal(200, (admin.form(teller, "PUT", "/vaults/mine", "name=env&config.prefix=" .. prefix)))
      for _, server in ipairs(servers) do
        assert.same({ value }, said(server, "{vault://mine/name}"))
      end
    end
    for _, server in ipairs(servers) do
      wait.eventually("a phase that can't wait has the new value", function()
        return server:get("/phase").headers["x-value"] == "another"
      end)
      wait.eventually("update, which never waits, has it", function()
        local config = { name = "", ["$refs"] = { name = "{vault://mine/name}" } }
        return server:eval("return require('kong.vault').update(...).name", config) == "another"
      end)
      server:reload()
      assert.same({ "another" }, said(server, "{vault://mine/name}"))
    end
    admin.call(servers[2], "DELETE", "/vaults/mine")
    for _, server in ipairs(servers) do
      assert.same({ "could not find vault (mine)" }, said(server, "{vault://mine/name}"))
      assert.equal(0, server:stop("QUIT", 15))
      assert.same({}, server:flaws())
    end
  end)

  it("leaves hits as quick as they were", function()
    local server = admin.start(admin.folder(), { env = ENV, init_worker = [[ require("kong.vault").init_worker() ]] })
    for _, prefix in ipairs({ "SECRET_", "OTHER_" }) do
      admin.form(server, "PUT", "/vaults/mine", "name=env&config.prefix=" .. prefix)
      local looked_up, found = server:eval [[
        local vault, reference = require "kong.vault", "{vault://mine/name}"
        local config = { name = reference, ["$refs"] = { name = reference } }
        local function cached()
          return vault.stats().cache_hits
        end
        vault.get(reference)
        vault.get(reference)
        vault.update(config)
        local before = cached()
        for _ = 1, 100 do
          vault.get(reference)
          vault.update(config)
        end
        return cached() - before, config.name
      ]]
      assert.equal(0, looked_up)
      assert.equal(prefix == "SECRET_" and "a secret" or "another", found)
    end
  end)

  it("loses and tears nothing that was acknowledged where many write and are killed", function()
    local folder = admin.folder()
    -- Eight processes.
    local servers = { admin.start(folder, { workers = 4 }), admin.start(folder, { workers = 4 }) }
    local acknowledged, answered = {}, 0
    for round = 1, 8 do
      local asked, killed = {}, servers[round % 2 + 1]
      for number = 1, 200 do
        local prefix, server = ("r%d-n%d"):format(round, number), servers[number % 2 + 1]
        asked[prefix] = {
          port = server.port,
          connection = server:open("/vaults/" .. prefix, {
            method = "PUT",
            body = "name=env&config.prefix=" .. prefix,
            headers = { ["Content-Type"] = "application/x-www-form-urlencoded" },
            seconds = UNTIL_ANSWERED,
          }),
        }
      end
      process.send(killed:worker(), "KILL")
      for prefix, request in pairs(asked) do
        local answer, err = request.connection:read()
        if not answer then
          -- Only a killed worker gives no answer.
          assert.equal("closed", err)
          assert.equal(killed.port, request.port)
        elseif answer.status == 200 then
          acknowledged[prefix] = cjson.decode(answer.body).id
          answered = answered + 1
          -- Whole at any time. Before the first change there is no file.
          if answered % 20 == 0 then
            admin.stored(folder)
          end
        else
          -- On a slow disk, seven others may hold the lock for longer than a writer waits.
          assert.equal(503, answer.status, answer.body)
        end
      end
    end
    assert.truthy(answered > 0)
    local stored = {}
    for _, vault in ipairs(admin.stored(folder)) do
      assert.is_nil(stored[vault.prefix])
      assert.equal(vault.prefix, vault.config.prefix)
      stored[vault.prefix] = vault.id
    end
    for prefix, id in pairs(acknowledged) do
      assert.equal(id, stored[prefix])
    end
    -- They go on as if nothing had been.
    for _, server in ipairs(servers) do
      assert.equal(200, (admin.form(server, "PUT", "/vaults/last", "name=env")))
    end
    -- Under the lock: a writer that is at work has a draft.
    local _, names = process.run({ command = { "flock", folder .. "/.lock", "ls", "-A", folder } })
    assert.equal(".changes\n.lock\nvaults.json\n", names)
  end)

  it("asks for a token where there is one", function()
    local server = admin.start(admin.folder(), {
      env = { ADMIN_TOKEN = TOKEN },
      conf = [[vault_admin_token = "{vault://env/admin-token}"]],
    })
    local function status(headers)
      return (admin.call(server, "GET", "/vaults", { headers = headers }))
    end
    assert.equal(200, status({ ["Kong-Admin-Token"] = TOKEN }))
    assert.equal(200, status({ Authorization = "Bearer " .. TOKEN }))
    assert.equal(200, status({ Authorization = "bearer " .. TOKEN }))
    for _, headers in ipairs({
      {},
      { ["Kong-Admin-Token"] = TOKEN .. "x" },
      { ["Kong-Admin-Token"] = "" },
      { Authorization = "Basic " .. TOKEN },
      { Authorization = "Bearer" },
      { Authorization = TOKEN },
    }) do
      assert.equal(401, status(headers))
    end
    local refused, body = admin.json(server, "PUT", "/vaults/mine", { name = "env" })
    assert.equal(401, refused)
    assert.same({ message = "Unauthorized" }, body)
    assert.same({}, server:flaws({ TOKEN }))
  end)

  it("says what is wrong with its folder, and leaves the other vaults usable", function()
    local missing = files.folder() .. "/missing"
    local server = admin.start(missing, { env = ENV })
    assert.truthy(server:log():find("vault_data_dir " .. missing .. " can't be used", 1, true), server:log())
    assert.equal("a secret", (server:value "{vault://env/secret-name}"))
    local status, body = admin.call(server, "GET", "/vaults")
    assert.equal(500, status)
    assert.truthy(body.message:find("install -d -o", 1, true), body.message)
    local without = nginx.start({ server = admin.SERVER })
    status, body = admin.call(without, "GET", "/vaults")
    assert.equal(503, status)
    assert.truthy(body.message:find("vault_data_dir", 1, true), body.message)
  end)

  it("serves on with the old entities where the file is damaged, and with the new ones once it is mended", function()
    local folder = admin.folder()
    local server = admin.start(folder, { env = ENV })
    admin.form(server, "PUT", "/vaults/mine", "name=env&config.prefix=SECRET_")
    assert.equal("a secret", (server:value "{vault://mine/name}"))
    local good = files.read(folder .. "/vaults.json")
    files.write(folder .. "/vaults.json", '{"vaults":[{"token":"' .. TOKEN)
    local status, body = admin.form(server, "PUT", "/vaults/other", "name=env")
    assert.equal(500, status)
    assert.truthy(body.message:find("vaults.json", 1, true))
    assert.equal("a secret", (server:value "{vault://mine/name}"))
    files.write(folder .. "/vaults.json", good)
    assert.equal(200, (admin.form(server, "PUT", "/vaults/other", "name=env&config.prefix=OTHER_")))
    assert.equal("another", (server:value "{vault://other/name}"))
    assert.same({}, server:flaws({ TOKEN }))
  end)
end)
