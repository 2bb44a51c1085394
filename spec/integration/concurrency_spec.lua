-- Many who want the same, and many who want nothing of it.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local cjson = require "cjson"

local SERVER = [[
  location /get {
    content_by_lua_block {
      ngx.shared.results:incr("arrived", 1, 0)
      local value, err = require("kong.vault").get(ngx.unescape_uri(ngx.var.arg_reference))
      ngx.print(value or ("nil " .. err))
    }
  }
  location /other { content_by_lua_block { ngx.print "served" } }
]]

for mode, dictionary in pairs({
  ["without the node's dictionary"] = "",
  ["with the node's dictionary"] = "lua_shared_dict kong_secrets 5m;",
}) do
  describe("in one worker, " .. mode, function()
    local server, vault

    setup(function()
      vault = fake.start()
      server = nginx.start({
        env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_FETCH_TIMEOUT = "20" },
        init = [[require "kong.vault"]],
        http = dictionary,
        server = SERVER,
      })
    end)

    teardown(cleanup.run)

    -- Opens requests for what `reference` says, and returns once all of them wait.
    local function waiting(number, reference)
      server:eval "ngx.shared.results:delete('arrived')"
      local requests = {}
      for i = 1, number do
        requests[i] = server:open("/get?reference=" .. http.escape(reference(i)))
      end
      wait.eventually("requests wait", function()
        return server:eval "return ngx.shared.results:get('arrived')" == number
      end)
      return requests
    end

    it("500 requests for a cold document are one fetch", function()
      vault:route("/v1/secret/stampede", { gate = "stampede" })
      local requests = waiting(500, function()
        return "{vault://hcv/stampede/value}"
      end)
      vault:open "stampede"
      for _, request in ipairs(requests) do
        assert.equal("value of stampede", request:read().body)
      end
      assert.equal(1, vault:count "/v1/secret/stampede")
    end)

    it("500 requests for a document that can't be had are one fetch, and each hears why", function()
      vault:route("/v1/secret/denied", { gate = "denied", status = 403, body = '{"errors":["permission denied"]}' })
      local requests = waiting(500, function()
        return "{vault://hcv/denied/value}"
      end)
      vault:open "denied"
      for _, request in ipairs(requests) do
        assert.matches("^nil could not get value .*403", request:read().body)
      end
      assert.equal(1, vault:count "/v1/secret/denied")
    end)

    it("two fields of a document are one fetch and of one version", function()
      -- By the fake's own count of requests, each fetch would bring another version.
      vault:route("/v1/secret/fields", { gate = "fields" })
      local requests = waiting(100, function(i)
        return i % 2 == 0 and "{vault://hcv/fields/value}" or "{vault://hcv/fields/count}"
      end)
      vault:open "fields"
      for i, request in ipairs(requests) do
        assert.equal(i % 2 == 0 and "value of fields" or "1", request:read().body)
      end
      assert.same({ value = "value of fields", count = "1" }, cjson.decode((server:value "{vault://hcv/fields}")))
      assert.equal(1, vault:count "/v1/secret/fields")
    end)

    it("other requests are served while 50 different secrets are being waited for", function()
      vault:route("/v1/secret/slow-*", { gate = "slow" })
      local requests = waiting(50, function(i)
        return ("{vault://hcv/slow-%d/value}"):format(i)
      end)
      vault:await("slow", 50)
      for _ = 1, 300 do
        assert.equal("served", server:get("/other").body)
      end
      assert.equal("value of meanwhile", (server:value "{vault://hcv/meanwhile/value}"))
      assert.equal("value of meanwhile", (server:value "{vault://hcv/meanwhile/value}"))
      -- All of that came to an end before any of the fetches was let go.
      vault:await("slow", 50)
      vault:open "slow"
      for i, request in ipairs(requests) do
        assert.equal("value of slow-" .. i, request:read().body)
      end
      assert.equal(50, vault:count "/v1/secret/slow-*")
    end)

    it("light threads and coroutines of one request wait side by side", function()
      vault:route("/v1/secret/side-*", { gate = "side" })
      local request = server:begin [[
      local vault, threads, values = require "kong.vault", {}, {}
      for i = 1, 20 do
        threads[i] = ngx.thread.spawn(function()
          return coroutine.wrap(function() return vault.get("{vault://hcv/side-" .. i .. "/value}") end)()
        end)
      end
      for i = 1, 20 do values[i] = select(2, ngx.thread.wait(threads[i])) end
      return table.concat(values, ",")
    ]]
      vault:await("side", 20)
      vault:open "side"
      local expected = {}
      for i = 1, 20 do
        expected[i] = "value of side-" .. i
      end
      assert.equal(table.concat(expected, ","), (request.read()))
    end)

    -- Where a C function lies between the call and the event loop.
    local WITHIN_C = {
      gsub = [[ string.gsub("x", "x", get) ]],
      sort = [[ table.sort({ 2, 1 }, function(a, b) get() return a < b end) ]],
      module = [[
        package.preload["spec.top-of-a-module"] = function() get() return true end
        require "spec.top-of-a-module"
        package.loaded["spec.top-of-a-module"] = nil
      ]],
      load = [[ load(function() get() end) ]],
    }
    for what, lua in pairs(WITHIN_C) do
      it("who can't yield though his phase could hears what to do, and the fetch goes on: " .. what, function()
        local path = "/v1/secret/within-" .. what
        vault:route(path, { gate = what })
        local value, err = server:eval(([[
          local value, err
          local function get() value, err = require("kong.vault").get "{vault://hcv/within-%s/value}" end
          %s
          return value, err
        ]]):format(what, lua))
        assert.is_nil(value)
        assert.matches("^could not get value from external vault", err)
        assert.matches("inside a C function, such as string.gsub, table.sort, or require", err, 1, true)
        assert.is_nil(err:find("attempt to yield", 1, true))
        vault:open(what)
        assert.equal("value of within-" .. what, (server:value("{vault://hcv/within-" .. what .. "/value}")))
        assert.equal(1, vault:count(path))
      end)
    end

    it("it takes no more than one thread, and descriptors are given back", function()
      local worker = server:worker()
      assert.is_true(process.threads(worker) <= 2)
      -- Connections are kept for the next fetch, but not one for each that ever was.
      wait.eventually("descriptors are given back", function()
        return process.descriptors(worker) < 250
      end)
      assert.equal(0, server:stop("QUIT", 10))
      assert.same({}, server:flaws())
    end)
  end)
end
