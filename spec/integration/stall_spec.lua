-- What hangs holds up nothing but itself: folders of vault entities, declarative files and certificates.

local cjson = require "cjson"
local lfs = require "lfs"
local socket = require "socket"

local admin = require "spec.support.admin"
local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local hung = require "spec.support.hung"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

-- `vault_fetch_timeout`, in seconds, and what nginx's start or a call may take besides.
local TIMEOUT, SLACK = 1, 1

-- A vault that wants a certificate, and takes a connection for each request.
local TLS = [[
  server {
    listen 127.0.0.1:{{tls}} ssl;
    ssl_certificate {{certificate}};
    ssl_certificate_key {{key}};
    ssl_client_certificate {{ca}};
    ssl_verify_client on;
    keepalive_timeout 0;
    location / { return 200 '{"data":{"there":"yes"}}'; }
  }
]]

-- Notes what `configure` came to, and how long it took.
local CONFIGURE = [[
  local function now()
    ngx.update_time()
    return ngx.now()
  end
  local began = now()
  local ok, err = require("kong.vault").configure({
    vault_data_dir = "{{data_dir}}" ~= "" and "{{data_dir}}" or nil,
    vault_declarative_config = "{{declarative}}" ~= "" and "{{declarative}}" or nil,
    vault_fetch_timeout = "{{timeout}}",
    vault_hcv_port = "{{vault}}", vault_hcv_token = "t0ken",
  })
  configured = { ok = ok, err = err, took = now() - began }
]]

-- In the phases that are held up by waiting.
local EARLY = [[ early = { require("kong.vault").get "{vault://hcv/a/value}" } ]]
local FIRST = [[
  ngx.update_time()
  local began = ngx.now()
  first = { require("kong.vault").get "{vault://hcv/b/value}" }
  ngx.update_time()
  first_took = ngx.now() - began
]]

describe("what hangs", function()
  local vault, mounts

  setup(function()
    vault = fake.start()
    mounts = {}
  end)

  teardown(cleanup.run)

  local function silent()
    mounts[#mounts + 1] = hung.start()
    return mounts[#mounts]
  end

  local function start(options)
    options.vars = {
      data_dir = options.data_dir or "",
      declarative = options.declarative or "",
      timeout = options.timeout or TIMEOUT,
      vault = vault.port,
    }
    options.init = CONFIGURE .. (options.init or "")
    options.workers = options.workers or 2
    options.http = "lua_shared_dict kong_secrets 1m;"
    return nginx.start(options)
  end

  -- Has a name lead somewhere, of which nothing is asked.
  local function link(target, name)
    assert(lfs.link(target, name .. ".new", true))
    assert(os.rename(name .. ".new", name))
  end

  local function configured(server)
    return server:eval "return configured.ok, configured.err, configured.took"
  end

  local function within(took, seconds)
    assert.is_true(took < wait.bound(seconds + SLACK), took)
  end

  local function phases_were_served(server)
    assert.same({ "value of a" }, server:eval "return early")
    assert.same({ "value of b" }, server:eval "return first")
    within(server:eval "return first_took", TIMEOUT)
  end

  local function have_entities(server)
    wait.eventually("the workers have the entities that are there", function()
      for _ = 1, 10 do
        if not server:value "{vault://mine/c/value}" then
          return false
        end
      end
      return true
    end)
  end

  local function with_entities()
    local folder = admin.folder()
    local server = admin.start(folder, { conf = "vault_fetch_timeout = 1" })
    local entity = { prefix = "mine", name = "hcv", config = { port = vault.port, token = "t0ken" } }
    assert.equal(201, (admin.json(server, "POST", "/vaults", entity)))
    server:stop "QUIT"
    return folder
  end

  it("as a declarative file keeps nginx from nothing, and is named", function()
    local folder = files.folder()
    assert.equal(0, (process.run({ command = { "mkfifo", folder .. "/fifo.yml" } })))
    local members = { [folder .. "/fifo.yml"] = "(it is a directory, a pipe or the like: give a regular file)" }
    members["/dev/zero"] = "(it is a directory, a pipe or the like: give a regular file)"
    if hung.available() then
      members[silent().folder .. "/vaults.yml"] = "within 1 s: the file system does not answer"
    end
    for path, why in pairs(members) do
      local server = start({ declarative = path })
      local ok, err, took = configured(server)
      assert.is_nil(ok)
      assert.matches(("vault_declarative_config %s: can't be read %s"):format(path, why), err, 1, true)
      within(took, TIMEOUT)
      assert.same({}, server:flaws())
    end
  end)

  it("as a whole folder of entities keeps nginx, and other vaults, from nothing", function()
    if not hung.available() then
      return pending "it takes root and FUSE"
    end
    local mount = silent()
    local server = start({
      data_dir = mount.folder,
      init = EARLY,
      init_worker = FIRST,
    })
    local ok, err, took = configured(server)
    assert.is_nil(ok)
    local why = "vault_data_dir %s can't be read within 1 s: the file system does not answer"
    assert.matches(why:format(mount.folder), err, 1, true)
    within(took, TIMEOUT)
    phases_were_served(server)
    for i = 1, 20 do
      local began = socket.gettime()
      assert.equal("value of a", (server:value "{vault://hcv/a/value}"))
      if i > 10 then
        -- Both workers know by then that it hangs.
        within(socket.gettime() - began, 0)
      end
    end
    wait.eventually("the log tells of it", function()
      server:value "{vault://hcv/a/value}"
      return server:log():find("the file system does not answer", 1, true)
    end)
    -- Now it is there, and has an entity.
    local folder = with_entities()
    mount.server:stop()
    mount:unmount()
    wait.eventually("nothing holds the mount", function()
      return (process.run({ command = { "rmdir", mount.folder } })) == 0
    end)
    link(folder, mount.folder)
    have_entities(server)
    assert.equal(0, server:stop("QUIT", 15))
    assert.same({}, server:flaws({ "t0ken" }))
  end)

  it("as a writer of entities keeps those of before in use, in every phase", function()
    local folder = with_entities()
    local go_on = admin.stopped_writer(folder)
    local server = start({
      data_dir = folder,
      init = EARLY,
      init_worker = FIRST,
    })
    local ok, err, took = configured(server)
    assert.is_nil(ok)
    assert.matches("has been locked by another process for 0.9 s: try again later", err, 1, true)
    within(took, TIMEOUT)
    phases_were_served(server)
    assert.matches("mine", select(2, server:value "{vault://mine/c/value}"), 1, true)
    go_on()
    have_entities(server)

    -- In workers that have read them, and one that is forked while he is stopped.
    go_on = admin.stopped_writer(folder)
    local began = socket.gettime()
    server:reload()
    within(socket.gettime() - began, 3 * TIMEOUT)
    assert.equal("value of a", (server:value "{vault://hcv/a/value}"))
    go_on()
    have_entities(server)
    assert.equal(0, server:stop("QUIT", 15))
    assert.same({}, server:flaws({ "t0ken" }))
  end)

  it("as a worker's folder, while it runs, is told of once, and its end", function()
    if not hung.available() then
      return pending "it takes root and FUSE"
    end
    local real, place = with_entities(), files.folder() .. "/link"
    link(real, place)
    local server = start({ data_dir = place })
    assert.is_true((configured(server)))
    assert.equal("value of known", (server:value "{vault://mine/known/value}"))
    local mount = silent()
    link(mount.folder, place)
    -- Somebody changed them, as far as can be seen.
    admin.tell(real, 2)
    wait.eventually("the log tells of it", function()
      assert.equal("value of known", (server:value "{vault://mine/known/value}"))
      return server:logged "the file system does not answer" > 0
    end)
    assert.equal("value of other", (server:value "{vault://mine/other/value}"))
    mount:stop()
    link(real, place)
    wait.eventually("the log tells of its end", function()
      server:value "{vault://mine/known/value}"
      return server:logged "the vault entities of vault_data_dir can be read again" > 0
    end)
    assert.equal(1, server:logged "the file system does not answer")
    assert.same({}, server:flaws({ "t0ken" }))
  end)

  it("as certificates leaves those of before in use, and is told of once", function()
    if not hung.available() then
      return pending "it takes root and FUSE"
    end
    local ca = certs.authority "ours"
    local own, pair = ca.issue("server", "DNS:localhost"), ca.issue("client", "DNS:a")
    local tls = nginx.start({
      ports = { "tls" },
      vars = { certificate = own.certificate, key = own.key, ca = ca.certificate },
      http = TLS,
    })
    local real, place = ca.certificate:match "(.*)/", files.folder()
    for _, name in ipairs({ "ca", "pair", "good" }) do
      link(real, place .. "/" .. name)
    end
    local function entity(prefix, ca_in, pair_in)
      return {
        prefix = prefix,
        name = "hcv",
        config = {
          protocol = "https",
          host = "localhost",
          port = tls.vars.tls,
          token = "t0ken",
          ca_cert = ("%s/%s/ca.pem"):format(place, ca_in),
          client_cert = ("%s/%s/client.pem"):format(place, pair_in),
          client_key = pair.key,
        },
      }
    end
    local members = { ["its-ca"] = entity("its-ca", "ca", "good"), ["its-pair"] = entity("its-pair", "good", "pair") }
    local list = cjson.encode({ vaults = { members["its-ca"], members["its-pair"], entity("well", "good", "good") } })
    local server = start({ declarative = files.write(place .. "/vaults.json", list), workers = 1 })
    local count = 0
    local function fetch(prefix)
      count = count + 1
      local began = socket.gettime()
      assert.same({ "yes" }, { server:value(("{vault://%s/document-%d/there}"):format(prefix, count)) })
      return socket.gettime() - began
    end
    for prefix in pairs(members) do
      fetch(prefix)
    end
    fetch "well"
    local mount = silent()
    for _, name in ipairs({ "ca", "pair" }) do
      link(mount.folder, place .. "/" .. name)
    end
    for prefix in pairs(members) do
      local text = ("hcv vault (%s): one of the files of `ca_cert`, `client_cert`, `client_key` can't be read"):format(
        prefix
      )
      wait.eventually("the log tells of " .. prefix, function()
        fetch(prefix)
        return server:logged(text) > 0
      end)
      for _ = 1, 5 do
        within(fetch(prefix), 0)
        within(fetch "well", 0)
      end
      assert.equal(1, server:logged(text))
    end
    assert.equal(2, server:logged "the file system does not answer (new connections use the previous certificates)")
    mount:stop()
    for _, name in ipairs({ "ca", "pair" }) do
      link(real, place .. "/" .. name)
    end
    wait.eventually("the log tells of its end", function()
      for prefix in pairs(members) do
        fetch(prefix)
      end
      return server:logged "the changed certificates are in use" == 2
    end)
    assert.same({}, server:flaws({ "t0ken" }))
  end)
end)
