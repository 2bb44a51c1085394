-- Hits: LuaJIT compiles them into their callers, whatever a worker did before.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"

-- Secrets of either vault.
local SECRETS = 100

local HELPERS = [[
  require "kong.vault"
  function references(vault)
    local list = {}
    for i = 1, 100 do
      list[i] = vault == "env" and "{vault://env/of-hits-" .. i .. "}" or "{vault://hcv/hits-" .. i .. "/value}"
    end
    return list
  end
  function tables(vault)
    local list = references(vault)
    for i, reference in ipairs(list) do
      list[i] = { field = "", ["$refs"] = { field = reference } }
    end
    return list
  end
]]

-- In Kong the way of a miss leads through a function that is written in C, at which a trace ends.
local AS_IN_KONG = [[
  local function none() end
  require("kong.vault.resolve").set_fallback({ get = none, cached = none, lacks = none })
]]

-- What a worker may have done first: the calls that make LuaJIT choose where traces start.
local PASTS = {
  ["nothing"] = "return",
  ["misses from many places"] = [[
    local traces = require "spec.support.traces"
    traces.from_many_places(kong.vault.get, references "env")
    traces.from_many_places(kong.vault.update, tables "env")
  ]],
  ["misses that wait"] = [[
    local function visit(list)
      for i = 1, #list do kong.vault.get(list[i]) end
    end
    jit.off(visit)
    visit(references "hcv")
  ]],
  ["misses in a loop"] = [[
    for _, reference in ipairs(references "env") do kong.vault.get(reference) end
    for _, config in ipairs(tables "env") do kong.vault.update(config) end
  ]],
  ["misses from a function in C"] = [[
    local list, number = references "env", 0
    ;("x"):rep(#list):gsub("x", function()
      number = number + 1
      return kong.vault.get(list[number])
    end)
    for _, config in ipairs(tables "env") do pcall(kong.vault.update, config) end
  ]],
  ["failures"] = [[
    local list = {}
    for i = 1, 200 do list[i] = "{vault://env/of-hits-lacking-" .. i .. "}" end
    require("spec.support.traces").from_many_places(kong.vault.get, list)
  ]],
  ["values that are forgotten again and again"] = [[
    local traces = require "spec.support.traces"
    for _ = 1, 10 do
      kong.vault.flush()
      traces.from_many_places(kong.vault.get, { "{vault://env/of-hits-1}" })
      traces.from_many_places(kong.vault.update, { tables("env")[1] })
    end
  ]],
}

describe("a hit", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(init)
    local env = { KONG_VAULT_HCV_PORT = vault.port }
    for i = 1, SECRETS do
      env["OF_HITS_" .. i] = "value " .. i
    end
    return nginx.start({ env = env, init = HELPERS .. (init or "") .. "kong = {} require('kong.vault').install(kong)" })
  end

  local function is_compiled_into_callers(server)
    -- Requests in between, from places of their own.
    for _ = 1, 3 do
      server:eval [[
        local traces = require "spec.support.traces"
        for _ = 1, 2 do
          traces.from_many_places(kong.vault.get, references "env")
          traces.from_many_places(kong.vault.update, tables "env")
        end
      ]]
    end
    for _ = 1, 3 do
      local ends, value = server:eval [[
        return require("spec.support.traces").of_a_loop(kong.vault.get, "{vault://env/of-hits-7}")
      ]]
      assert.same({ "loop" }, ends)
      assert.equal("value 7", value)
      local config
      ends, config = server:eval [[
        local config = tables("env")[9]
        kong.vault.update(config)
        return require("spec.support.traces").of_a_loop(kong.vault.update, config)
      ]]
      assert.same({ "loop" }, ends)
      assert.equal("value 9", config.field)
    end
  end

  for past, lua in pairs(PASTS) do
    it("is part of the caller's own trace after " .. past, function()
      local server = start()
      server:eval(lua)
      is_compiled_into_callers(server)
    end)

    it("is part of the caller's own trace after " .. past .. ", as in Kong", function()
      local server = start(AS_IN_KONG)
      server:eval(lua)
      is_compiled_into_callers(server)
    end)
  end

  it("has its counters read by a trace that returns, where the caller is not compiled", function()
    local server = start(AS_IN_KONG)
    server:eval(PASTS["misses from many places"])
    local ends = server:eval [[
      return require("spec.support.traces").of(require("kong.vault.l1").moved)
    ]]
    assert.equal("return", ends)
  end)

  it("needs no look-up where all secrets come from the environment", function()
    local server = start()
    for _ = 1, 5 do
      assert.equal("value 1", (server:value "{vault://env/of-hits-1}"))
    end
    -- The first brings it, the second finds it in the cache; the others find the copy.
    local looked_up = server:eval [[ return require("kong.vault.native").vm:stats(0).hits ]]
    assert.equal(1, looked_up)
  end)
end)
