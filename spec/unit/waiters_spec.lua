-- Coroutines that wait for fetches, in a pretended worker.

local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

describe("waiters", function()
  local native, worker, waiters

  before_each(function()
    native = fake_native.new()
    worker = fake_ngx.new({ native = native })
    waiters = worker:load "kong.vault.waiters"
  end)

  -- Has a coroutine wait for a fetch; returns a table in which it puts what it was told.
  local function wait_for(ticket, seconds)
    local result = {}
    worker:spawn(function()
      local record = waiters.record(ticket)
      result.ok, result.err = waiters.wait(record, seconds or 60)
      result.is_complete = record.is_complete
      result.is_over = true
    end)
    return result
  end

  local function group_of(...)
    local result, group = {}, nil
    worker:spawn(function(...)
      group = waiters.group()
      for _, ticket in ipairs({ ... }) do
        waiters.join(group, ticket)
      end
      if not group.completed[1] then
        result.ok, result.err = waiters.wait(group, 60)
      end
      result.is_over = true
    end, ...)
    result.group = group
    return result
  end

  it("are woken when their fetch is complete, all of them and nobody else", function()
    local one, two, other = wait_for(1), wait_for(1), wait_for(2)
    assert.is_nil(one.is_over)
    waiters.complete(1)
    worker:run()
    for _, result in ipairs({ one, two }) do
      assert.same({ ok = true, is_complete = true, is_over = true }, result)
    end
    assert.is_nil(other.is_over)
  end)

  it("give up when their time is over, and leave the others waiting", function()
    local short, long = wait_for(1, 2), wait_for(1, 10)
    worker:advance(3)
    assert.same({ err = "timeout", is_complete = false, is_over = true }, short)
    assert.is_nil(long.is_over)
    waiters.complete(1)
    worker:run()
    assert.is_true(long.ok)
  end)

  it("are not woken in the place of one who gave up", function()
    local short, long = wait_for(1, 2), wait_for(1, 10)
    worker:advance(3)
    waiters.wake_all()
    worker:run()
    assert.is_true(short.is_over and long.is_over)
    local record = waiters.record(1)
    local woken
    worker:spawn(function()
      woken = waiters.wait(record, 60)
    end)
    assert.is_nil(woken)
  end)

  it("see at once that a fetch is complete already", function()
    native.complete[3] = true
    assert.is_true(waiters.record(3).is_complete)
    assert.is_false(waiters.record(4).is_complete)
  end)

  it("share one record for a fetch while somebody holds it, and leave none behind", function()
    local function hold()
      local record = waiters.record(1)
      assert.equal(record, waiters.record(1))
    end
    hold()
    collectgarbage()
    native.complete[1] = true
    assert.is_true(waiters.record(1).is_complete, "the library was asked again")
  end)

  it("leave nothing behind where a coroutine is killed while it waits", function()
    local function kill_one()
      worker:kill(worker:spawn(function()
        waiters.wait(waiters.record(1), 60)
      end))
    end
    kill_one()
    collectgarbage()
    collectgarbage()
    native.complete[1] = true
    assert.is_true(waiters.record(1).is_complete, "the library was asked again")
  end)

  it("don't get in the way of those who come later, where one was killed", function()
    local killed = worker:spawn(function()
      waiters.wait(waiters.record(1), 60)
    end)
    local other = wait_for(1)
    worker:kill(killed)
    waiters.complete(1)
    worker:run()
    assert.is_true(other.is_complete)
  end)

  it("ignore a fetch that nobody waits for", function()
    waiters.complete(99)
    assert.is_false(waiters.record(99).is_complete)
  end)

  describe("in a group", function()
    it("are woken by the first fetch that is complete, and told of each once", function()
      local result = group_of(1, 2, 3, 2)
      assert.is_nil(result.is_over)
      waiters.complete(2)
      worker:run()
      assert.is_true(result.ok)
      assert.same({ 2 }, result.group.completed)
      waiters.complete(3)
      waiters.complete(2)
      assert.same({ 2, 3 }, result.group.completed)
      assert.same({ 1 }, { next(result.group.records) and next(result.group.records) })
    end)

    it("find what is complete already without waiting", function()
      native.complete[5] = true
      local result = group_of(4, 5)
      assert.is_true(result.is_over)
      assert.same({ 5 }, result.group.completed)
    end)

    it("wait for the same fetches as others", function()
      local alone, result, other = wait_for(1), group_of(1), group_of(1, 2)
      waiters.complete(1)
      worker:run()
      assert.is_true(alone.is_complete)
      assert.same({ 1 }, result.group.completed)
      assert.same({ 1 }, other.group.completed)
      assert.is_true(result.ok and other.ok)
    end)
  end)

  it("are woken by a sweep where their fetches were completed without an event", function()
    local done, open, group = wait_for(1), wait_for(2), group_of(2, 3)
    native.complete[1], native.complete[3] = true, true
    waiters.sweep()
    worker:run()
    assert.is_true(done.is_complete)
    assert.is_nil(open.is_over)
    assert.same({ 3 }, group.group.completed)
  end)

  it("are all woken where the listener ends, without anything being complete", function()
    local one, two, group = wait_for(1), wait_for(2), group_of(3)
    waiters.wake_all()
    worker:run()
    for _, result in ipairs({ one, two }) do
      assert.same({ ok = true, is_complete = false, is_over = true }, result)
    end
    assert.is_true(group.ok)
    assert.same({}, group.group.completed)
    -- They may wait again, and are woken again.
    local again = wait_for(1)
    assert.is_nil(again.is_over)
    waiters.complete(1)
    worker:run()
    assert.is_true(again.is_complete)
  end)
end)
