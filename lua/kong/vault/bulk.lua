-- Many references at once, for somebody who waits on purpose: of each vault only so many are fetched at a time, the others
-- wait for their turn. So their number has no bound, each fetch has its whole deadline, and requests find room beside them.

local native = require "kong.vault.native"
local shared_cache = require "kong.vault.shared_cache"
local waiters = require "kong.vault.waiters"
local wait = require "kong.vault.wait"

local ngx = ngx
local BOARDED, PENDING, NOTHING = native.BOARDED, native.PENDING, native.NOTHING

-- How many fetches of one vault all such work of this worker has under way. The engine has some more under way for a vault
-- (see src/fetch.rs), for requests.
local WINDOW = 128

local _M = {}

-- Flights under way for such work: sets of tickets by vault, and their sizes.
local busy, sizes = {}, {}

-- By which work is told apart that waits for different vaults; what is no reference fails at once.
local function vault_of(reference)
  return reference:match "^{vault://([^/]*)" or ""
end

local function hold(vault, ticket)
  local tickets = busy[vault] or {}
  busy[vault] = tickets
  if not tickets[ticket] then
    tickets[ticket] = true
    sizes[vault] = (sizes[vault] or 0) + 1
  end
end

local function release(vault, ticket)
  local tickets = busy[vault]
  if tickets and tickets[ticket] then
    tickets[ticket] = nil
    sizes[vault] = sizes[vault] - 1
    if sizes[vault] == 0 then
      busy[vault], sizes[vault] = nil, nil
    end
  end
end

-- Whether one more fetch of a vault may begin. Whoever had others begin may have been killed, so they are looked at.
local function has_room(vault, looks)
  if (sizes[vault] or 0) >= WINDOW and looks then
    for ticket in pairs(busy[vault]) do
      if native.is_complete(ticket) then
        release(vault, ticket)
      end
    end
  end
  return (sizes[vault] or 0) < WINDOW
end

-- References by vault, in their order.
local function queued(references)
  local queues, by_vault = {}, {}
  for _, reference in ipairs(references) do
    local vault = vault_of(reference)
    local queue = by_vault[vault]
    if not queue then
      queue = { vault = vault, next = 1, under_way = 0 }
      by_vault[vault] = queue
      queues[#queues + 1] = queue
    end
    queue[#queue + 1] = reference
  end
  return queues
end

-- Begins what there is room for. Returns whether anything of the queue is left to begin.
local function begin(work, queue)
  local job = work.job
  while queue.next <= #queue do
    if not has_room(queue.vault, queue.under_way == 0) then
      return true
    end
    local reference = queue[queue.next]
    queue.next = queue.next + 1
    local status, ticket, name = job.take(reference)
    if status == BOARDED and shared_cache.start(ticket, name) or status == PENDING and native.is_complete(ticket) then
      job.land(reference, ticket)
    elseif status == BOARDED or status == PENDING then
      local flight = work.flights[ticket]
      if flight then
        flight[#flight + 1] = reference
      else
        flight = { reference, ticket = ticket, queue = queue, deadline = ngx.now() + job.seconds }
        work.flights[ticket] = flight
        work.last = work.last + 1
        work.order[work.last] = flight
        work.under_way = work.under_way + 1
        queue.under_way = queue.under_way + 1
        hold(queue.vault, ticket)
        if work.group then
          waiters.join(work.group, ticket)
        end
      end
    elseif status ~= NOTHING then
      job.settle(reference, status, ticket)
    end
  end
  return false
end

-- Takes what a flight brought, or says why that is not waited for any longer.
local function finish(work, ticket, err)
  local flight = work.flights[ticket]
  if flight then
    work.flights[ticket] = nil
    work.under_way = work.under_way - 1
    flight.queue.under_way = flight.queue.under_way - 1
    release(flight.queue.vault, ticket)
    for _, reference in ipairs(flight) do
      work.job.land(reference, ticket, err)
    end
  end
end

-- The flight that is under way for the longest time.
local function oldest(work)
  while work.first <= work.last do
    local flight = work.order[work.first]
    if work.flights[flight.ticket] == flight then
      return flight
    end
    work.order[work.first] = nil
    work.first = work.first + 1
  end
end

-- Waits until at least one flight has landed, and takes what landed. Returns nothing, or why it can't wait.
local function proceed(work)
  local flight = oldest(work)
  if not work.group then
    repeat
      native.vm:wait(flight.ticket)
      shared_cache.publish(flight.ticket)
      finish(work, flight.ticket)
      flight = oldest(work)
    until not flight or not native.is_complete(flight.ticket)
    return
  end
  local ok, err = wait.any(work.group, math.max(0, flight.deadline - ngx.now()))
  local landed = work.group.landed
  work.group.landed = {}
  for _, ticket in ipairs(landed) do
    finish(work, ticket)
  end
  if not ok and err == "timeout" then
    finish(work, flight.ticket, err)
  elseif not ok then
    return err
  end
end

-- Waits until work of somebody else leaves room. Returns nothing, or why it can't wait.
local function queue_up(work, queue)
  local ticket = next(busy[queue.vault])
  if not work.group then
    return native.vm:wait(ticket)
  end
  local ok, err = wait.wait(ticket, work.job.seconds)
  -- What takes that long is not waited for twice.
  if err == "timeout" then
    return release(queue.vault, ticket)
  end
  return not ok and err or nil
end

--- Resolves references. `job`: `take(reference)` has the fetch of one begin, as `native.lookup` does; `settle(reference,
-- status, value)` is told what was there at once, `land(reference, ticket, err)` what was fetched, or why that was not
-- waited for, `fail(reference, err)` what could not begin. `seconds`: how long a fetch is waited for. `parks`: whether the
-- coroutine may yield; where not, the worker is blocked.
function _M.run(references, job)
  local queues = queued(references)
  local work = { job = job, flights = {}, order = {}, first = 1, last = 0, under_way = 0 }
  work.group = job.parks and waiters.group() or nil
  local err
  repeat
    local waiting
    for _, queue in ipairs(queues) do
      if begin(work, queue) then
        waiting = queue
      end
    end
    if work.under_way > 0 then
      err = proceed(work)
    elseif waiting then
      err = queue_up(work, waiting)
    end
  until err or not waiting and work.under_way == 0
  if err then
    for ticket in pairs(work.flights) do
      finish(work, ticket, err)
    end
    for _, queue in ipairs(queues) do
      for i = queue.next, #queue do
        job.fail(queue[i], err)
      end
    end
  end
end

return _M
