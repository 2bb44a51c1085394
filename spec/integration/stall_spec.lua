-- A name server that never answers: what doesn't need it goes on as if nothing was wrong, and nobody waits for it for
-- longer than `vault_fetch_timeout`.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local socket = require "socket"

local DEAD, CLIENTS, ROUNDS = 6, 40, 10

-- The C library's resolver gives a silent name server up after 10 s: far more than this.
local AT_ONCE = 1 * (tonumber(os.getenv "TEST_SLOWER") or 1)
-- What comes on top of a time that is waited for on purpose.
local GRACE = 2 * (tonumber(os.getenv "TEST_SLOWER") or 1)

-- A command that has a silent name server of its own in /etc/resolv.conf; nil where that can't be arranged.
local function in_silence()
  if not process.is_root or process.run({ command = { "unshare", "-m", "true" } }) ~= 0 then
    return
  end
  for _ = 1, 5 do
    local address = ("127.%d.%d.%d"):format(math.random(1, 254), math.random(1, 254), math.random(2, 254))
    local server = socket.udp()
    if server:setsockname(address, 53) then
      cleanup.add(function()
        server:close()
      end)
      local conf = files.write(files.folder() .. "/resolv.conf", "nameserver " .. address .. "\n")
      return { "unshare", "-m", "sh", "-c", ('mount --bind %s /etc/resolv.conf && exec "$@"'):format(conf), "sh" }
    end
  end
end

local function took(call)
  local start = socket.gettime()
  local value, err = call()
  return socket.gettime() - start, value, err
end

local function with(list, more)
  local all = { unpack(list) }
  for _, word in ipairs(more) do
    all[#all + 1] = word
  end
  return all
end

describe("with a name server that never answers", function()
  local vault, under

  setup(function()
    math.randomseed(socket.gettime() * 1000)
    under = in_silence()
    vault = under and fake.start()
  end)
  teardown(cleanup.run)

  it("cached values, other vaults and a changed token file answer at once", function()
    if not under then
      return pending "needs root, for a name server on port 53 and an /etc/resolv.conf of its own"
    end
    local entities = {}
    for i = 1, DEAD do
      entities[i] = ("- {prefix: dead-%d, name: hcv, config: {host: v%d.silent.test, token: t}}"):format(i, i)
    end
    local server = nginx.start({
      under = under,
      files = {
        ["vaults.yml"] = "vaults:\n" .. table.concat(entities, "\n") .. ([[

- {prefix: good-1, name: hcv, config: {host: 127.0.0.1, port: %d, token_file: "{{prefix}}/token"}}
- {prefix: good-2, name: hcv, config: {host: localhost, port: %d, token: t}}
]]):format(vault.port, vault.port),
        token = "one",
      },
      http = "lua_shared_dict kong_secrets 5m;",
      init = [[require("kong.vault").configure({ vault_declarative_config = "{{prefix}}/vaults.yml" })]],
    })
    -- The file of `files` is written as it is; what stands in it for the folder is filled in here.
    files.write(server.prefix .. "/vaults.yml", server:fill(files.read(server.prefix .. "/vaults.yml")))
    server:reload()
    assert.equal("value of cached", server:value "{vault://good-1/secret/cached/value}")
    local clients = {}
    for i = 1, CLIENTS do
      clients[i] = server:ask(("{vault://dead-%d/secret/x%d/value}"):format(i % DEAD + 1, i))
    end
    for i = 1, ROUNDS do
      files.write(server.prefix .. "/token", "token-" .. i)
      for _, reference in ipairs({ "good-1/secret/cached", "good-1/secret/new" .. i, "good-2/secret/new" .. i }) do
        local seconds, value, err = took(function()
          return server:value(("{vault://%s/value}"):format(reference))
        end)
        assert(value, err)
        assert(seconds < AT_ONCE, ("%s took %.2f s"):format(reference, seconds))
      end
    end
    for _, client in ipairs(clients) do
      client.close()
    end
    wait.eventually("who asks for such a name again is told at once that the name server is silent", function()
      local _, err = server:value "{vault://dead-1/secret/again/value}"
      return err and err:find("cannot resolve", 1, true)
    end)
  end)

  it("init_by_lua, init_worker_by_lua and the command line end within the fetch's time", function()
    if not under then
      return pending "needs root, for a name server on port 53 and an /etc/resolv.conf of its own"
    end
    local get = [[ngx.log(ngx.WARN, "init: ", select(2, require("kong.vault").get("{vault://hcv/a/b}")))]]
    -- The environment is there in the master alone.
    local phases = { init = { init = get }, init_worker = { init = 'require "kong.vault"', init_worker = get } }
    for phase, lua in pairs(phases) do
      local seconds, server = took(function()
        return nginx.start({
          under = under,
          env = {
            KONG_VAULT_FETCH_TIMEOUT = 1,
            KONG_VAULT_HCV_HOST = "init.silent.test",
            KONG_VAULT_HCV_TOKEN = "t",
          },
          init = lua.init,
          init_worker = lua.init_worker,
        })
      end)
      assert(seconds < 1 + GRACE, ("%s took %.2f s"):format(phase, seconds))
      wait.eventually("the fetch has failed", function()
        return server:log():find("init: could not get value", 1, true)
      end)
      server:stop()
    end
    local seconds, status, output = took(function()
      local command = with(under, { files.root .. "/build/bin/kong-vault", "get", "--timeout", "1", "hcv/a/b" })
      local env = { KONG_VAULT_HCV_HOST = "init.silent.test", KONG_VAULT_HCV_TOKEN = "t" }
      return process.run({ command = command, env = env })
    end)
    assert.equal(1, status, output)
    assert(seconds < 1 + GRACE, ("the command line took %.2f s"):format(seconds))
  end)
end)
