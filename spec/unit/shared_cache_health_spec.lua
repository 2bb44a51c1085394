-- What the workers of a node tell each other of a vault's health.

local fake_node = require "spec.support.fake_node"

local VAULT = ("a"):rep(32)
local PROBE, UP, DOWN = "kong-vault:probe:" .. VAULT, "kong-vault:up:" .. VAULT, "kong-vault:down:" .. VAULT

describe("the node's cache", function()
  local node, dict

  before_each(function()
    node = fake_node.new()
    dict = node.dict
  end)

  describe("for a vault's health", function()
    it("has it told once on a node that a vault is down, and once that it is back", function()
      local one, two = node:worker(), node:worker()
      assert.same({ true, "down" }, { one.cache.note_health(VAULT .. "down", false) })
      assert.is_false((two.cache.note_health(VAULT .. "down", false)))
      assert.same({ true, "back" }, { two.cache.note_health(VAULT .. "back", true) })
      assert.is_false((one.cache.note_health(VAULT .. "back", true)))
      assert.is_true((one.cache.note_health(VAULT .. "down", false)))
    end)

    it("ends the probes of a vault that is back, and begins them anew when it is down again", function()
      local one = node:worker()
      dict:set(PROBE, "one")
      one.cache.note_health(VAULT .. "back", true)
      assert.is_nil(dict:get(PROBE))
      assert.equal(10, dict:ttl(UP))
      one.cache.note_health(VAULT .. "down", false)
      assert.is_nil(dict:get(UP))
    end)

    it("tells an outage anew that outlasted its time", function()
      local one, two = node:worker(), node:worker()
      one.cache.note_health(VAULT .. "down", false)
      one.cache.still_bad(VAULT, 7200)
      node.clock.time = node.clock.time + 7199
      assert.is_false((two.cache.note_health(VAULT .. "down", false)))
      node.clock.time = node.clock.time + 1
      assert.is_true((two.cache.note_health(VAULT .. "down", false)))
    end)

    it("tells an outage anew after an hour where nobody said how long it lasts", function()
      local one = node:worker()
      one.cache.note_health(VAULT .. "down", false)
      assert.equal(3600, dict:ttl(DOWN))
    end)

    it("tells it anew where there is no room to note it", function()
      local one = node:worker()
      dict.safe_add = function()
        return nil, "no memory"
      end
      assert.is_true((one.cache.note_health(VAULT .. "down", false)))
    end)

    it("has a first answer told of an outage that lasts", function()
      local one = node:worker()
      one.cache.note_health(VAULT .. "down", false)
      one.cache.still_bad(VAULT, 7200)
      assert.equal("answers again", one.cache.note_answer(VAULT .. ("n"):rep(32) .. "answers again"))
    end)

    it("takes no vault for down that came back meanwhile", function()
      local one = node:worker()
      one.cache.still_bad(VAULT, 7200)
      assert.is_nil(dict:get(DOWN))
    end)

    it("has a first answer told where the vault was said to be down, by a worker that may be gone", function()
      local one, two, notices = node:worker(), node:worker(), ("n"):rep(32)
      assert.is_nil(two.cache.note_answer(VAULT .. notices .. "answers again"))
      one.cache.note_health(VAULT .. "down", false)
      dict:set("kong-vault:down:" .. notices, true)
      assert.equal("answers again", two.cache.note_answer(VAULT .. notices .. "answers again"))
      assert.is_nil(two.cache.note_answer(VAULT .. notices .. "answers again"))
      assert.is_nil(dict:get("kong-vault:down:" .. notices))
      assert.is_nil(dict:get(DOWN))
    end)

    it("has everything told by each worker without a dictionary", function()
      local one = node:worker({ dict = false })
      for _ = 1, 2 do
        assert.same({ true, "down" }, { one.cache.note_health(VAULT .. "down", false) })
        assert.same({ true, "back" }, { one.cache.note_health(VAULT .. "back", true) })
      end
      assert.is_nil(one.cache.note_answer(VAULT .. ("n"):rep(32) .. "answers again"))
      one.cache.still_bad(VAULT, 10)
    end)
  end)
end)
