-- One release after another in a running nginx: no request fails, and a mixture of two is refused.

local change = require "spec.support.change"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local load = require "spec.support.load"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local release = require "spec.support.release"
local wait = require "spec.support.wait"

local NEW, OLD = release.VERSION, release.OTHER
local TOKEN = "t0ken-of-both"

local VERSION = [[
  location = /version {
    content_by_lua_block {
      local version = require("kong.vault")._VERSION
      ngx.header.content_length = #version
      ngx.print(version)
    }
  }
]]

describe("an upgrade of a running nginx", function()
  local vault, prefix, server

  setup(function()
    vault = change.vaults()
  end)

  before_each(function()
    change.route({ vault })
    prefix = files.folder()
  end)

  teardown(cleanup.run)

  local function options(more)
    local lua_path, lua_cpath = release.paths(prefix)
    local all = {
      vars = { token = TOKEN, vault = vault.port },
      workers = 2,
      lua_path = lua_path,
      lua_cpath = lua_cpath,
      http = "lua_shared_dict kong_secrets 1m;",
      server = change.SERVER:gsub("vault://mine/", "vault://hcv/") .. VERSION,
      init = [[
        assert(require("kong.vault").configure({
          vault_hcv_token = "{{token}}", vault_hcv_port = {{vault}}, vault_hcv_protocol = "http", vault_hcv_kv = "v1",
        }))
      ]],
      -- As the docs tell: a new worker has all values before it serves.
      init_worker = change.CONFIG:gsub("vault://mine/", "vault://hcv/") .. [[
        local vault, config = require "kong.vault", require("spec.support.inside").config
        vault.init_worker()
        assert(vault.warmup({ "{vault://hcv/one/value}", config }))
        vault.update(config)
      ]],
    }
    for name, value in pairs(more or {}) do
      all[name] = value
    end
    return all
  end

  local function start(more)
    server = nginx.start(options(more))

    change.warm(server)
  end

  local function serves(version)
    wait.eventually("every worker is of " .. version, function()
      for _ = 1, 10 do
        if server:get("/version").body ~= version then
          return false
        end
      end
      return true
    end)
  end

  -- Does something while requests come on new connections.
  local function under_load(action)
    local requests =
      load.start(server, { paths = { "/update", "/get", "/version" }, connections = 4, rate = 200, close = true })
    action()
    wait.pass(0.3)
    assert.same({}, requests:stop():failures())
    assert.same({}, server:flaws({ TOKEN }))
  end

  local function reload_to(version)
    server:reload()
    serves(version)
    assert.equal("one of " .. vault.port, server:get("/update").body)
  end

  -- How many documents lie in the shared dictionary.
  local function shared()
    return server:eval [[
      local number = 0
      for _, key in ipairs(ngx.shared.kong_secrets:get_keys(0)) do
        number = number + (#key == #"kong-vault:" + 32 and key:find "^kong%-vault:%x+$" and 1 or 0)
      end
      return number
    ]]
  end

  it("shares nothing with workers of another release, and all with those of the same", function()
    release.install_other(prefix)
    start()
    local documents = shared()
    assert.is_true(documents > 0)
    server:reload()
    assert.equal(documents, shared())
    release.install(prefix)
    reload_to(NEW)
    -- The same documents under other names: a library has a key of its own.
    assert.equal(2 * documents, shared())
    assert.same({}, server:flaws({ TOKEN }))
  end)

  it("takes effect with a reload, there and back", function()
    release.install_other(prefix)
    start()
    serves(OLD)
    under_load(function()
      release.install(prefix)
      serves(OLD)
      reload_to(NEW)
      release.install_other(prefix)
      serves(NEW)
      reload_to(OLD)
      release.install(prefix)
      reload_to(NEW)
    end)
  end)

  -- Loads the module in plain LuaJIT. Returns the exit status and what was written.
  local function load_module()
    local lua_path, lua_cpath = release.paths(prefix)
    return process.run({
      command = { "luajit", "-e", [[io.write(require("kong.vault")._VERSION)]] },
      env = { LUA_PATH = lua_path, LUA_CPATH = lua_cpath },
      seconds = 30,
    })
  end

  -- Returns the lines of a text that tell of a mixture.
  local function complaints(text)
    local found = {}
    for line in text:gmatch "[^\n]+" do
      found[#found + 1] = line:find("install both from one release", 1, true) and line or nil
    end
    return found
  end

  local MIXTURES = {
    ["another library"] = {
      make = release.rename_library,
      says = ("Lua files are of kong-vault %s (ABI version %%d+), but the native library "):format(NEW)
        .. ("%%S+/lib/lua/5.1/kong/vault/native.so is of kong-vault %s (ABI version %%d+): "):format(OLD),
    },
    -- Kong goes on without kong-vault where there is no library; with a wrong one, its fields would lose their secrets.
    ["another library, in Kong"] = {
      make = release.rename_library,
      says = ("Lua files are of kong-vault %s (ABI version %%d+), but the native library "):format(NEW),
      init = [[ require("kong.vault.gateway.strategy").library() ]],
    },
    ["other Lua files"] = {
      make = release.renumber_lua,
      says = ("Lua files are of kong-vault %s (ABI version 1%%d+), but "):format(NEW),
    },
  }

  for what, mixture in pairs(MIXTURES) do
    it("is refused in one line where it is a mixture, and the old workers serve on: " .. what, function()
      release.install(prefix)
      start({ init = (mixture.init or "") .. options().init })
      local workers = server:workers()
      under_load(function()
        mixture.make(prefix)
        local status, output = load_module()
        assert.equal(1, status, output)
        local says = mixture.says:gsub("[().-]", "%%%0"):gsub("%%%%", "%%")
        assert.equal(1, #complaints(output), output)
        assert.truthy(complaints(output)[1]:find(says), output)
        server:signal "HUP"
        wait.eventually("the reload is refused", function()
          return #complaints(server:log()) == 1
        end)
        serves(NEW)
        assert.same(workers, server:workers())
      end)
      -- What mends it is what the line says.
      release.install(prefix)
      reload_to(NEW)
      assert.not_same(workers, server:workers())
    end)
  end

  -- What a process sees of the files that are mapped into it: Lua code that has `path`, and `open`, the io.open of before.
  local SIGHTS = {
    ["nothing"] = "return nil",
    ["other paths"] = [[
      local maps = open(path)
      return {
        lines = function()
          local next_line = maps:lines()
          return function()
            local line = next_line()
            return line and (line:gsub("/lib/", "/elsewhere/"))
          end
        end,
        close = function() maps:close() end,
      }
    ]],
  }

  for what, sight in pairs(SIGHTS) do
    it("takes effect with a reload, also after a mixture, where /proc/self/maps shows " .. what, function()
      local sees = [[
        local open = io.open
        function io.open(path, ...)
          if path ~= "/proc/self/maps" then
            return open(path, ...)
          end
          %s
        end
      ]]
      release.install_other(prefix)
      start({ init = sees:format(sight) .. options().init })
      -- The old library is known by each name that a reload tries.
      reload_to(OLD)
      release.install(prefix)
      release.rename_library(prefix)
      server:signal "HUP"
      wait.eventually("the reload is refused", function()
        return #complaints(server:log()) == 1
      end)
      serves(OLD)
      release.install(prefix)
      reload_to(NEW)
      release.install_other(prefix)
      reload_to(OLD)
    end)
  end

  it("reads no file in a worker that is started before the reload", function()
    release.install(prefix)
    start({
      server = options().server .. [[
      location /vaults { content_by_lua_block { require("kong.vault.admin").serve() } }
      location = /metrics { content_by_lua_block { require("kong.vault.metrics").serve() } }
    ]],
    })
    local workers = server:workers()
    assert(os.rename(prefix .. "/share", prefix .. "/moved"))
    assert(os.rename(prefix .. "/lib", prefix .. "/moved-lib"))
    for _, pid in ipairs(workers) do
      process.send(pid, "KILL")
    end
    wait.eventually("there are other workers", function()
      local now = server:workers()
      return #now == #workers and now[1] ~= workers[1] and now[2] ~= workers[2] and server:is_ready()
    end)
    change.warm(server)
    serves(NEW)
    assert.equal("one of " .. vault.port, (server:value "{vault://hcv/one/value}"))
    assert.is_true(server:eval [[
      local vault = require "kong.vault"
      assert(vault.warmup({ "{vault://hcv/two/value?ttl=7}" }))
      assert(vault.try(function() return true end, {}))
      vault.flush()
      return vault.metrics() ~= nil and vault.stats() ~= nil
    ]])
    assert.truthy(server:get("/metrics").body:find("kong_vault_front_hits_total", 1, true))
    assert.equal(403, server:get("/vaults", { headers = { Origin = "http://elsewhere" } }).status)
    assert.same({}, server:flaws({ TOKEN }))
  end)

  it("takes effect with a new binary of nginx, and is taken back before the old one ends", function()
    release.install_other(prefix)
    start({ daemon = true })
    local old = server.process
    -- Starts a new master with the files that are there, and ends the old master's workers.
    local function hand_over()
      local workers = server:workers()
      server:signal "USR2"
      local pid = wait.eventually("there is a new master", function()
        local written = server:written_pid()
        return written and written ~= old.pid and #process.children(written) == 2 and written
      end)
      server:signal "WINCH"
      wait.eventually("the old workers end", function()
        for _, worker in ipairs(workers) do
          if process.alive(worker) then
            return false
          end
        end
        return true
      end)
      server.process = process.adopt(pid)
    end
    under_load(function()
      release.install(prefix)
      hand_over()
      serves(NEW)
      -- Back: the old master still has what it loaded, so its workers need no files.
      old:signal "HUP"
      wait.eventually("the old master has workers beside the new one", function()
        return #process.children(old.pid) == 3
      end)
      local new = server.process
      new:signal "QUIT"
      wait.eventually("the new master ends", function()
        return not process.alive(new.pid)
      end)
      -- The old master has reaped it.
      new.status = 0
      server.process = old
      serves(OLD)
      -- And once more, to the end.
      hand_over()
      old:signal "QUIT"
      wait.eventually("the old master ends", function()
        return old:ended()
      end)
      serves(NEW)
    end)
  end)
end)
