-- Timers, by a pretended clock.

local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

describe("a timer", function()
  local worker, timer, calls

  before_each(function()
    worker = fake_ngx.new({ native = fake_native.new() })
    timer = worker:load "kong.vault.timer"
    calls = {}
  end)

  local function note(premature)
    calls[#calls + 1] = premature
  end

  it("calls back once, when its time has come", function()
    local set, is_set = timer.new(note)
    assert.is_false(is_set())
    assert.is_true(set(5))
    assert.is_true(is_set())
    worker:advance(4.9)
    assert.same({}, calls)
    worker:advance(0.2)
    assert.same({ false }, calls)
    assert.is_false(is_set())
    worker:advance(100)
    assert.equal(1, #calls)
  end)

  it("stays as it is when it is set again before its time", function()
    local set = timer.new(note)
    set(5)
    assert.is_true(set(1))
    assert.is_true(set(50))
    assert.equal(1, #worker.timers)
    worker:advance(2)
    assert.same({}, calls)
    worker:advance(100)
    assert.same({ false }, calls)
  end)

  it("may be set by its own callback", function()
    local set
    set = timer.new(function()
      note(false)
      if #calls < 3 then
        set(10)
      end
    end)
    set(10)
    worker:advance(25)
    assert.equal(2, #calls)
    worker:advance(100)
    assert.equal(3, #calls)
  end)

  it("says so where nginx refuses it, and can be set later", function()
    local set, is_set = timer.new(note)
    worker.refuses_timers = true
    assert.is_false(set(1))
    assert.is_false(is_set())
    worker.refuses_timers = false
    assert.is_true(set(1))
    worker:advance(1)
    assert.same({ false }, calls)
  end)

  it("is lost where nginx drops it, and then can be set again", function()
    local set, is_set = timer.new(note)
    set(5)
    worker.drops_timers = true
    worker:advance(5 + timer.GRACE)
    assert.is_true(is_set(), "a busy worker may be late")
    worker:advance(0.1)
    assert.is_false(is_set())
    worker.drops_timers = false
    set(1)
    worker:advance(1)
    assert.same({ false }, calls)
  end)

  it("calls back once where a late call comes after it was set again", function()
    local set = timer.new(note)
    set(5)
    local late = table.remove(worker.timers, 1)
    worker:advance(6.5)
    set(1)
    worker:spawn(late.call, false, unpack(late.arguments))
    assert.same({}, calls, "this one was replaced")
    worker:advance(1)
    assert.same({ false }, calls)
  end)

  it("hands on that it is called early, as the worker quits", function()
    local set, is_set = timer.new(note)
    set(60)
    worker:quit()
    assert.same({ true }, calls)
    assert.is_false(is_set())
  end)

  it("does not share its time with others", function()
    local others = 0
    local set = timer.new(note)
    local set_other = timer.new(function()
      others = others + 1
    end)
    set(1)
    set_other(2)
    worker:advance(1)
    assert.same({ 1, 0 }, { #calls, others })
    worker:advance(1)
    assert.same({ 1, 1 }, { #calls, others })
  end)
end)
