-- The first-level cache, with pretended counters.

local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

local A, B = "{vault://env/a}", "{vault://env/b}"

describe("the first-level cache", function()
  local native, l1

  local function start(options)
    native = fake_native.new(options)
    l1 = fake_ngx.new({ native = native }):load "kong.vault.l1"
    l1.sync()
    l1.note_epoch()
  end

  before_each(function()
    start()
  end)

  local function move()
    native.generation[0] = native.generation[0] + 1
  end

  -- A look-up that began at the present generation has answered.
  local function answer(reference, value)
    native.answer.generation = native.generation[0]
    l1.put(reference, value)
  end

  it("keeps copies until the generation moves", function()
    answer(A, "a")
    assert.equal(0, l1.moved())
    assert.equal("a", l1.values[A])
    assert.equal(1, l1.size())
    move()
    assert.are_not.equal(0, l1.moved())
    assert.equal(0, l1.size())
    l1.sync()
    assert.equal(0, l1.moved())
    assert.is_nil(l1.values[A])
  end)

  it("keeps nothing that was answered before the generation moved", function()
    native.answer.generation = native.generation[0]
    move()
    l1.put(A, "a")
    assert.is_nil(l1.values[A])
  end)

  it("drops older copies when it takes one of a new generation", function()
    answer(A, "a")
    move()
    answer(B, "b")
    assert.equal(0, l1.moved())
    assert.is_nil(l1.values[A])
    assert.equal("b", l1.values[B])
  end)

  it("is out of date where another process changed entities, until their epoch is noted", function()
    answer(A, "a")
    native.epoch[0][0] = 2
    assert.are_not.equal(0, l1.moved())
    l1.note_epoch()
    assert.are_not.equal(0, l1.moved(), "they have not been read yet")
    native.seen_epoch[0] = 2
    l1.note_epoch()
    assert.equal(0, l1.moved())
  end)

  it("is out of date where both counters moved by as much", function()
    answer(A, "a")
    native.epoch[0][0] = 1
    native.generation[0] = native.generation[0] - 1
    assert.are_not.equal(0, l1.moved())
  end)

  it("follows the epoch's counter to another place", function()
    native.epoch[0] = { [0] = 8 }
    native.seen_epoch[0] = 8
    l1.note_epoch()
    assert.equal(0, l1.moved())
    native.epoch[0][0] = 9
    assert.are_not.equal(0, l1.moved())
  end)

  it("starts over when it holds four copies for each document that the cache may hold", function()
    start({ cache_size = 2 })
    for number = 1, 8 do
      answer(("{vault://env/%d}"):format(number), number)
    end
    assert.equal(8, l1.size())
    answer(A, "a")
    assert.equal(1, l1.size())
    assert.equal("a", l1.values[A])
    answer(A, "a again")
    assert.equal(1, l1.size())
  end)

  it("knows tables that are up to date, for as long as the copies are valid", function()
    local config = {}
    l1.mark_updated(config, l1.sync())
    assert.is_true(l1.updated[config])
    move()
    l1.sync()
    assert.is_nil(l1.updated[config])
  end)

  it("takes no table for up to date where the generation moved meanwhile", function()
    local config, since = {}, l1.sync()
    move()
    l1.mark_updated(config, since)
    assert.is_nil(l1.updated[config])
    l1.sync()
    l1.mark_updated(config, since)
    assert.is_nil(l1.updated[config])
  end)

  it("forgets the tables, and keeps the values, when it is told to", function()
    local config = {}
    answer(A, "a")
    l1.mark_updated(config, l1.sync())
    l1.forget_updated()
    assert.is_nil(l1.updated[config])
    assert.equal("a", l1.values[A])
  end)
end)
