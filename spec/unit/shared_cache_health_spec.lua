-- What the workers of a node tell each other of a vault's health, and who probes it.

local fake_native = require "spec.support.fake_native"
local fake_node = require "spec.support.fake_node"

local NAME, OTHER, VAULT = ("d"):rep(32), ("e"):rep(32), ("a"):rep(32)
local PROBE, UP, DOWN = "kong-vault:probe:" .. VAULT, "kong-vault:up:" .. VAULT, "kong-vault:down:" .. VAULT

describe("the node's cache", function()
  local node, dict

  before_each(function()
    node = fake_node.new()
    dict = node.dict
  end)

  describe("for probes of a vault", function()
    local function skipped(worker)
      return fake_native.calls(worker.native, "skip_probe")
    end

    it("lets one worker probe, and tells the others when to look again", function()
      local one, two, three = node:worker "one", node:worker "two", node:worker "three"
      assert.is_false(one.cache.probe(1, NAME .. VAULT))
      assert.same({ "1 vault true" }, fake_node.starts(one))
      assert.equal(10, dict:ttl(PROBE))
      assert.is_true(two.cache.probe(2, OTHER .. VAULT))
      assert.same({}, fake_node.starts(two))
      assert.same({ "2 0.3" }, skipped(two))
      node.clock.time = node.clock.time + 4
      assert.is_true(three.cache.probe(3, OTHER .. VAULT))
      assert.same({ "3 6" }, skipped(three))
    end)

    it("lets another worker probe when the interval is over", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.probe(1, NAME .. VAULT)
      node.clock.time = node.clock.time + 10
      two.cache.probe(2, OTHER .. VAULT)
      assert.same({ "2 vault true" }, fake_node.starts(two))
    end)

    it("starts a fetch all the same that somebody waits for", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.probe(1, NAME .. VAULT)
      two.native.skips_probes = false
      assert.is_false(two.cache.probe(2, OTHER .. VAULT))
      assert.same({ "2 vault true" }, fake_node.starts(two))
    end)

    it("probes nothing where another worker found the vault back", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.note_health(VAULT .. "back", true)
      assert.is_true(two.cache.probe(2, NAME .. VAULT))
      assert.same({ "2" }, skipped(two), "it is not to be tried again")
      assert.same({}, fake_node.starts(two))
      assert.is_nil(dict:get(PROBE))
      two.native.skips_probes = false
      assert.is_false(two.cache.probe(3, NAME .. VAULT))
      assert.same({ "3 vault true" }, fake_node.starts(two))
    end)

    it("leaves a vault alone for as long as it asked for", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.probe(1, NAME .. VAULT)
      one.native.away_for = 120
      fake_node.complete(one, 1, nil)
      assert.equal(120, dict:ttl(PROBE))
      node.clock.time = node.clock.time + 20
      two.cache.probe(2, OTHER .. VAULT)
      assert.same({ "2 100" }, skipped(two))
    end)

    it("does not shorten the interval where the vault asked for less", function()
      local one = node:worker "one"
      one.cache.probe(1, NAME .. VAULT)
      one.native.away_for = 3
      fake_node.complete(one, 1, nil)
      assert.equal(10, dict:ttl(PROBE))
    end)

    it("probes where there is no room to claim the probe", function()
      local one = node:worker "one"
      dict.safe_add = function()
        return nil, "no memory"
      end
      assert.is_false(one.cache.probe(1, NAME .. VAULT))
      assert.same({ "1 vault true" }, fake_node.starts(one))
      assert.same({}, skipped(one))
    end)

    it("probes for this worker alone without a dictionary", function()
      local one = node:worker("one", { dict = false })
      assert.is_false(one.cache.probe(1, NAME .. VAULT))
      assert.same({ "1 vault false" }, fake_node.starts(one))
    end)
  end)

  describe("for a vault's health", function()
    it("has it told once on a node that a vault is down, and once that it is back", function()
      local one, two = node:worker "one", node:worker "two"
      assert.same({ true, "down" }, { one.cache.note_health(VAULT .. "down", false) })
      assert.is_false((two.cache.note_health(VAULT .. "down", false)))
      assert.same({ true, "back" }, { two.cache.note_health(VAULT .. "back", true) })
      assert.is_false((one.cache.note_health(VAULT .. "back", true)))
      assert.is_true((one.cache.note_health(VAULT .. "down", false)))
    end)

    it("ends the probes of a vault that is back, and begins them anew when it is down again", function()
      local one = node:worker "one"
      one.cache.probe(1, NAME .. VAULT)
      one.cache.note_health(VAULT .. "back", true)
      assert.is_nil(dict:get(PROBE))
      assert.equal(10, dict:ttl(UP))
      one.cache.note_health(VAULT .. "down", false)
      assert.is_nil(dict:get(UP))
    end)

    it("tells an outage anew that outlasted its time", function()
      local one, two = node:worker "one", node:worker "two"
      one.cache.note_health(VAULT .. "down", false)
      one.cache.still_bad(VAULT, 7200)
      node.clock.time = node.clock.time + 7199
      assert.is_false((two.cache.note_health(VAULT .. "down", false)))
      node.clock.time = node.clock.time + 1
      assert.is_true((two.cache.note_health(VAULT .. "down", false)))
    end)

    it("tells an outage anew after an hour where nobody said how long it lasts", function()
      local one = node:worker "one"
      one.cache.note_health(VAULT .. "down", false)
      assert.equal(3600, dict:ttl(DOWN))
    end)

    it("tells it anew where there is no room to note it", function()
      local one = node:worker "one"
      dict.safe_add = function()
        return nil, "no memory"
      end
      assert.is_true((one.cache.note_health(VAULT .. "down", false)))
    end)

    it("has a first answer told of an outage that lasts", function()
      local one = node:worker "one"
      one.cache.note_health(VAULT .. "down", false)
      one.cache.still_bad(VAULT, 7200)
      assert.equal("answers again", one.cache.note_answer(VAULT .. ("n"):rep(32) .. "answers again"))
    end)

    it("takes no vault for down that came back meanwhile", function()
      local one = node:worker "one"
      one.cache.still_bad(VAULT, 7200)
      assert.is_nil(dict:get(DOWN))
    end)

    it("has a first answer told where the vault was said to be down, by a worker that may be gone", function()
      local one, two, notices = node:worker "one", node:worker "two", ("n"):rep(32)
      assert.is_nil(two.cache.note_answer(VAULT .. notices .. "answers again"))
      one.cache.note_health(VAULT .. "down", false)
      dict:set("kong-vault:down:" .. notices, true)
      assert.equal("answers again", two.cache.note_answer(VAULT .. notices .. "answers again"))
      assert.is_nil(two.cache.note_answer(VAULT .. notices .. "answers again"))
      assert.is_nil(dict:get("kong-vault:down:" .. notices))
      assert.is_nil(dict:get(DOWN))
    end)

    it("has everything told by each worker without a dictionary", function()
      local one = node:worker("one", { dict = false })
      for _ = 1, 2 do
        assert.same({ true, "down" }, { one.cache.note_health(VAULT .. "down", false) })
        assert.same({ true, "back" }, { one.cache.note_health(VAULT .. "back", true) })
      end
      assert.is_nil(one.cache.note_answer(VAULT .. ("n"):rep(32) .. "answers again"))
      one.cache.still_bad(VAULT, 10)
    end)
  end)
end)
