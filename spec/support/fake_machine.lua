-- A pretended state machine of the node's cache for unit specs: which orders the library gives (see machine.rs in
-- src/resolver/shared_cache, whose own tests are tests/node_protocol.rs). Each fetch is a coroutine that yields orders, and
-- goes on with the replies.

local _M = {}

local LOOKS, SECOND_LOOK = 3, 0.3

--- `native`: the pretended library; `engine`: what it has the engine do; `options`: as those of `fake_native.new`.
function _M.new(native, engine, options)
  local machine, threads, clock = {}, {}, 0

  local function claim_now()
    clock = clock + 1
    return options.address and ("%s@%d"):format(options.address, clock) or nil
  end

  local function order(kind, name, fields)
    local made = { kind = native[kind], name = name, seconds = 0 }
    for field, value in pairs(fields or {}) do
      made[field] = value
    end
    return made
  end

  local function ask_for(...)
    return coroutine.yield(order(...))
  end

  local function is_own(claim)
    return claim:sub(1, #options.address + 1) == options.address .. "@"
  end

  local function lifetime()
    return (options.fetch_timeout or 5) + 1
  end

  local function over(fetch, kind, note)
    return order(fetch.serves and kind == "UNDER_WAY" and "SERVES" or kind, fetch.name, { rest = note })
  end

  local function fetch_here(fetch, claimed)
    engine.start(fetch.ticket, nil, true)
    coroutine.yield(over(fetch, "UNDER_WAY", "this worker fetches it"))
    -- Once it is complete:
    if fetch.probed and native.away_for and native.away_for > (options.breaker_interval or 10) then
      ask_for("PROBE_PAUSE", fetch.probed, { seconds = native.away_for })
    end
    local _, known = ask_for("READ", fetch.name)
    local sealed, seconds = engine.sealed_outcome(fetch.ticket, known)
    return order("PUBLISH", fetch.name, { rest = sealed, seconds = seconds, claim = claimed and fetch.claim or nil })
  end

  local function take_over(fetch, from)
    for _ = 1, LOOKS do
      local reply, _, owner =
        ask_for("TAKE_OVER", fetch.name, { claim = fetch.claim, rest = from, seconds = lifetime() })
      if reply == native.CLAIMED then
        return fetch_here(fetch, true)
      elseif not owner or is_own(owner) then
        break
      elseif engine.start(fetch.ticket, owner, false) then
        return over(fetch, "UNDER_WAY", "waiting for worker " .. owner)
      end
      from = owner
    end
    return fetch_here(fetch, false)
  end

  local function take(fetch, document, claimed)
    if engine.take_shared(fetch.ticket, document) then
      if claimed then
        ask_for("RELEASE", fetch.name, { claim = fetch.claim })
      end
      return over(fetch, "COMPLETE", document and "taken from the node's cache" or "complete without a fetch")
    end
  end

  local function inherit(fetch)
    local previous = native.previous and native.previous[fetch.ticket]
    if previous then
      local _, document = ask_for("READ", previous)
      fetch.serves = document and engine.inherit_previous(fetch.ticket, document)
    end
  end

  local function start(fetch, dead)
    local fields = { claim = fetch.claim, seconds = lifetime() }
    local reply, document, owner = ask_for(dead and "READ" or "LOOK", fetch.name, fields)
    for look = 1, LOOKS + 1 do
      local is_anothers = owner and not is_own(owner) and look > 1
      local ended = not is_anothers and take(fetch, document, reply == native.CLAIMED)
      if ended then
        return ended
      elseif look == 1 then
        inherit(fetch)
      end
      if dead then
        return take_over(fetch, dead)
      elseif reply == native.CLAIMED or reply == native.NO_ROOM then
        return fetch_here(fetch, reply == native.CLAIMED)
      elseif owner and is_own(owner) then
        ask_for("RECLAIM", fetch.name, fields)
        return fetch_here(fetch, true)
      elseif owner and engine.start(fetch.ticket, owner, false) then
        return over(fetch, "UNDER_WAY", "waiting for worker " .. owner)
      elseif owner then
        return take_over(fetch, owner)
      elseif reply == native.GONE and look == LOOKS then
        break
      end
      reply, document, owner = ask_for("CLAIM", fetch.name, fields)
    end
    return fetch_here(fetch, false)
  end

  local function alone(fetch, reads)
    local document
    if reads then
      local _
      _, document = ask_for("READ", fetch.name)
    end
    local ended = take(fetch, document, false)
    if not ended then
      engine.start(fetch.ticket, nil, false)
    end
    return ended or over(fetch, "UNDER_WAY", "this worker fetches it for itself")
  end

  local function probe(fetch, vault)
    local interval = options.breaker_interval or 10
    local reply, _, _, left = ask_for("PROBE_CLAIM", vault, { claim = options.address, seconds = interval })
    if reply == native.IS_UP or reply == native.PROBED then
      if left then
        left = left > interval - SECOND_LOOK and left <= interval and SECOND_LOOK or left
      end
      if engine.skip_probe(fetch.ticket, left) then
        return over(fetch, "COMPLETE", "another worker probes the vault")
      end
    else
      fetch.probed = vault
    end
    return start(fetch)
  end

  local function resume(ticket, ...)
    local thread = threads[ticket]
    if not thread then
      return nil
    end
    local ok, made = coroutine.resume(thread, ...)
    assert(ok, made)
    if coroutine.status(thread) == "dead" then
      threads[ticket] = nil
    end
    return made
  end

  --- The first order for a fetch. `dead`: the claim of a worker that is gone. `vault`: the one that the fetch probes.
  function machine.start(ticket, name, dead, vault)
    if native.complete[ticket] then
      return order("COMPLETE", name)
    end
    local fetch = { ticket = ticket, name = name, claim = claim_now() }
    threads[ticket] = coroutine.create(function()
      if not (options.dict ~= false and options.address) then
        return alone(fetch, options.dict ~= false)
      elseif vault then
        return probe(fetch, vault)
      end
      return start(fetch, dead)
    end)
    return resume(ticket)
  end

  function machine.step(ticket, ...)
    return resume(ticket, ...)
  end

  function machine.publish(ticket)
    return native.complete[ticket] and resume(ticket) or nil
  end

  function machine.unpublished()
    local tickets = {}
    for ticket in pairs(threads) do
      tickets[#tickets + 1] = native.complete[ticket] and ticket or nil
    end
    return tickets
  end

  return machine
end

return _M
