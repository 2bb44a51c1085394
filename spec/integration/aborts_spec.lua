-- Whoever waits can go away, without a word to anybody, and must take nothing and nobody with him.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local http = require "spec.support.http"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local SERVER = [[
  location /abortable {
    lua_check_client_abort on;
    content_by_lua_block {
      local results = ngx.shared.results
      assert(ngx.on_abort(function()
        results:incr("aborted", 1, 0)
        ngx.exit(499)
      end))
      results:incr("arrived", 1, 0)
      ngx.print((require("kong.vault").get(ngx.unescape_uri(ngx.var.arg_reference))))
    }
  }
  location /leave {
    content_by_lua_block {
      ngx.thread.spawn(function() require("kong.vault").get "{vault://hcv/exits/value}" end)
      ngx.print "left"
      ngx.exit(200)
    }
  }
]]

for mode, dictionary in pairs({
  ["without the node's dictionary"] = "",
  ["with the node's dictionary"] = "lua_shared_dict kong_secrets 5m;",
}) do
  describe("get by somebody who goes away, " .. mode, function()
    local server, vault

    setup(function()
      vault = fake.start()
      server = nginx.start({
        http = dictionary,
        env = { KONG_VAULT_HCV_PORT = vault.port },
        init = [[require "kong.vault"]],
        server = SERVER,
      })
    end)

    teardown(cleanup.run)

    local function counter(name)
      return server:eval("return ngx.shared.results:get(...)", name) or 0
    end

    local function reset()
      server:eval "ngx.shared.results:flush_all()"
    end

    -- Opens requests that wait for a secret; returns once all of them do.
    local function waiting(number, name)
      local before, requests = counter "arrived", {}
      for i = 1, number do
        requests[i] = server:open("/abortable?reference=" .. http.escape(("{vault://hcv/%s/value}"):format(name)))
      end
      wait.eventually("requests wait", function()
        return counter "arrived" == before + number
      end)
      return requests
    end

    local function hang_up(requests)
      local before = counter "aborted"
      for _, request in ipairs(requests) do
        request:close()
      end
      wait.eventually("nginx sees that clients are gone", function()
        return counter "aborted" == before + #requests
      end)
    end

    it("leaves the fetch to those who stay, also if he was the first to ask for it", function()
      reset()
      vault:route("/v1/secret/first", { gate = "first" })
      local leaving = waiting(1, "first")
      vault:await("first", 1)
      local staying = waiting(20, "first")
      hang_up(leaving)
      vault:open "first"
      for _, request in ipairs(staying) do
        assert.equal("value of first", request:read().body)
      end
      assert.equal(1, vault:count "/v1/secret/first")
    end)

    it("leaves the fetch to those who stay, if he came after them", function()
      reset()
      vault:route("/v1/secret/later", { gate = "later" })
      local staying = waiting(1, "later")
      vault:await("later", 1)
      hang_up(waiting(20, "later"))
      vault:open "later"
      assert.equal("value of later", staying[1]:read().body)
      assert.equal("value of later", (server:value "{vault://hcv/later/value}"))
      assert.equal(1, vault:count "/v1/secret/later")
    end)

    it("leaves the value to who comes next, if nobody stays", function()
      reset()
      vault:route("/v1/secret/nobody", { gate = "nobody" })
      local leaving = waiting(20, "nobody")
      vault:await("nobody", 1)
      hang_up(leaving)
      local next_one = server:ask "{vault://hcv/nobody/value}"
      vault:open "nobody"
      assert.equal("value of nobody", (next_one.read()))
      assert.equal(1, vault:count "/v1/secret/nobody")
    end)

    it("costs no descriptor and no thread", function()
      reset()
      local worker = server:worker()
      local function round(i)
        local name = "round-" .. i
        vault:route("/v1/secret/" .. name, { gate = name })
        local leaving = waiting(50, name)
        vault:await(name, 1)
        hang_up(leaving)
        vault:open(name)
        assert.equal("value of " .. name, (server:value(("{vault://hcv/%s/value}"):format(name))))
      end
      round(1)
      local descriptors = process.descriptors(worker)
      for i = 2, 6 do
        round(i)
      end
      wait.eventually("descriptors are given back", function()
        return process.descriptors(worker) <= descriptors + 5
      end)
      assert.is_true(process.threads(worker) <= 2)
      assert.equal(worker, server:worker())
    end)

    it("as a light thread that is killed", function()
      vault:route("/v1/secret/thread", { gate = "thread" })
      local request = server:begin [[
      local vault = require "kong.vault"
      local function get() return vault.get "{vault://hcv/thread/value}" end
      local leader, follower, stays = ngx.thread.spawn(get), ngx.thread.spawn(get), ngx.thread.spawn(get)
      local killed = ngx.thread.kill(leader) and ngx.thread.kill(follower)
      ngx.shared.results:set("killed", true)
      return killed == 1, select(2, ngx.thread.wait(stays))
    ]]
      vault:await("thread", 1)
      -- On a busy machine the answer might come before the threads are killed.
      wait.eventually("the threads are killed", function()
        return counter "killed" == true
      end)
      vault:open "thread"
      assert.same({ true, "value of thread" }, { request.read() })
      assert.equal(1, vault:count "/v1/secret/thread")
    end)

    it("as a request that exits while a light thread of it waits", function()
      vault:route("/v1/secret/exits", { gate = "exits" })
      assert.equal("left", server:get("/leave").body)
      vault:await("exits", 1)
      local request = server:ask "{vault://hcv/exits/value}"
      vault:open "exits"
      assert.equal("value of exits", (request.read()))
    end)

    it("and everything is as before", function()
      assert.equal("value of after", (server:value "{vault://hcv/after/value}"))
      assert.equal(0, server:stop("QUIT", 10))
      assert.same({}, server:flaws())
    end)
  end)
end
