-- Many references at once, with pretended fetches.

local fake_native = require "spec.support.fake_native"
local fake_ngx = require "spec.support.fake_ngx"

-- How many fetches of one vault are under way at most.
local WINDOW, BATCH_WINDOW = 128, 512

describe("bulk look-ups", function()
  local native, worker, bulk, next_ticket, tickets

  before_each(function()
    native = fake_native.new()
    worker = fake_ngx.new({ native = native })
    bulk = worker:load "kong.vault.bulk"
    worker:load("kong.vault.listener").start()
    worker:advance(0)
    next_ticket, tickets = 0, {}
  end)

  -- A job that notes what it is told, with fetches of their own for all references but those in `answers`.
  local function job_of(answers, options)
    local told = { answered = {}, ended = {}, not_begun = {} }
    local job = { seconds = 10, yields = true }
    function job.look_up(reference)
      local answer = answers and answers[reference]
      if answer then
        return unpack(answer)
      end
      next_ticket = next_ticket + 1
      tickets[reference] = next_ticket
      return native.CREATED, next_ticket, fake_native.order("READ", ("%032d"):format(next_ticket))
    end
    function job.answered(reference, _, value)
      told.answered[reference] = value
    end
    function job.ended(reference, ticket, err)
      told.ended[reference] = err or ticket
    end
    function job.not_begun(reference, err)
      told.not_begun[reference] = err
    end
    for name, value in pairs(options or {}) do
      job[name] = value
    end
    return job, told
  end

  local function run(references, job)
    local state = {}
    state.thread = worker:spawn(function()
      bulk.run(references, job)
      state.is_over = true
    end)
    return state
  end

  local function complete(...)
    local events = {}
    for i, ticket in ipairs({ ... }) do
      native.complete[ticket] = true
      events[i] = { native.COMPLETED, ticket }
    end
    worker:notify(unpack(events))
  end

  local function references_of(vault, count)
    local list = {}
    for number = 1, count do
      list[number] = ("{vault://%s/%d}"):format(vault, number)
    end
    return list
  end

  local function started()
    return #native.replies
  end

  it("are over at once where nothing has to be fetched", function()
    local job, told = job_of({
      ["{vault://hcv/a}"] = { native.VALUE, "a" },
      ["{vault://hcv/b}"] = { native.FAILED, "no" },
      ["{vault://hcv/c}"] = { native.NOTHING },
    })
    local state = run({ "{vault://hcv/a}", "{vault://hcv/b}", "{vault://hcv/c}" }, job)
    assert.is_true(state.is_over)
    assert.same({ ["{vault://hcv/a}"] = "a", ["{vault://hcv/b}"] = "no" }, told.answered)
    assert.same({}, told.ended)
  end)

  it("start all fetches, and are told of each as it ends", function()
    local job, told = job_of()
    local state = run({ "{vault://hcv/a}", "{vault://hcv/b}" }, job)
    assert.equal(2, started())
    complete(2)
    assert.same({ ["{vault://hcv/b}"] = 2 }, told.ended)
    assert.is_nil(state.is_over)
    complete(1)
    assert.is_true(state.is_over)
    assert.equal(1, told.ended["{vault://hcv/a}"])
  end)

  it("wait once for a fetch that several references have in common", function()
    local common = { native.PENDING, 7 }
    local job, told = job_of({ ["{vault://hcv/a/x}"] = common, ["{vault://hcv/a/y}"] = common })
    local state = run({ "{vault://hcv/a/x}", "{vault://hcv/a/y}" }, job)
    assert.equal(0, started())
    complete(7)
    assert.is_true(state.is_over)
    assert.same({ ["{vault://hcv/a/x}"] = 7, ["{vault://hcv/a/y}"] = 7 }, told.ended)
  end)

  it("don't wait for a fetch that is complete already", function()
    native.complete[7] = true
    local job, told = job_of({ ["{vault://hcv/a}"] = { native.PENDING, 7 } })
    assert.is_true(run({ "{vault://hcv/a}" }, job).is_over)
    assert.equal(7, told.ended["{vault://hcv/a}"])
  end)

  it("take at once what the node's cache has", function()
    native.orders[2] = { fake_native.order("COMPLETE", ("%032d"):format(2)) }
    local job, told = job_of()
    local state = run({ "{vault://hcv/a}", "{vault://hcv/b}" }, job)
    assert.same({ ["{vault://hcv/b}"] = 2 }, told.ended)
    assert.is_nil(state.is_over, "the other one is under way")
    complete(1)
    assert.is_true(state.is_over)
  end)

  it("have so many fetches of a vault under way, and begin the next as one ends", function()
    local job, told = job_of()
    local state = run(references_of("hcv", WINDOW + 2), job)
    assert.equal(WINDOW, started())
    complete(1)
    assert.equal(WINDOW + 1, started())
    complete(2, 3)
    assert.equal(WINDOW + 2, started())
    for ticket = 4, WINDOW + 2 do
      complete(ticket)
    end
    assert.is_true(state.is_over)
    assert.equal(WINDOW + 2, told.ended[("{vault://hcv/%d}"):format(WINDOW + 2)])
  end)

  it("have more under way of a vault that brings many with one request, as long as it does", function()
    local job = job_of()
    native.batching.aws = true
    run(references_of("aws", BATCH_WINDOW + 2), job)
    assert.equal(BATCH_WINDOW, started())
    native.batching.aws = false
    complete(1)
    assert.equal(BATCH_WINDOW, started())
    for ticket = 2, BATCH_WINDOW - WINDOW + 1 do
      complete(ticket)
    end
    assert.equal(BATCH_WINDOW + 1, started())
  end)

  it("tell the engine when no more look-ups follow at once", function()
    local job = job_of()
    run(references_of("hcv", WINDOW + 1), job)
    assert.same({ WINDOW, 1 }, { started(), #fake_native.calls(native, "end_list") })
    complete(1)
    assert.same({ WINDOW + 1, 2 }, { started(), #fake_native.calls(native, "end_list") })
  end)

  it("don't hold up one vault for another", function()
    local list = references_of("slow", WINDOW + 5)
    table.insert(list, "{vault://quick/a}")
    local job, told = job_of()
    run(list, job)
    assert.equal(WINDOW + 1, started())
    complete(tickets["{vault://quick/a}"])
    assert.truthy(told.ended["{vault://quick/a}"])
  end)

  it("share the room of a vault between callers, and wait for each other", function()
    local first, second = job_of(), job_of()
    run(references_of("hcv", WINDOW), first)
    local state = run({ "{vault://hcv/other}" }, second)
    assert.equal(WINDOW, started())
    for ticket = 1, WINDOW do
      complete(ticket)
    end
    assert.equal(WINDOW + 1, started())
    complete(WINDOW + 1)
    assert.is_true(state.is_over)
  end)

  it("take the room back that a killed caller held, once its fetches are complete", function()
    local first, second = job_of(), job_of()
    worker:kill(run(references_of("hcv", WINDOW), first).thread)
    for ticket = 1, WINDOW do
      native.complete[ticket] = true
    end
    run({ "{vault://hcv/other}" }, second)
    assert.equal(WINDOW + 1, started())
  end)

  it("give each fetch its whole time, and go on after one that takes too long", function()
    local list = references_of("hcv", WINDOW + 1)
    local last = list[WINDOW + 1]
    local job, told = job_of()
    local state = run(list, job)
    worker:advance(9)
    complete(1)
    worker:advance(1.5)
    assert.equal("timeout", told.ended[list[2]])
    assert.equal(1, told.ended[list[1]])
    assert.is_nil(told.ended[last])
    complete(tickets[last])
    assert.is_true(state.is_over)
    assert.equal(tickets[last], told.ended[last])
  end)

  it("end for all references where the caller can't yield", function()
    local list = references_of("hcv", WINDOW + 1)
    local job, told = job_of()
    local is_over
    worker:spawn(function()
      ("x"):gsub("x", function()
        bulk.run(list, job)
        is_over = true
      end)
    end)
    assert.is_true(is_over)
    assert.matches("attempt to yield", told.ended[list[1]])
    assert.matches("attempt to yield", told.not_begun[list[WINDOW + 1]])
    assert.is_nil(told.not_begun[list[1]])
  end)

  it("block where they may not yield, publish, and take what is complete", function()
    local job, told = job_of(nil, { yields = false })
    native.publications[1] = { fake_native.order("PUBLISH", ("%032d"):format(1), { rest = "sealed" }) }
    bulk.run({ "{vault://hcv/a}", "{vault://hcv/b}" }, job)
    assert.same({ "1", "2" }, fake_native.calls(native, "wait"))
    assert.same({ ["{vault://hcv/a}"] = 1, ["{vault://hcv/b}"] = 2 }, told.ended)
    assert.equal("sealed", worker.dict:get("kong-vault:" .. ("%032d"):format(1)))
  end)
end)
