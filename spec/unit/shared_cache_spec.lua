-- The node's cache, by pretended workers of one node: who fetches a document, and who has it from whom.

local fake_native = require "spec.support.fake_native"
local fake_node = require "spec.support.fake_node"

local NAME, OTHER = ("d"):rep(32), ("e"):rep(32)
local DOCUMENT, CLAIM = "kong-vault:" .. NAME, "kong-vault:claim:" .. NAME

describe("the node's cache", function()
  local node, dict

  before_each(function()
    node = fake_node.new()
    dict = node.dict
  end)

  describe("for a fetch that a look-up created", function()
    it("has what another worker published", function()
      dict:set(DOCUMENT, "sealed")
      local one = node:worker "one"
      one.native.accepts.sealed = true
      local record = one.waiters.record(1)
      assert.is_true(one.cache.start(1, NAME))
      assert.same({}, fake_node.starts(one))
      assert.is_true(record.is_complete)
      assert.is_nil(dict:get(CLAIM))
    end)

    it("fetches what others published but what doesn't serve", function()
      dict:set(DOCUMENT, "too old")
      local one = node:worker "one"
      assert.is_false(one.cache.start(1, NAME))
      assert.same({ "1 vault true" }, fake_node.starts(one))
    end)

    it("claims the document and fetches it, with a claim that outlasts the fetch", function()
      local one = node:worker("one", { fetch_timeout = 7 })
      local is_complete, serves = one.cache.start(1, NAME)
      assert.same({ false, false }, { is_complete, serves })
      assert.same({ "1 vault true" }, fake_node.starts(one))
      assert.matches("^one@%d+$", dict:get(CLAIM))
      assert.equal(8, dict:ttl(CLAIM))
    end)

    it("asks the worker that has claimed it", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.start(1, NAME)
      local claim = dict:get(CLAIM)
      assert.is_false((two.cache.start(2, NAME)))
      assert.same({ "2 " .. claim .. " false" }, fake_node.starts(two))
      assert.equal(claim, dict:get(CLAIM))
    end)

    it("has other documents fetched beside it", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.start(1, NAME)
      two.cache.start(2, OTHER)
      assert.same({ "2 vault true" }, fake_node.starts(two))
    end)

    it("finds what is published between its look and its claim, and leaves no claim", function()
      local one = node:worker "one"
      one.native.accepts.sealed = true
      local safe_add = dict.safe_add
      dict.safe_add = function(self, ...)
        dict.safe_add = nil
        self:set(DOCUMENT, "sealed")
        return safe_add(self, ...)
      end
      local record = one.waiters.record(1)
      assert.is_true((one.cache.start(1, NAME)))
      assert.same({}, fake_node.starts(one))
      assert.is_nil(dict:get(CLAIM))
      assert.is_true(record.is_complete)
    end)

    it("claims again what it claimed for a fetch that has ended", function()
      local one = node:worker "one"
      one.cache.start(1, NAME)
      local first = dict:get(CLAIM)
      node.clock.time = node.clock.time + 4
      one.cache.start(2, NAME)
      assert.same({ "1 vault true", "2 vault true" }, fake_node.starts(one))
      assert.are_not.equal(first, dict:get(CLAIM))
      assert.equal(6, dict:ttl(CLAIM))
    end)

    it("fetches without a claim where there is no room for one", function()
      local one = node:worker "one"
      dict.safe_add = function()
        return nil, "no memory"
      end
      assert.is_false((one.cache.start(1, NAME)))
      assert.same({ "1 vault true" }, fake_node.starts(one))
      dict.safe_add = nil
      fake_node.complete(one, 1, "sealed", 60)
      assert.equal("sealed", dict:get(DOCUMENT))
    end)

    it("fetches after a few looks where the claim is gone each time that it is read", function()
      local one = node:worker "one"
      local adds = 0
      dict.safe_add = function()
        adds = adds + 1
        return false, "exists"
      end
      assert.is_false((one.cache.start(1, NAME)))
      assert.same({ "1 vault true" }, fake_node.starts(one))
      assert.equal(3, adds)
    end)

    it("fetches for this worker alone without a dictionary, and without a socket", function()
      for _, one in ipairs({ node:worker("one", { dict = false }), node:worker(nil) }) do
        assert.is_false((one.cache.start(1, NAME)))
        assert.same({ "1 vault false" }, fake_node.starts(one))
        fake_node.complete(one, 1, "sealed", 60)
        assert.same({}, fake_native.calls(one.native, "sealed_outcome"))
      end
      assert.same({}, dict:get_keys(0))
    end)

    it("does not mistake a worker for one whose address begins like its own", function()
      local one, ten = node:worker "worker-1", node:worker "worker-10"
      ten.cache.start(1, NAME)
      one.cache.start(2, NAME)
      assert.same({ "2 " .. dict:get(CLAIM) .. " false" }, fake_node.starts(one))
    end)

    it("takes what was there before a reload, to serve meanwhile", function()
      local one = node:worker "one"
      one.native.previous = { [1] = OTHER }
      dict:set("kong-vault:" .. OTHER, "from before")
      local is_complete, serves = one.cache.start(1, NAME)
      assert.same({ false, true }, { is_complete, serves })
      assert.same({ "1 from before" }, fake_native.calls(one.native, "inherit_previous"))
      assert.same({ "1 vault true" }, fake_node.starts(one))
    end)

    it("takes nothing where nothing is left from before a reload", function()
      local one = node:worker "one"
      one.native.previous = { [1] = OTHER }
      local _, serves = one.cache.start(1, NAME)
      assert.is_false(serves)
    end)
  end)

  it("says in debug lines who fetches, and nothing at other levels", function()
    local one, two = node:worker "one", node:worker "two"
    one.ngx.level, two.ngx.level = one.ngx.ngx.DEBUG, two.ngx.ngx.DEBUG
    one.cache.start(1, NAME)
    two.cache.start(2, NAME)
    fake_node.complete(one, 1, "sealed value", 60)
    assert.same({
      "DEBUG kong.vault: fetch 1 of document dddddddddddd: this worker fetches it",
      "DEBUG kong.vault: fetch 1 of document dddddddddddd: published, to be kept for 60 s",
    }, one.ngx:logged())
    local waiting = "DEBUG kong.vault: fetch 2 of document dddddddddddd: waiting for worker one@"
    assert.equal(waiting, two.ngx:logged()[1]:sub(1, #waiting))
    local silent = node:worker "three"
    silent.cache.start(3, OTHER)
    assert.same({}, silent.ngx:logged())
  end)

  describe("where the other worker's fetch does not serve", function()
    it("takes the claim over", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.start(1, NAME)
      local old = dict:get(CLAIM)
      two.native.too_early[old] = true
      two.cache.start(2, NAME)
      assert.same({ "2 " .. old .. " false", "2 vault true" }, fake_node.starts(two))
      assert.matches("^two@", dict:get(CLAIM))
      fake_node.complete(one, 1, "older", 60)
      assert.matches("^two@", dict:get(CLAIM), "it is no longer the first one's to remove")
    end)

    it("asks the one that took the claim over first", function()
      local two, three = node:worker "two", node:worker "three"
      dict:set(CLAIM, "one@1")
      two.cache.start(2, NAME, "one@1")
      local claim = dict:get(CLAIM)
      three.cache.start(3, NAME, "one@1")
      assert.same({ "2 vault true" }, fake_node.starts(two))
      assert.same({ "3 " .. claim .. " false" }, fake_node.starts(three))
      assert.equal(claim, dict:get(CLAIM))
    end)

    it("takes over from a worker that took over and is gone as well", function()
      local two, three = node:worker "two", node:worker "three"
      two.cache.start(2, NAME, "one@1")
      local claim = dict:get(CLAIM)
      three.native.too_early[claim] = true
      three.cache.start(3, NAME, "one@1")
      assert.same({ "3 " .. claim .. " false", "3 vault true" }, fake_node.starts(three))
      assert.matches("^three@", dict:get(CLAIM))
    end)

    it("fetches itself after a few who don't serve either", function()
      local one = node:worker "one"
      local number = 1
      dict.safe_add = function()
        return false, "exists"
      end
      dict.get = function(self, key)
        number = number + 1
        return key:find("!", 1, true) and "worker@" .. number or getmetatable(self).__index.get(self, key)
      end
      one.native.too_early = setmetatable({}, {
        __index = function()
          return true
        end,
      })
      one.cache.start(1, NAME, "gone@1")
      assert.equal("1 vault true", fake_node.starts(one)[4])
      assert.equal(4, #fake_node.starts(one))
    end)

    it("is started by the engine's event with the dead worker's claim", function()
      local two = node:worker "two"
      dict:set(CLAIM, "one@1")
      two.cache.start_for_engine(2, NAME .. "one@1")
      assert.same({ "2 vault true" }, fake_node.starts(two))
      assert.equal(dict:get(CLAIM), dict:get(CLAIM .. "!one@1"))
    end)

    it("is fetched by the worker that took over before, when it is asked for again", function()
      local two = node:worker "two"
      two.cache.start(2, NAME, "one@1")
      two.cache.start(3, NAME, "one@1")
      assert.same({ "2 vault true", "3 vault true" }, fake_node.starts(two))
    end)

    it("is fetched where whoever took over has ended meanwhile", function()
      local two = node:worker "two"
      dict.safe_add = function()
        return false, "exists"
      end
      two.cache.start(2, NAME, "one@1")
      assert.same({ "2 vault true" }, fake_node.starts(two))
    end)

    it("is started by the engine's event without a claim as any other", function()
      local two = node:worker "two"
      dict:set(CLAIM, "one@1")
      two.cache.start_for_engine(2, NAME)
      assert.same({ "2 one@1 false" }, fake_node.starts(two))
    end)
  end)

  describe("when a fetch is complete", function()
    it("publishes the outcome for its time, and gives the claim up", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.start(1, NAME)
      fake_node.complete(one, 1, "sealed", 60)
      assert.equal("sealed", dict:get(DOCUMENT))
      assert.equal(60, dict:ttl(DOCUMENT))
      assert.is_nil(dict:get(CLAIM))
      two.native.accepts.sealed = true
      assert.is_true((two.cache.start(2, NAME)))
    end)

    it("publishes once, and only what this worker fetched", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.start(1, NAME)
      two.cache.start(2, NAME)
      fake_node.complete(two, 2, "from one", 60)
      assert.is_nil(dict:get(DOCUMENT))
      fake_node.complete(one, 1, "sealed", 60)
      dict:delete(DOCUMENT)
      one.cache.publish(1)
      assert.is_nil(dict:get(DOCUMENT))
    end)

    it("has the library compare with what is published already", function()
      local one = node:worker "one"
      one.cache.start(1, NAME)
      dict:set(DOCUMENT, "newer")
      fake_node.complete(one, 1, nil)
      assert.same({ "1 newer" }, fake_native.calls(one.native, "sealed_outcome"))
      assert.equal("newer", dict:get(DOCUMENT))
      assert.is_nil(dict:get(CLAIM))
    end)

    it("leaves a claim that another worker made meanwhile", function()
      local one = node:worker "one"
      one.cache.start(1, NAME)
      dict:set(CLAIM, "two@9")
      fake_node.complete(one, 1, "sealed", 60)
      assert.equal("two@9", dict:get(CLAIM))
    end)

    it("publishes in a sweep what was completed without an event, and nothing else", function()
      local one = node:worker "one"
      one.cache.start(1, NAME)
      one.cache.start(2, OTHER)
      one.native.outcomes[1] = { sealed = "sealed" }
      one.native.outcomes[2] = { sealed = "not yet" }
      one.native.complete[1] = true
      one.cache.sweep()
      assert.equal("sealed", dict:get(DOCUMENT))
      assert.is_nil(dict:get("kong-vault:" .. OTHER))
      assert.is_nil(dict:get(CLAIM))
      assert.truthy(dict:get("kong-vault:claim:" .. OTHER))
    end)
  end)
end)
