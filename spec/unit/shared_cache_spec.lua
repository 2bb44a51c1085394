-- The node's cache: how Lua carries out the library's orders. Which order follows on which reply is decided in the library, and
-- tested there: tests/node_protocol.rs runs the same state machine for several workers.

local fake_native = require "spec.support.fake_native"
local fake_node = require "spec.support.fake_node"

local order, reply = fake_native.order, fake_node.reply

local NAME, OTHER, VAULT = ("d"):rep(32), ("e"):rep(32), ("a"):rep(32)
local DOCUMENT, CLAIM = "kong-vault:" .. NAME, "kong-vault:claim:" .. NAME
local PROBE, UP = "kong-vault:probe:" .. VAULT, "kong-vault:up:" .. VAULT

-- A claim of this worker's, and how long it is to last.
local MINE = { claim = "me@7", seconds = 6 }

describe("the node's cache", function()
  local node, dict, worker

  before_each(function()
    node = fake_node.new()
    dict = node.dict
    worker = node:worker()
  end)

  -- Does something just before the next key is added.
  local function before_add(act)
    local safe_add = dict.safe_add
    dict.safe_add = function(self, ...)
      dict.safe_add = nil
      act()
      return safe_add(self, ...)
    end
  end

  local function without_room()
    dict.safe_add = function()
      return nil, "no memory"
    end
  end

  -- Each claim that is added exists, and is gone when it is read.
  local function with_vanishing_claims()
    dict.safe_add = function()
      return false, "exists"
    end
  end

  describe("that is to read a document", function()
    it("replies with it, or with none", function()
      assert.same({ reply = "DONE" }, reply(worker, "READ", NAME))
      dict:set(DOCUMENT, "sealed")
      assert.same({ reply = "DONE", document = "sealed" }, reply(worker, "READ", NAME, MINE))
      assert.same({ reply = "DONE" }, reply(worker, "READ", OTHER))
      assert.is_nil(dict:get(CLAIM))
    end)
  end)

  describe("that is to look for a document", function()
    it("replies with what others published, and claims nothing", function()
      dict:set(DOCUMENT, "sealed")
      assert.same({ reply = "DONE", document = "sealed" }, reply(worker, "LOOK", NAME, MINE))
      assert.is_nil(dict:get(CLAIM))
    end)

    it("claims what is not there", function()
      assert.same({ reply = "CLAIMED" }, reply(worker, "LOOK", NAME, MINE))
      assert.equal("me@7", dict:get(CLAIM))
      assert.equal(6, dict:ttl(CLAIM))
      assert.is_nil(dict:get("kong-vault:claim:" .. OTHER))
    end)

    it("replies with what is published between its look and its claim", function()
      before_add(function()
        dict:set(DOCUMENT, "sealed")
      end)
      assert.same({ reply = "CLAIMED", document = "sealed" }, reply(worker, "LOOK", NAME, MINE))
    end)
  end)

  for _, kind in ipairs({ "LOOK", "CLAIM" }) do
    describe("that is to claim a document by " .. kind, function()
      it("replies with the claim that is there, and leaves it", function()
        dict:set(CLAIM, "two@1", 9)
        assert.same({ reply = "OWNER", owner = "two@1" }, reply(worker, kind, NAME, MINE))
        assert.equal("two@1", dict:get(CLAIM))
        assert.equal(9, dict:ttl(CLAIM))
      end)

      it("replies that a claim was there and is gone", function()
        with_vanishing_claims()
        assert.same({ reply = "GONE" }, reply(worker, kind, NAME, MINE))
      end)

      it("replies that there is no room for one", function()
        without_room()
        assert.same({ reply = "NO_ROOM" }, reply(worker, kind, NAME, MINE))
      end)
    end)
  end

  it("claims a document beside which something lies, and replies with that", function()
    dict:set(DOCUMENT, "too old")
    assert.same({ reply = "CLAIMED", document = "too old" }, reply(worker, "CLAIM", NAME, MINE))
    assert.equal("me@7", dict:get(CLAIM))
    assert.equal(6, dict:ttl(CLAIM))
  end)

  it("claims again what it claimed before", function()
    dict:set(CLAIM, "me@1", 2)
    assert.same({ reply = "DONE" }, reply(worker, "RECLAIM", NAME, MINE))
    assert.equal("me@7", dict:get(CLAIM))
    assert.equal(6, dict:ttl(CLAIM))
  end)

  describe("that is to take a claim over", function()
    local from_one = { claim = "me@7", rest = "one@1", seconds = 6 }

    before_each(function()
      dict:set(CLAIM, "one@1")
    end)

    it("replaces it, and says whose successor it is", function()
      assert.same({ reply = "CLAIMED" }, reply(worker, "TAKE_OVER", NAME, from_one))
      assert.equal("me@7", dict:get(CLAIM))
      assert.equal(6, dict:ttl(CLAIM))
      assert.equal("me@7", dict:get(CLAIM .. "!one@1"))
      assert.equal(6, dict:ttl(CLAIM .. "!one@1"))
    end)

    it("replies with the claim of who took it over first, and leaves that", function()
      local two = node:worker()
      reply(two, "TAKE_OVER", NAME, { claim = "two@5", rest = "one@1", seconds = 6 })
      assert.same({ reply = "OWNER", owner = "two@5" }, reply(worker, "TAKE_OVER", NAME, from_one))
      assert.equal("two@5", dict:get(CLAIM))
    end)

    it("leaves it where it can't say so, or whoever took it over has ended", function()
      without_room()
      assert.same({ reply = "NO_ROOM" }, reply(worker, "TAKE_OVER", NAME, from_one))
      with_vanishing_claims()
      assert.same({ reply = "GONE" }, reply(worker, "TAKE_OVER", NAME, from_one))
      assert.equal("one@1", dict:get(CLAIM))
    end)
  end)

  it("gives up its own claim, and no other's", function()
    for claim, is_own in pairs({ ["me@7"] = true, ["me@8"] = false, ["two@7"] = false }) do
      dict:set(CLAIM, claim)
      assert.same({ reply = "DONE" }, reply(worker, "RELEASE", NAME, { claim = "me@7" }))
      assert.equal(not is_own, dict:get(CLAIM) == claim)
    end
  end)

  describe("that is to probe a vault", function()
    local mine = { claim = "me", seconds = 10 }

    it("claims the probe for its interval, and replies to others how much is left of that", function()
      assert.same({ reply = "CLAIMED" }, reply(worker, "PROBE_CLAIM", VAULT, mine))
      assert.equal("me", dict:get(PROBE))
      assert.equal(10, dict:ttl(PROBE))
      node.clock.time = node.clock.time + 4
      assert.same({ reply = "PROBED", seconds = 6 }, reply(node:worker(), "PROBE_CLAIM", VAULT, mine))
      node.clock.time = node.clock.time + 6
      assert.same({ reply = "CLAIMED" }, reply(node:worker(), "PROBE_CLAIM", VAULT, mine))
    end)

    it("replies that another worker found it back", function()
      node:worker().cache.note_health(VAULT .. "back", true)
      assert.same({ reply = "IS_UP" }, reply(worker, "PROBE_CLAIM", VAULT, mine))
      assert.is_nil(dict:get(PROBE))
      assert.truthy(dict:get(UP))
    end)

    it("replies that another worker's probe is over, or that there is no room", function()
      with_vanishing_claims()
      assert.same({ reply = "PROBED", seconds = 0 }, reply(worker, "PROBE_CLAIM", VAULT, mine))
      without_room()
      assert.same({ reply = "NO_ROOM" }, reply(worker, "PROBE_CLAIM", VAULT, mine))
    end)

    it("has all workers leave it alone for as long as it asked for", function()
      reply(worker, "PROBE_CLAIM", VAULT, mine)
      assert.same({ reply = "DONE" }, reply(worker, "PROBE_PAUSE", VAULT, { seconds = 120 }))
      assert.equal(120, dict:ttl(PROBE))
      node.clock.time = node.clock.time + 20
      assert.same({ reply = "PROBED", seconds = 100 }, reply(node:worker(), "PROBE_CLAIM", VAULT, mine))
    end)
  end)

  describe("for a fetch", function()
    it("carries orders out until there are none, and says how the fetch stands", function()
      local standings = {
        UNDER_WAY = { false, false },
        SERVES = { false, true },
        COMPLETE = { true },
      }
      for kind, expected in pairs(standings) do
        worker.native.replies = {}
        worker.native.orders[1] = { order("READ", OTHER), order(kind, NAME) }
        local record = worker.waiters.record(1)
        assert.same(expected, { worker.cache.start(1, order("READ", NAME)) })
        assert.equal(2, #worker.native.replies)
        assert.equal(kind == "COMPLETE", record.is_complete, "who waits is woken")
      end
    end)

    it("has nothing to do without an order, and needs no dictionary where none is for one", function()
      assert.same({ false, false }, { worker.cache.start(1, nil) })
      local alone = node:worker({ dict = false })
      assert.is_false(alone.cache.has_dictionary())
      assert.is_true(worker.cache.has_dictionary())
      assert.same({ false, false }, { alone.cache.start(1, order("UNDER_WAY", NAME)) })
      assert.is_true((alone.cache.start(2, order("COMPLETE", NAME))))
      fake_node.complete(alone, 1)
      assert.same({}, dict:get_keys(0))
    end)

    it("says in debug lines what became of it, and nothing at other levels", function()
      local silent = node:worker()
      worker.ngx.level = worker.ngx.ngx.DEBUG
      for _, one in ipairs({ worker, silent }) do
        one.cache.start(1, order("UNDER_WAY", NAME, { rest = "this worker fetches it" }))
        fake_node.complete(one, 1, order("PUBLISH", NAME, { rest = "sealed value", seconds = 60 }))
        fake_node.complete(one, 2, order("PUBLISH", NAME, { rest = "sealed value" }))
        fake_node.complete(one, 3, order("PUBLISH", NAME))
      end
      assert.same({
        "DEBUG kong.vault: fetch 1 of document dddddddddddd: this worker fetches it",
        "DEBUG kong.vault: fetch 1 of document dddddddddddd: published, to be kept for 60 s",
        "DEBUG kong.vault: fetch 2 of document dddddddddddd: published, to be kept for any number of s",
        "DEBUG kong.vault: fetch 3 of document dddddddddddd: complete, with nothing to publish",
      }, worker.ngx:logged())
      assert.same({}, silent.ngx:logged())
    end)
  end)

  describe("for a complete fetch", function()
    local outcome = { rest = "sealed", seconds = 60, claim = "me@7" }

    it(
      "replies with what lies there, then stores the outcome for its time, and gives the claim up after that",
      function()
        dict:set(CLAIM, "me@7")
        dict:set(DOCUMENT, "older")
        local lay_there
        dict.delete = function(self, key)
          lay_there = key == CLAIM and self:get(DOCUMENT) or lay_there
          return getmetatable(self).__index.delete(self, key)
        end
        fake_node.complete(worker, 1, order("READ", NAME), order("PUBLISH", NAME, outcome))
        assert.same({ { reply = "DONE", document = "older" } }, worker.native.replies, "publishing needs none")
        assert.equal("sealed", dict:get(DOCUMENT))
        assert.equal(60, dict:ttl(DOCUMENT))
        assert.is_nil(dict:get(CLAIM))
        assert.equal("sealed", lay_there, "whoever finds no claim finds the outcome")
      end
    )

    it("leaves what lies there where there is nothing to publish, and gives the claim up", function()
      dict:set(CLAIM, "me@7")
      dict:set(DOCUMENT, "newer")
      fake_node.complete(worker, 1, order("PUBLISH", NAME, { claim = "me@7" }))
      assert.equal("newer", dict:get(DOCUMENT))
      assert.is_nil(dict:get(CLAIM))
    end)

    it("leaves a claim that another worker made meanwhile, and any where it has none itself", function()
      dict:set(CLAIM, "two@9")
      fake_node.complete(worker, 1, order("PUBLISH", NAME, outcome))
      fake_node.complete(worker, 2, order("PUBLISH", NAME, { rest = "sealed" }))
      assert.equal("two@9", dict:get(CLAIM))
    end)

    it("leaves a vault alone first, where it asked for that", function()
      fake_node.complete(worker, 1, order("PROBE_PAUSE", VAULT, { seconds = 120 }), order("PUBLISH", NAME, outcome))
      assert.equal(120, dict:ttl(PROBE))
      assert.equal("sealed", dict:get(DOCUMENT))
    end)

    it("publishes once, and nothing where the library has no order for it", function()
      fake_node.complete(worker, 1, order("PUBLISH", NAME, outcome))
      dict:delete(DOCUMENT)
      worker.cache.publish_if_owned(1)
      worker.cache.publish_if_owned(2)
      assert.is_nil(dict:get(DOCUMENT))
    end)

    it("publishes in a sweep what was completed without an event, and nothing else", function()
      worker.native.publications = {
        [1] = { order("READ", NAME), order("PUBLISH", NAME, outcome) },
        [2] = { order("PUBLISH", OTHER, { rest = "not yet" }) },
      }
      worker.native.complete[1] = true
      worker.cache.sweep()
      assert.equal("sealed", dict:get(DOCUMENT))
      assert.is_nil(dict:get("kong-vault:" .. OTHER))
    end)
  end)
end)
