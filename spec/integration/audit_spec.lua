-- The audit log in a real nginx: its lines, and files, pipes and sockets that do what they like.

local cjson = require "cjson"

local admin = require "spec.support.admin"
local bao = require "spec.support.bao"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local in_kong = require "spec.support.in_kong"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local SECRET, OTHER, TOKEN = "s3cret-of-the-audit", "an0ther-of-the-audit", "t0ken-of-the-audit"

local CONFIGURE = [[
  local ok, err = require("kong.vault").configure({ vault_audit_log = "%s" })
  if not ok then ngx.log(ngx.ERR, err) end
]]

-- Receives datagrams at a path, and appends each to a file, with a line break.
local RECEIVER = [[
import socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.bind(sys.argv[1])
with open(sys.argv[2], "ab", buffering=0) as file:
    while True:
        file.write(server.recv(1 << 16) + b"\n")
]]

-- The lines of a file, decoded. Each must be whole.
local function lines_of(path)
  local found = {}
  for line in (files.exists(path) and files.read(path) or ""):gmatch "[^\n]+" do
    local decoded = cjson.decode(line)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", decoded.time)
    assert.is_truthy(decoded.pid and decoded.event)
    found[#found + 1] = decoded
  end
  return found
end

-- The lines that have all of these fields.
local function having(path, fields)
  local found = {}
  for _, line in ipairs(lines_of(path)) do
    local has = true
    for name, value in pairs(fields) do
      has = has and line[name] == value
    end
    found[#found + 1] = has and line or nil
  end
  return found
end

local function await(path, fields, count)
  return wait.eventually("the log has " .. cjson.encode(fields), function()
    local found = having(path, fields)
    return #found >= (count or 1) and found
  end)
end

describe("the audit log", function()
  local vault

  setup(function()
    vault = fake.start()
    vault:route("/v1/secret/*", { body = cjson.encode({ data = { value = SECRET } }) })
    vault:route("/v1/secret/absent", { status = 404, body = '{"errors":[]}' })
  end)

  teardown(cleanup.run)

  -- `destination`: `vault_audit_log`; by default a file.
  local function start(more, destination)
    local options = {
      http = "lua_shared_dict kong_secrets 5m;",
      init = CONFIGURE:format(destination or "{{prefix}}/audit.json"),
      env = {
        KONG_VAULT_HCV_PORT = vault.port,
        KONG_VAULT_HCV_TOKEN = TOKEN,
        KONG_VAULT_AUDIT_READS = "all",
        KONG_VAULT_BREAKER_INTERVAL = "0.2",
      },
    }
    for name, value in pairs(more or {}) do
      if name == "env" then
        for key, text in pairs(value) do
          options.env[key] = text
        end
      else
        options[name] = value
      end
    end
    local server = nginx.start(options)
    return server, server.prefix .. "/audit.json"
  end

  local function ends_well(server, path)
    assert.equal(0, server:stop("QUIT", 15))
    assert.same({}, server:flaws({ TOKEN, SECRET, OTHER }))
    local text = path and files.exists(path) and files.read(path) or ""
    for _, secret in ipairs({ TOKEN, SECRET, OTHER }) do
      assert.is_nil(text:find(secret, 1, true))
    end
  end

  it("tells what became of each fetch, and each worker's first look-up, with a real OpenBao", function()
    local server_of = bao.start()
    finally(function()
      server_of.process:stop()
    end)
    server_of:write("secret/data/audited", { data = { value = SECRET } })
    local server, path = start({
      workers = 2,
      env = {
        KONG_VAULT_HCV_PORT = server_of.port,
        KONG_VAULT_HCV_TOKEN = bao.TOKEN,
        KONG_VAULT_HCV_KV = "v2",
        KONG_VAULT_HCV_TTL = "1",
        KONG_VAULT_AUDIT_READS = "fetched",
      },
      server = [[
        location /named { set $vault_audit_location "payments";
          content_by_lua_block { ngx.say(require("kong.vault").get "{vault://hcv/audited/value#1}" or "none") } }
      ]],
    })
    local reference = "{vault://hcv/audited/value}"
    assert.equal(SECRET, server:value(reference))
    assert.is_nil((server:value "{vault://hcv/absent/value?token=0123456789}"))
    assert.is_nil((server:value "{vault://hcv/absent/value}"))
    server:get "/named?a=b"
    local fetched = await(path, { event = "fetched", secret = "audited" })[1]
    assert.same({ "hcv", "hcv", "miss" }, { fetched.vault, fetched.backend, fetched.purpose })
    assert.is_true(fetched.seconds > 0 and fetched.worker <= 1)
    assert.equal("not_found", await(path, { event = "failed", secret = "absent" })[1].reason)
    assert.equal(1, await(path, { event = "fetched", version = 1 })[1].version)
    local read = await(path, { event = "read", reference = reference })[1]
    assert.same({ "hcv", true, "content" }, { read.vault, read.served, read.phase })
    assert.equal("/_eval", read.location)
    assert.equal("payments", await(path, { event = "read", version = 1 })[1].location)
    assert.is_false(await(path, { event = "read", reference = "{vault://hcv/absent/value}" })[1].served)
    await(path, { event = "renewed", secret = "audited", purpose = "renewal" })
    server_of:write("secret/data/audited", { data = { value = OTHER } })
    await(path, { event = "changed", secret = "audited" })
    assert.is_nil(files.read(path):find("0123456789", 1, true))
    ends_well(server, path)
  end)

  it("has the location's name also where only later requests have the variable", function()
    local server, path = start({
      server = [[
        location = /allowed { return 204; }
        location /later { auth_request /allowed; auth_request_set $vault_audit_location "payments";
          content_by_lua_block { ngx.say(require("kong.vault").get "{vault://hcv/later/value}" or "none") } }
      ]],
    })
    for _ = 1, 2 do
      assert.equal(SECRET, server:value "{vault://hcv/first/value}")
      server:get "/later"
    end
    assert.equal(2, #await(path, { event = "read", location = "payments" }, 2))
    assert.equal(2, #await(path, { event = "read", location = "/_eval" }, 2))
    ends_well(server, path)
  end)

  it("tells that a vault is down, and up again", function()
    local own = fake.start()
    own:route("/v1/secret/*", { body = cjson.encode({ data = { value = SECRET } }) })
    local server, path = start({ env = { KONG_VAULT_HCV_PORT = own.port } })
    assert.equal(SECRET, server:value "{vault://hcv/a/value}")
    own:kill()
    for i = 1, 20 do
      server:value("{vault://hcv/b" .. i .. "/value}")
    end
    assert.matches("hcv vault", await(path, { event = "vault_down", vault = "hcv" })[1].text)
    own:revive()
    await(path, { event = "vault_up", vault = "hcv" })
    ends_well(server, path)
  end)

  it("has every look-up where all are wanted, by get, update and try, and all of them when nginx ends", function()
    local server, path = start({ workers = 2 })
    server:eval [[
      local vault = require "kong.vault"
      assert(vault.get "{vault://hcv/a/value}")
      local config = { ["$refs"] = { field = "{vault://hcv/b/value}" } }
      assert(vault.get "{vault://hcv/b/value}")
      for _ = 1, 500 do
        assert(vault.get "{vault://hcv/a/value}")
        assert(vault.update(config).field ~= "")
      end
      assert(vault.try(function() return true end, config))
    ]]
    ends_well(server, path)
    assert.equal(501, #having(path, { event = "read", reference = "{vault://hcv/a/value}", served = true }))
    -- `try` looks twice: before it brings the table up to date, and then.
    assert.equal(503, #having(path, { event = "read", reference = "{vault://hcv/b/value}", served = true }))
  end)

  it("has no look-up by try that a table in Lua could answer, where those are not wanted", function()
    local server, path = start({ env = { KONG_VAULT_AUDIT_READS = "fetched" } })
    server:eval [[
      local vault = require "kong.vault"
      assert(vault.get "{vault://hcv/a/value}")
      for _ = 1, 100 do
        assert(vault.try(function() return true end, { ["$refs"] = { field = "{vault://hcv/a/value}" } }))
      end
      vault.update({ ["$refs"] = { field = "{vault://hcv/a/value}" } })
    ]]
    ends_well(server, path)
    assert.equal(2, #having(path, { event = "read", reference = "{vault://hcv/a/value}" }))
  end)

  it("has what init reads, once, and goes on after a reload and a kill", function()
    local server, path = start({
      workers = 2,
      init = CONFIGURE:format "{{prefix}}/audit.json" .. [[
      assert(require("kong.vault").get "{vault://hcv/init/value}")
    ]],
    })
    await(path, { event = "read", phase = "init" })
    server:reload()
    await(path, { event = "read", phase = "init" }, 2)
    process.send(server:worker(), "KILL")
    wait.eventually("another worker answers", function()
      return server:get "/_ready" and #server:workers() == 2
    end)
    assert.equal(SECRET, server:value "{vault://hcv/after/value}")
    await(path, { event = "read", reference = "{vault://hcv/after/value}" })
    assert.equal(2, #having(path, { event = "read", phase = "init" }))
    assert.equal(2, #having(path, { event = "fetched", secret = "init" }))
    ends_well(server, path)
  end)

  it("follows a file that is moved away, and loses no line", function()
    local server, path = start()
    server:value "{vault://hcv/a/value}"
    await(path, { event = "read" })
    assert(os.rename(path, path .. ".1"))
    local count = 1
    wait.eventually("there is a new file", function()
      server:value "{vault://hcv/a/value}"
      count = count + 1
      return files.exists(path)
    end)
    ends_well(server, path)
    assert.equal(count, #having(path, { event = "read" }) + #having(path .. ".1", { event = "read" }))
  end)

  it("drops lines where the disk is full, counts and reports them, and serves on", function()
    local folder = files.folder()
    local path = folder .. "/audit.json"
    local mounted = process.run({ command = { "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder } }) == 0
    if mounted then
      finally(function()
        process.run({ command = { "umount", "-l", folder } })
      end)
      files.write(folder .. "/filler", ("x"):rep(60 * 1024))
    else
      assert.equal(0, (process.run({ command = { "ln", "-s", "/dev/full", path } })))
    end
    local server = start(nil, path)
    local dropped = wait.eventually("lines are dropped", function()
      for _ = 1, 100 do
        assert.equal(SECRET, server:value "{vault://hcv/a/value}")
      end
      local count = server:stats().audit_dropped
      return count > 0 and count
    end)
    wait.eventually("it is reported", function()
      return server:logged "the audit log of vault_audit_log"
    end)
    assert.is_true(server:logged "No space left on device" > 0)
    assert(os.remove(mounted and folder .. "/filler" or path))
    wait.eventually("lines are written again", function()
      server:value "{vault://hcv/b/value}"
      return files.exists(path) and files.read(path):find("/b/value", 1, true)
    end)
    local text = files.read(path)
    assert.is_truthy(tonumber(text:match '"event":"dropped","count":(%d+)'))
    assert.is_true(server:stats().audit_dropped >= dropped)
    assert.equal(0, server:stop("QUIT", 15))
  end)

  it("serves on where the file is a pipe that nobody reads", function()
    local folder = files.folder()
    assert.equal(0, (process.run({ command = { "mkfifo", folder .. "/pipe" } })))
    local server = start(nil, folder .. "/pipe")
    wait.eventually("lines are dropped", function()
      assert.equal(SECRET, server:value "{vault://hcv/a/value}")
      return server:stats().audit_dropped > 0
    end)
    ends_well(server)
  end)

  it("writes to syslog, in the form that every server reads", function()
    local folder = files.folder()
    files.write(folder .. "/receiver.py", RECEIVER)
    local receiver = process.start({
      command = { "python3", folder .. "/receiver.py", folder .. "/log", folder .. "/received" },
      output = folder .. "/output",
    })
    finally(function()
      receiver:stop()
    end)
    wait.eventually("the receiver listens", function()
      return files.exists(folder .. "/received")
    end)
    local server = start(nil, "syslog:server=unix:" .. folder .. "/log,facility=authpriv,tag=audit")
    server:value "{vault://hcv/a/value}"
    local head = wait.eventually("a message comes", function()
      return files.read(folder .. "/received"):match '^(<%d+>audit%[%d+%]: ){.*"event":"read"'
    end)
    assert.matches("^<86>", head)
    local json = files.read(folder .. "/received"):match '%]: ({[^\n]*"event":"read"[^\n]*})\n'
    assert.equal("{vault://hcv/a/value}", cjson.decode(json).reference)
    ends_well(server, folder .. "/received")
  end)

  it("tells who changed which vault entity, and who was refused", function()
    local server = admin.start(admin.folder(), {
      conf = [[vault_audit_log = "{{prefix}}/audit.json", vault_admin_token = "]] .. TOKEN .. [[",
        vault_admin_tokens = "alice=]] .. TOKEN .. [[-a, bob=]] .. TOKEN .. [[-b"]],
    })
    local path = server.prefix .. "/audit.json"
    local function send(token, method, target, body)
      return admin.json(server, method, target, body, { ["Kong-Admin-Token"] = token })
    end
    local entity = { prefix = "prod", name = "hcv", config = { host = "a", token = SECRET } }
    assert.equal(201, send(TOKEN .. "-a", "POST", "/vaults", entity))
    assert.equal(200, send(TOKEN .. "-b", "PATCH", "/vaults/prod", { config = { host = "b" } }))
    assert.equal(204, send(TOKEN, "DELETE", "/vaults/prod"))
    assert.equal(401, send(TOKEN .. "-c", "GET", "/vaults"))
    local deleted = await(path, { event = "admin", action = "delete", entity = "prod" })[1]
    assert.same({ "admin", "127.0.0.1" }, { deleted.who.token, deleted.who.address })
    assert.same({ "b", "********" }, { deleted.before.config.host, deleted.before.config.token })
    local created = having(path, { action = "create" })[1]
    assert.same(
      { "alice", "a", "********" },
      { created.who.token, created.after.config.host, created.after.config.token }
    )
    local updated = having(path, { action = "update" })[1]
    assert.same({ "bob", "a", "b" }, { updated.who.token, updated.before.config.host, updated.after.config.host })
    assert.equal(401, await(path, { event = "admin_refused" })[1].status)
    ends_well(server, path)
  end)

  it("names plugin, route and service in Kong, and changes by Kong's Admin API", function()
    local server = in_kong.start(
      vault,
      [[
      getmetatable(kong.configuration).__index.vault_audit_log = "{{prefix}}/audit.json"
      handler = require "kong.plugins.kong-vault.handler"
      a_plugin = {}
    ]],
      { init_worker = "kong.vault.init_worker() handler.init_worker()" }
    )
    local path = server.prefix .. "/audit.json"
    server:eval [[
      kong.db.plugins = { get_handlers = function() return { { name = "a-plugin", handler = a_plugin } } end }
      ngx.ctx.plugin_id, ngx.ctx.KONG_LOG, ngx.ctx.KONG_NAMESPACES = "an-id", {}, { plugin = a_plugin }
      ngx.ctx.route, ngx.ctx.service = { name = "a-route" }, { id = "a-service" }
      local value = kong.vault.get "{vault://hcv/in-kong/value}"
      kong.db.plugins = nil
      return value
    ]]
    local read = await(path, { event = "read", plugin = "a-plugin" })[1]
    assert.same({ "an-id", "a-route", "a-service" }, { read.plugin_id, read.route, read.service })
    server:eval [[
      local refs = { field = "{vault://hcv/in-a-field/value}" }
      kong.vault.update({ ["$refs"] = refs, __plugin_id = "its-id", __key__ = "plugins:key-auth:a-route:::::ws" })
    ]]
    assert.equal("key-auth", await(path, { event = "read", plugin_id = "its-id" })[1].plugin)
    server:eval(
      [[
      kong.db.vaults:post_crud_event(
        "update",
        { id = "1", prefix = "mine", name = "hcv",
          config = { host = "b", token = ..., ["$refs"] = { token = "{vault://env/t}" } } },
        { id = "1", prefix = "mine", name = "hcv", tags = ngx.null, config = { host = "a", ttl = ngx.null, token = ... } }
      )
    ]],
      SECRET
    )
    local change = await(path, { event = "admin", action = "update" })[1]
    assert.same({ "127.0.0.1", "********", "{vault://env/t}" }, {
      change.who.address,
      change.before.config.token,
      change.after.config.token,
    })
    assert.same({}, { change.before.tags, change.before.config.ttl })
    assert.equal(1, #having(path, { event = "admin" }))
    ends_well(server, path)
  end)
end)
