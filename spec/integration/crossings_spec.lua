-- How often a look-up crosses from Lua into the library: each crossing costs time of nginx's thread, and each is one more place
-- where the two sides have to agree.

local cjson = require "cjson"
local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

-- Has `crossings` list what is called of the library: its functions in C by their names, and those of its Lua module.
local COUNT = [[
  require "kong.vault"
  local native = require "kong.vault.native"
  crossings = {}
  local function counted(name, call)
    return function(...)
      crossings[#crossings + 1] = name
      return call(...)
    end
  end
  -- All functions of `native` have the library as the same upvalue.
  local index, name, library = 0, nil, nil
  repeat
    index = index + 1
    name, library = debug.getupvalue(native.step, index)
  until name == "library"
  debug.setupvalue(native.step, index, setmetatable({}, {
    __index = function(_, called)
      return counted(called:gsub("kong_vault_", ""), library[called])
    end,
  }))
  local vm = native.vm
  native.vm = setmetatable({}, {
    __index = function(_, called)
      return counted("vm:" .. called, function(_, ...)
        return vm[called](vm, ...)
      end)
    end,
  })
  for _, called in ipairs({ "parse_reference", "name_reference", "message", "refusal" }) do
    native[called] = counted(called, native[called])
  end
]]

-- Returns what a call crosses for, from its beginning until nothing is left of it.
local CROSSINGS = [[
  local reference, has_fallback = ...
  crossings = {}
  if has_fallback then
    -- As in Kong.
    local function fail()
      error "asked of Kong"
    end
    require("kong.vault.resolve").set_fallback({ get = fail, cached = fail, lacks = fail })
  end
  local value, err = require("kong.vault").get(reference)
  local made = table.concat(crossings, " ")
  local dict, claims = ngx.shared.kong_secrets, 0
  for _, key in ipairs(dict:get_keys(0)) do
    claims = claims + (key:find("claim", 1, true) and 1 or 0)
  end
  return value or err, made, claims
]]

-- The same, and notes first which worker was asked.
local NOTED = [[
  ngx.shared.results:set("last", ngx.worker.pid())
  ngx.shared.results:incr("asked", 1, 0)
]] .. CROSSINGS

local MISS = "lookup step event step collect"

describe("a look-up", function()
  local vault, server

  setup(function()
    vault = fake.start()
  end)

  -- Starts workers, with engines and listeners, which their first fetches start.
  local function start(workers)
    server = nginx.start({
      http = "lua_shared_dict kong_secrets 5m;",
      env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_FETCH_TIMEOUT = "20" },
      init = COUNT,
      workers = workers,
    })
  end

  -- Each worker has made a fetch before and one after, so that the events of its beginning are over.
  local function await_listeners()
    local listening, number = {}, 0
    wait.eventually("all workers listen", function()
      local pid, listens = server:eval(
        [[
          local listens = require("kong.vault.listener").runs(60) == 60
          require("kong.vault").get(...)
          return ngx.worker.pid(), listens
        ]],
        "{vault://hcv/first-" .. math.random(1e9) .. "/value}"
      )
      if listens and not listening[pid] then
        listening[pid], number = true, number + 1
      end
      return number == server.vars.workers
    end)
  end

  teardown(cleanup.run)

  it("that misses crosses into the library five times, with the fetch over the network and its publication", function()
    start(1)
    await_listeners()
    for number, has_fallback in ipairs({ false, false, true, true }) do
      local reference = ("{vault://hcv/crossed-%d/value}"):format(number)
      local value, made, claims = server:eval(CROSSINGS, reference, has_fallback)
      assert.equal("value of crossed-" .. number, value)
      assert.equal(MISS, made)
      assert.equal(0, claims)
    end
    assert.equal(0, server:stop("QUIT", 10))
  end)

  it("leaves nothing of the value in the answer, whatever its length", function()
    start(1)
    await_listeners()
    for length, expected in pairs({ [1] = MISS, [8192] = MISS, [8193] = MISS .. " release" }) do
      local secret = ("s"):rep(length)
      vault:route("/v1/secret/long-" .. length, { body = cjson.encode({ data = { value = secret } }) })
      local value, made = server:eval(CROSSINGS, ("{vault://hcv/long-%d/value}"):format(length))
      assert.equal(secret, value)
      assert.equal(expected, made)
      local left = server:eval [[
        local answer = require("kong.vault.native").answer
        return require("ffi").string(answer.value, require("ffi").sizeof(answer.value))
      ]]
      assert.equal(("\0"):rep(8192), left)
    end
    assert.equal(0, server:stop("QUIT", 10))
  end)

  it("that the node's cache answers crosses three times", function()
    start(1)
    for number = 1, 3 do
      server:value(("{vault://hcv/known-%d/value?ttl=600}"):format(number))
    end
    local old = server:worker()
    server:reload()
    wait.eventually("a new worker answers", function()
      return server:eval "return ngx.worker.pid()" ~= old
    end)
    await_listeners()
    for number = 1, 3 do
      local value, made = server:eval(CROSSINGS, ("{vault://hcv/known-%d/value?ttl=600}"):format(number))
      assert.equal("value of known-" .. number, value)
      assert.equal("lookup step collect", made)
      assert.equal(1, vault:count("/v1/secret/known-" .. number))
    end
    assert.equal(0, server:stop("QUIT", 10))
  end)

  it("that waits for another worker's fetch crosses four times, or five", function()
    start(2)
    await_listeners()
    vault:route("/v1/secret/waited", { gate = "waited" })
    local reference = "{vault://hcv/waited/value}"
    -- Asks in some worker, and returns which.
    local requests = {}
    local function ask()
      requests[#requests + 1] = server:begin(NOTED, reference)
      wait.eventually("a worker was asked", function()
        return server:eval [[return ngx.shared.results:get "asked"]] == #requests
      end)
      return server:eval [[return ngx.shared.results:get "last"]]
    end
    local owner = ask()
    vault:await("waited", 1)
    wait.eventually("the other worker waits too", function()
      return ask() ~= owner
    end)
    vault:open "waited"
    for number, request in ipairs(requests) do
      local value, made = request.read()
      assert.equal("value of waited", value)
      if number == #requests and made ~= MISS then
        -- MISS: the other worker was done before it was asked, so that the value is taken from the node's cache.
        assert.equal("lookup step event collect", made)
      end
    end
    assert.equal(1, vault:count "/v1/secret/waited")
    assert.equal(0, server:stop("QUIT", 10))
  end)
end)
