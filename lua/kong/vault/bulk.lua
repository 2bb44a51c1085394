-- Resolves many references for a caller that waits on purpose. Only so many fetches of one vault are under way at a time, and
-- the rest wait their turn. So the number of references is not limited, each fetch has its whole deadline, and requests
-- find room beside them.

local native = require "kong.vault.native"
local shared_cache = require "kong.vault.shared_cache"
local wait = require "kong.vault.wait"
local waiters = require "kong.vault.waiters"

local ngx = ngx
local CREATED, PENDING, NOTHING = native.CREATED, native.PENDING, native.NOTHING

-- How many fetches of one vault all bulk callers of this worker have under way. The engine allows some more for a vault (see
-- src/resolver/upstream.rs), which are left to requests.
local WINDOW = 128

-- The same for a vault that brings many secrets with one request.
local BATCH_WINDOW = 512

local _M = {}

-- The fetches that bulk callers have under way: a set of tickets for each vault, and its size.
local busy, sizes = {}, {}

-- The vault that a reference names, as it is written. What is not a reference has none, and fails at once.
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

-- Whether there is room for one more fetch of a queue's vault beside so many.
local function fits(queue, size)
  return size < WINDOW or size < BATCH_WINDOW and native.vm:fetches_in_batches(queue[queue.next])
end

-- Whether one more fetch of a queue's vault may begin. With `looks`, complete fetches are released first: the caller that began
-- them may have been killed.
local function has_room(queue, looks)
  local vault = queue.vault
  if looks and not fits(queue, sizes[vault] or 0) then
    for ticket in pairs(busy[vault]) do
      if native.is_complete(ticket) then
        release(vault, ticket)
      end
    end
  end
  return fits(queue, sizes[vault] or 0)
end

-- Returns the references as one queue for each vault, in their order.
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

-- Looks up as many references of a queue as there is room for. Returns whether any are left.
local function begin(work, queue)
  local job = work.job
  while queue.next <= #queue do
    if not has_room(queue, queue.under_way == 0) then
      return true
    end
    local reference = queue[queue.next]
    queue.next = queue.next + 1
    local status, ticket, order = job.look_up(reference)
    if status == CREATED and shared_cache.start(ticket, order) or status == PENDING and native.is_complete(ticket) then
      job.ended(reference, ticket)
    elseif status == CREATED or status == PENDING then
      local fetch = work.fetches[ticket]
      if fetch then
        fetch[#fetch + 1] = reference
      else
        if status == PENDING then
          shared_cache.join(ticket, order)
        end
        fetch = { reference, ticket = ticket, queue = queue, deadline = ngx.now() + job.seconds }
        work.fetches[ticket] = fetch
        work.last = work.last + 1
        work.order[work.last] = fetch
        work.under_way = work.under_way + 1
        queue.under_way = queue.under_way + 1
        hold(queue.vault, ticket)
        if work.group then
          waiters.join(work.group, ticket, status == CREATED)
        end
      end
    elseif status ~= NOTHING then
      job.answered(reference, status, ticket)
    end
  end
  return false
end

-- Has the job take the outcome of a fetch. `err`: why nobody waits for it any longer, if so.
local function finish(work, ticket, err)
  local fetch = work.fetches[ticket]
  if fetch then
    work.fetches[ticket] = nil
    work.under_way = work.under_way - 1
    fetch.queue.under_way = fetch.queue.under_way - 1
    release(fetch.queue.vault, ticket)
    for _, reference in ipairs(fetch) do
      work.job.ended(reference, ticket, err)
    end
  end
end

-- Returns the fetch that has been under way for longest.
local function oldest(work)
  while work.first <= work.last do
    local fetch = work.order[work.first]
    if work.fetches[fetch.ticket] == fetch then
      return fetch
    end
    work.order[work.first] = nil
    work.first = work.first + 1
  end
end

-- Waits until at least one fetch is complete, and finishes all that are. Returns nothing, or why it cannot wait.
local function proceed(work)
  local fetch = oldest(work)
  if not work.group then
    repeat
      native.vm:wait(fetch.ticket)
      shared_cache.publish_if_owned(fetch.ticket)
      finish(work, fetch.ticket)
      fetch = oldest(work)
    until not fetch or not native.is_complete(fetch.ticket)
    return
  end
  local ok, err = wait.any(work.group, math.max(0, fetch.deadline - ngx.now()))
  local completed = work.group.completed
  work.group.completed = {}
  for _, ticket in ipairs(completed) do
    finish(work, ticket)
  end
  if not ok and err == "timeout" then
    finish(work, fetch.ticket, err)
  elseif not ok then
    return err
  end
end

-- Waits until another caller's fetch makes room. Returns nothing, or why it cannot wait.
local function queue_up(work, queue)
  local ticket = next(busy[queue.vault])
  if not work.group then
    return native.vm:wait(ticket)
  end
  local ok, err = wait.wait(ticket, work.job.seconds)
  -- A fetch that takes that long takes no room any more.
  if err == "timeout" then
    return release(queue.vault, ticket)
  end
  return not ok and err or nil
end

--- Resolves references. `job` has these fields. `look_up(reference)` answers as `native.lookup` does. `answered(reference,
-- status, value)` is called with an answer that needs no fetch, `ended(reference, ticket, err)` when a fetch is complete or,
-- with `err`, when nobody waits for it any longer, `not_begun(reference, err)` for what could not be looked up. `seconds`: how
-- long a fetch is waited for. `yields`: whether the coroutine may yield; otherwise the worker blocks.
function _M.run(references, job)
  local queues = queued(references)
  local work = { job = job, fetches = {}, order = {}, first = 1, last = 0, under_way = 0 }
  work.group = job.yields and waiters.group() or nil
  local err
  repeat
    local waiting
    for _, queue in ipairs(queues) do
      if begin(work, queue) then
        waiting = queue
      end
    end
    -- The engine gathers what is looked up until then.
    native.vm:end_list()
    if work.under_way > 0 then
      err = proceed(work)
    elseif waiting then
      err = queue_up(work, waiting)
    end
  until err or not waiting and work.under_way == 0
  if err then
    for ticket in pairs(work.fetches) do
      finish(work, ticket, err)
    end
    for _, queue in ipairs(queues) do
      for i = queue.next, #queue do
        job.not_begun(queue[i], err)
      end
    end
  end
end

return _M
