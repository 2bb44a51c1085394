-- The node's cache: what one worker fetched, all have. Documents lie sealed (see src/node.rs) in the shared dictionary
-- `kong_secrets`, where it is declared; claims in it say who is fetching.
--
-- All of this is called in any phase of a worker and never yields.

local native = require "kong.vault.native"
local waiters = require "kong.vault.waiters"

local ngx = ngx
local sub = string.sub

-- Keys: a document, a claim on fetching it, a claim on probing a vault, and what is known of the vault's health. Kong
-- keeps values of its own in the same dictionary.
local DOCUMENT = "kong-vault:"
local CLAIM = "kong-vault:claim:"
local PROBE = "kong-vault:probe:"
local UP = "kong-vault:up:"
local DOWN = "kong-vault:down:"

-- Characters of a name.
local NAME = 32

-- Of two workers that find a vault due to be probed, the second looks again after so many seconds whether the first has
-- found it back: an answer comes soon if it comes at all.
local SECOND_LOOK = 0.3

-- Seconds for which a key says that a vault went bad, unless its worker says how long that lasts.
local BAD = 3600

-- The part of the dictionary that is left free, for claims, and for Kong, which fails where its keys find no room. Where it
-- is not, documents of ours make room that were not used for the longest time: so many at once, and at most so often for one
-- that is to be kept.
local RESERVE = 1 / 8
local BATCH = 32
local BATCHES = 8

-- How often to look whose a claim is that is taken back each time before we can see.
local LOOKS = 3

local _M = {}

local dict
if ngx and ngx.shared then
  dict = ngx.shared.kong_secrets
end

-- Flights of ours whose outcome has to be handed on, by ticket: the document's name, our claim on it, and the vault that
-- is probed.
local owned = {}

-- The dictionary's own function, which lists the least recently used key first. In Kong, `dict.get_keys` is replaced by
-- one that lists Kong's keys only (gateway/shdict_keys.lua).
local get_keys
if dict then
  local methods = getmetatable(dict).__index
  get_keys = type(methods) == "table" and methods.get_keys or dict.get_keys
end

local address, lifetime, interval
local full

-- Where the other workers find this one; nil, with everything that follows from it, where no socket can be had.
local function own_address()
  if not address then
    address = native.vm:address()
    lifetime = (native.vm:fetch_timeout() or 0) + 1
    interval = native.vm:breaker_interval() or 0
  end
  return address
end

local function is_document(key)
  return #key == #DOCUMENT + NAME and sub(key, 1, #DOCUMENT) == DOCUMENT
end

-- Removes documents that were not used for the longest time, as far as they are among so many keys.
local function evict(count)
  for _, key in ipairs(get_keys(dict, count)) do
    if is_document(key) then
      dict:delete(key)
    end
  end
end

local function is_tight()
  return dict.free_space and dict:free_space() < RESERVE * dict:capacity()
end

-- Keeps a document, where need be in the place of others.
local function store(key, sealed, seconds)
  local fits = not dict.capacity or #sealed < RESERVE * dict:capacity()
  local batches = 0
  -- What is near the end of the list may be Kong's, so each look goes further.
  while fits and is_tight() and batches < BATCHES do
    batches = batches + 1
    evict(BATCH * batches)
  end
  local ok, err = dict:safe_set(key, sealed, seconds)
  while fits and not ok and err == "no memory" and batches < BATCHES do
    batches = batches + 1
    evict(BATCH * batches)
    ok, err = dict:safe_set(key, sealed, seconds)
  end
  return ok, err
end

-- Whether a claim is of this worker; who made it stands before the time.
local function is_own(claimed)
  return sub(claimed, 1, #address + 1) == address .. "@"
end

local function own(ticket, name, claimed)
  owned[ticket] = { name = name, claimed = claimed }
  native.start(ticket, nil, true)
end

-- A flight that has nothing more to be seen to: it has landed, or somebody else saw it off.
local function landed(ticket)
  if native.is_complete(ticket) then
    waiters.complete(ticket)
  end
  return true
end

-- Takes the claim over from a worker that does not have what is wanted: it is gone, or its fetch began too early. One of
-- those who find that out does so; the others ask that one.
local function inherit(ticket, name, from)
  for _ = 1, LOOKS do
    local heir, mine = CLAIM .. name .. "!" .. from, native.vm:claim()
    if dict:safe_add(heir, mine, lifetime) then
      dict:set(CLAIM .. name, mine, lifetime)
      return own(ticket, name, mine)
    end
    local owner = dict:get(heir)
    if not owner or is_own(owner) then
      break
    elseif native.start(ticket, owner, false) then
      return
    end
    from = owner
  end
  return own(ticket, name, nil)
end

-- The fetch is ours, or that of another worker which is asked for its outcome.
local function claim(ticket, name, key)
  for _ = 1, LOOKS do
    local mine = native.vm:claim()
    local ok, err = dict:safe_add(key, mine, lifetime)
    local owner = not ok and err == "exists" and dict:get(key)
    if owner and not is_own(owner) then
      if not native.start(ticket, owner, false) then
        inherit(ticket, name, owner)
      end
      return
    end
    -- Between our look and our claim, or between that and our look at the other's, it may have been brought.
    if native.take_shared(ticket, dict:get(DOCUMENT .. name)) then
      if ok then
        dict:delete(key)
      end
      return landed(ticket)
    elseif owner then
      -- Of a fetch that has ended, or that began too early.
      dict:set(key, mine, lifetime)
      return own(ticket, name, mine)
    elseif ok or err ~= "exists" then
      return own(ticket, name, ok and mine)
    end
  end
  return own(ticket, name, nil)
end

-- Has the fetch begin. Returns true where the flight has landed.
local function depart(ticket, name, dead)
  if not (dict and own_address()) then
    native.start(ticket, nil, false)
  elseif dead then
    inherit(ticket, name, dead)
  else
    return claim(ticket, name, CLAIM .. name)
  end
end

-- After a reload with other options: takes what was there under those of before, to serve until the flight has landed.
local function inherit_previous(ticket)
  local previous = native.vm:previous_name(ticket)
  local document = previous and dict:get(DOCUMENT .. previous)
  return document ~= nil and native.vm:inherit_previous(ticket, document)
end

-- Sees a boarded flight off. `dead`: the claim of a worker that does not have the document. Returns true where it has
-- landed already, else false, and whether an older value serves meanwhile that was not there before.
function _M.start(ticket, name, dead)
  local document = dict and dict:get(DOCUMENT .. name)
  if native.take_shared(ticket, document) then
    return landed(ticket)
  end
  local serves = dict and inherit_previous(ticket) or false
  return depart(ticket, name, dead) or false, serves
end

-- Sees a flight off that probes whether a vault is back, if no other worker does.
function _M.probe(ticket, names)
  local name, vault = sub(names, 1, NAME), sub(names, NAME + 1)
  local me = dict and own_address()
  if not me then
    return _M.start(ticket, name)
  elseif dict:get(UP .. vault) then
    -- It is back. Whoever waits for this flight still wants a newer value.
    if native.vm:forgo(ticket, nil) then
      return landed(ticket)
    end
    return _M.start(ticket, name)
  end
  local ok, err = dict:safe_add(PROBE .. vault, me, interval)
  if ok or err ~= "exists" then
    local has_landed = _M.start(ticket, name)
    if owned[ticket] then
      owned[ticket].probed = vault
    end
    return has_landed
  end
  local left = dict:ttl(PROBE .. vault) or 0
  if native.vm:forgo(ticket, left > interval - SECOND_LOOK and left <= interval and SECOND_LOOK or left) then
    return landed(ticket)
  end
  return _M.start(ticket, name)
end

-- Sees a flight off that was called back, or that nobody waits for.
function _M.restart(ticket, text)
  local dead = #text > NAME and sub(text, NAME + 1) or nil
  return _M.start(ticket, sub(text, 1, NAME), dead)
end

-- Hands the outcome of a flight on, if it is ours.
function _M.publish(ticket)
  local flight = owned[ticket]
  if not flight then
    return
  end
  owned[ticket] = nil
  if flight.probed then
    -- A vault that asked to be left alone for longer is left alone by all.
    local away = native.vm:away(ticket)
    if away and away > interval then
      dict:safe_set(PROBE .. flight.probed, true, away)
    end
  end
  local document = DOCUMENT .. flight.name
  local sealed, seconds = native.sealed_outcome(ticket, dict:get(document))
  if sealed then
    local ok, err = store(document, sealed, seconds)
    if ok then
      full = false
    elseif not full then
      full = true
      local what = "has no room (%s): the workers cache each on its own, give it more in nginx.conf"
      ngx.log(ngx.WARN, "kong.vault: the shared dictionary kong_secrets ", what:format(err))
    end
  end
  -- Whoever did not wait for us, or wanted what is newer, has a claim of its own.
  local key = CLAIM .. flight.name
  if flight.claimed and dict:get(key) == flight.claimed then
    dict:delete(key)
  end
end

-- Hands on what landed without anybody being told.
function _M.sweep()
  for ticket in next, owned do
    if native.is_complete(ticket) then
      _M.publish(ticket)
    end
  end
end

-- Notes that a vault went bad or came back. Returns whether this is news on this node, and the line for the log.
function _M.note_health(text, up)
  local vault, line = sub(text, 1, NAME), sub(text, NAME + 1)
  if not (dict and own_address()) then
    return true, line
  end
  if not up then
    dict:delete(UP .. vault)
    local added, err = dict:safe_add(DOWN .. vault, true, BAD)
    return added or err ~= "exists", line
  end
  local news = dict:get(DOWN .. vault)
  dict:delete(DOWN .. vault)
  dict:safe_set(UP .. vault, true, interval)
  dict:delete(PROBE .. vault)
  return news ~= nil, line
end

-- Notes for how long a vault that went bad still is: nobody tells of it anew meanwhile.
function _M.still_bad(vault, seconds)
  if dict and own_address() then
    -- Where it came back meanwhile, another worker has said so.
    dict:replace(DOWN .. vault, true, seconds)
  end
end

-- Notes that a vault answered a worker for the first time. Returns the line for the log, where it was said to be bad: the
-- worker that said so may be gone.
function _M.note_answer(text)
  if not (dict and own_address()) then
    return
  end
  local vault, news = sub(text, 1, NAME), sub(text, NAME + 1, 2 * NAME)
  dict:delete(DOWN .. news)
  if dict:get(DOWN .. vault) then
    local is_news, line = _M.note_health(vault .. sub(text, 2 * NAME + 1), true)
    return is_news and line or nil
  end
end

return _M
