-- `require "kong.vault"` without nginx: plain luajit, and the specs that users write for their plugins with busted.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local process = require "spec.support.process"

local BUSTED = "/usr/bin/busted"

describe("kong.vault without nginx", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  -- Runs luajit with arguments; returns status and output.
  local function luajit(arguments, more)
    local env = {
      LUA_PATH = files.root .. "/lua/?.lua;;",
      LUA_CPATH = files.root .. "/build/lib/?.so;;",
      KONG_VAULT_HCV_PORT = vault.port,
      KONG_VAULT_FETCH_TIMEOUT = "1",
      OF_THE_SPECS = "from the environment",
    }
    for name, value in pairs(more or {}) do
      env[name] = value
    end
    return process.run({ command = { "luajit", unpack(arguments) }, env = env })
  end

  it("gives values, waiting for them, and leaves no thread", function()
    local status, output = luajit({
      "-e",
      [[
        local vault = require "kong.vault"
        print((assert(vault.get "{vault://env/of-the-specs}")))
        print((assert(vault.get "{vault://hcv/plain/value}")))
        print((assert(vault.get "{vault://hcv/plain/count}")))
        for thread in require("lfs").dir "/proc/self/task" do
          if tonumber(thread) then print "thread" end
        end
      ]],
    })
    assert.equal("from the environment\nvalue of plain\n1\nthread\n", output)
    assert.equal(0, status)
    assert.equal(1, vault:count "/v1/secret/plain")
  end)

  it("works in a VM that loads it again, and refuses one that has the declarations of another ABI", function()
    local status, output = luajit({
      "-e",
      [[
        for _ = 1, 2 do
          print((require("kong.vault").get "{vault://env/of-the-specs}"))
          for name in pairs(package.loaded) do
            package.loaded[name] = not name:find "^kong%.vault" and package.loaded[name] or nil
          end
        end
      ]],
    })
    assert.equal("from the environment\nfrom the environment\n", output)
    assert.equal(0, status)
    status, output = luajit({
      "-e",
      [[
        require("ffi").cdef "typedef struct kong_vault_handle kong_vault_handle; typedef struct { int x; } kong_vault_answer;"
        print(select(2, pcall(require, "kong.vault.native")))
      ]],
    })
    assert.equal(
      "this Lua VM has loaded kong.vault of another ABI version before: load this one in a new VM, as a reload does\n",
      output
    )
    assert.equal(0, status)
  end)

  it("fetches many side by side", function()
    vault:route("/v1/secret/many-*", { gate = "many" })
    local output = files.folder() .. "/output"
    local running = process.start({
      command = {
        "luajit",
        "-e",
        [[
          local references = {}
          for i = 1, 10 do references[i] = "{vault://hcv/many-" .. i .. "/value}" end
          print(require("kong.vault").warmup(references))
        ]],
      },
      env = {
        LUA_PATH = files.root .. "/lua/?.lua;;",
        LUA_CPATH = files.root .. "/build/lib/?.so;;",
        KONG_VAULT_HCV_PORT = vault.port,
      },
      output = output,
    })
    vault:await("many", 10)
    vault:open "many"
    assert.equal(0, running:wait(10))
    assert.equal("true\n", files.read(output))
  end)

  it("says within the deadline why there is no value", function()
    vault:route("/v1/secret/silent", { gate = "silent" })
    local status, output = luajit({ "-e", [[ print(require("kong.vault").get "{vault://hcv/silent/value}") ]] })
    assert.equal(0, status)
    assert.matches("^nil\tcould not get value from external vault .*within 1 s", output)
    vault:open "silent"
  end)

  it("refuses Lua files and a library that don't belong together, and tells where it looked", function()
    local status, output = luajit({ "-e", [[ require "kong.vault" ]] }, { LUA_CPATH = "/nowhere/?.so" })
    assert.equal(1, status)
    assert.matches("the native library of kong.vault is not on lua_package_cpath", output, 1, true)
    assert.matches("/nowhere/kong/vault/native.so", output, 1, true)
  end)

  it("serves a plugin's own specs under busted", function()
    if not files.exists(BUSTED) then
      return pending(BUSTED .. " is not there")
    end
    local spec = files.write(
      files.folder() .. "/plugin_spec.lua",
      [[
      describe("a plugin", function()
        it("finds its secret", function()
          local kong = require("kong.vault").install({})
          assert.is_true(kong.vault.is_reference "{vault://env/of-the-specs}")
          assert.equal("from the environment", kong.vault.get "{vault://env/of-the-specs}")
          assert.equal("value of plugin", kong.vault.get "{vault://hcv/plugin/value}")
        end)
      end)
    ]]
    )
    local status, output = luajit({ BUSTED, "-o", "plainTerminal", spec })
    assert.matches("1 success", output, 1, true)
    assert.equal(0, status)
  end)
end)
