-- The node's cache: what one worker fetched, all workers have. The shared dictionary `kong_secrets`, where nginx.conf
-- declares it, holds sealed documents (see src/node) and claims, which say which worker fetches a document.
--
-- A fetch that a look-up created must be started: `start` takes its outcome from the dictionary, or claims the document and
-- has the engine fetch it, or has the engine ask the worker that claimed it first.
--
-- No function here yields: all of them may be called in any phase of a worker.

local debug_log = require "kong.vault.debug_log"
local native = require "kong.vault.native"
local waiters = require "kong.vault.waiters"

local ngx = ngx
local sub = string.sub

-- What keys begin with: a document, the claim on fetching it, the claim on probing a vault, and that a vault is known to be
-- up or down. Kong keeps values of its own in the same dictionary.
local DOCUMENT = "kong-vault:"
local CLAIM = "kong-vault:claim:"
local PROBE = "kong-vault:probe:"
local UP = "kong-vault:up:"
local DOWN = "kong-vault:down:"

-- Characters of a document's or a vault's name.
local NAME = 32

-- Seconds after which a worker that found another one's fresh claim on a probe looks for the result: a vault that answers
-- does so soon.
local SECOND_LOOK = 0.3

-- Seconds for which a vault is known to be down, unless its worker says how long.
local BAD = 3600

-- The part of the dictionary that is kept free: for claims, and for Kong, whose look-ups fail where its keys find no room.
-- When less is free, the least recently used documents are removed, this many at once, and this often for one document.
local RESERVE = 1 / 8
local BATCH = 32
local BATCHES = 8

-- Attempts to claim a document whose claim disappears each time before its owner can be read.
local LOOKS = 3

local _M = {}

local dict
if ngx and ngx.shared then
  dict = ngx.shared.kong_secrets
end

-- Fetches whose outcome this worker has to publish, by ticket: the document's name, the claim on it (false: none), and the
-- vault that the fetch probes, if any.
local owned = {}

-- The dictionary's own function, which lists the least recently used key first. In Kong, `dict.get_keys` is replaced by
-- one that lists Kong's keys only (gateway/shdict_keys.lua).
local get_keys
if dict then
  local methods = getmetatable(dict).__index
  get_keys = type(methods) == "table" and methods.get_keys or dict.get_keys
end

-- Where other workers reach this one; how long a claim lasts; how long a vault is left alone between two probes.
local address, lifetime, interval

-- Whether the last document found no room.
local full

-- Returns this worker's address; nil where no socket can be opened. Sets `lifetime` and `interval` as well.
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

-- Removes the documents that are among the `count` least recently used keys.
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

-- Stores a document. Where there is no room, older documents are removed.
local function store(key, sealed, seconds)
  local fits = not dict.capacity or #sealed < RESERVE * dict:capacity()
  local batches = 0
  -- The least recently used keys may be Kong's, which stay, so each batch reaches further.
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

-- Whether a claim is this worker's. A claim is the worker's address, "@", and the time when it was made.
local function is_own(claimed)
  return sub(claimed, 1, #address + 1) == address .. "@"
end

-- Has this worker fetch a document and publish the outcome.
local function fetch_here(ticket, name, claimed)
  owned[ticket] = { name = name, claimed = claimed }
  debug_log.fetch(ticket, name, "this worker fetches it")
  native.start(ticket, nil, true)
end

-- Has the engine ask the worker with that claim. Returns false where that worker's fetch began too early to serve.
local function ask(ticket, name, claimed)
  local is_asked = native.start(ticket, claimed, false)
  debug_log.fetch(ticket, name, is_asked and "waiting for worker " or "began too early in worker ", claimed)
  return is_asked
end

-- For a fetch that needs no start any more: it is complete, or somebody else has started it.
local function is_started(ticket)
  if native.is_complete(ticket) then
    waiters.complete(ticket)
  end
  return true
end

-- Replaces the claim `from` of a worker that is gone, or whose fetch began too early. Of all workers that find this out,
-- the first takes the claim over; the others ask that worker.
local function take_over(ticket, name, from)
  for _ = 1, LOOKS do
    local successor, mine = CLAIM .. name .. "!" .. from, native.vm:claim()
    if dict:safe_add(successor, mine, lifetime) then
      dict:set(CLAIM .. name, mine, lifetime)
      return fetch_here(ticket, name, mine)
    end
    local owner = dict:get(successor)
    if not owner or is_own(owner) then
      break
    elseif ask(ticket, name, owner) then
      return
    end
    from = owner
  end
  return fetch_here(ticket, name, nil)
end

-- Claims a document and fetches it, or asks the worker that has the claim. Returns true where the fetch is complete.
local function claim(ticket, name, key)
  for _ = 1, LOOKS do
    local mine = native.vm:claim()
    local ok, err = dict:safe_add(key, mine, lifetime)
    local owner = not ok and err == "exists" and dict:get(key)
    if owner and not is_own(owner) then
      if not ask(ticket, name, owner) then
        take_over(ticket, name, owner)
      end
      return
    end
    -- The document may have been published since `start` looked for it.
    if native.take_shared(ticket, dict:get(DOCUMENT .. name)) then
      if ok then
        dict:delete(key)
      end
      debug_log.fetch(ticket, name, "taken from the node's cache")
      return is_started(ticket)
    elseif owner then
      -- This worker's claim for a fetch that has ended, or that began too early.
      dict:set(key, mine, lifetime)
      return fetch_here(ticket, name, mine)
    elseif ok or err ~= "exists" then
      -- Without room for a claim, this worker fetches all the same.
      return fetch_here(ticket, name, ok and mine)
    end
  end
  return fetch_here(ticket, name, nil)
end

-- Has the engine fetch or ask. Returns true where the fetch is complete.
local function fetch(ticket, name, dead)
  if not (dict and own_address()) then
    debug_log.fetch(ticket, name, "this worker fetches it for itself")
    native.start(ticket, nil, false)
  elseif dead then
    take_over(ticket, name, dead)
  else
    return claim(ticket, name, CLAIM .. name)
  end
end

-- After a reload with other options: takes the document that was cached under the previous options, to serve until the fetch
-- is complete. Returns whether there is one.
local function inherit_previous(ticket)
  local previous = native.vm:previous_name(ticket)
  local document = previous and dict:get(DOCUMENT .. previous)
  return document ~= nil and native.vm:inherit_previous(ticket, document)
end

-- Starts a fetch that a look-up created, of the document `name`. `dead`: the claim of a worker that was asked and does not
-- have it. Returns true where the fetch is complete, otherwise false and whether an older value serves from now on.
function _M.start(ticket, name, dead)
  local document = dict and dict:get(DOCUMENT .. name)
  if native.take_shared(ticket, document) then
    debug_log.fetch(ticket, name, document and "taken from the node's cache" or "complete without a fetch")
    return is_started(ticket)
  end
  local serves = dict and inherit_previous(ticket) or false
  return fetch(ticket, name, dead) or false, serves
end

-- Starts a fetch that probes whether a vault is back, unless another worker probes it. `names`: of document and vault.
function _M.probe(ticket, names)
  local name, vault = sub(names, 1, NAME), sub(names, NAME + 1)
  local me = dict and own_address()
  if not me then
    return _M.start(ticket, name)
  elseif dict:get(UP .. vault) then
    -- Another worker found the vault back. Whoever waits for this fetch still wants a value.
    if native.vm:skip_probe(ticket, nil) then
      return is_started(ticket)
    end
    return _M.start(ticket, name)
  end
  local ok, err = dict:safe_add(PROBE .. vault, me, interval)
  if ok or err ~= "exists" then
    debug_log.fetch(ticket, name, "this worker probes the vault")
    local is_complete = _M.start(ticket, name)
    if owned[ticket] then
      owned[ticket].probed = vault
    end
    return is_complete
  end
  local left = dict:ttl(PROBE .. vault) or 0
  if native.vm:skip_probe(ticket, left > interval - SECOND_LOOK and left <= interval and SECOND_LOOK or left) then
    debug_log.fetch(ticket, name, "another worker probes the vault")
    return is_started(ticket)
  end
  return _M.start(ticket, name)
end

-- Starts a fetch that the engine hands to the worker: one that nobody waits for, or one whose other worker failed. `text`: the
-- document's name, followed in the second case by that worker's claim.
function _M.start_for_engine(ticket, text)
  local dead = #text > NAME and sub(text, NAME + 1) or nil
  return _M.start(ticket, sub(text, 1, NAME), dead)
end

-- Publishes the outcome of a complete fetch, if this worker made it, and gives its claim up.
function _M.publish(ticket)
  local fetched = owned[ticket]
  if not fetched then
    return
  end
  owned[ticket] = nil
  if fetched.probed then
    -- A vault that asked for a longer pause is left alone by all workers.
    local away = native.vm:away(ticket)
    if away and away > interval then
      dict:safe_set(PROBE .. fetched.probed, true, away)
    end
  end
  local document = DOCUMENT .. fetched.name
  local sealed, seconds = native.sealed_outcome(ticket, dict:get(document))
  if sealed then
    local ok, err = store(document, sealed, seconds)
    if ok then
      full = false
      local kept = seconds > 0 and seconds or "any number of"
      debug_log.fetch(ticket, fetched.name, "published, to be kept for ", kept, " s")
    elseif not full then
      full = true
      local what = "is full (%s), and workers do not share values: raise lua_shared_dict kong_secrets in nginx.conf"
      ngx.log(ngx.WARN, "kong.vault: the shared dictionary kong_secrets ", what:format(err))
    end
  else
    debug_log.fetch(ticket, fetched.name, "complete, with nothing to publish")
  end
  -- The key may hold another worker's claim by now: one that stopped waiting, or wanted a newer value.
  local key = CLAIM .. fetched.name
  if fetched.claimed and dict:get(key) == fetched.claimed then
    dict:delete(key)
  end
end

-- Publishes what was completed while nobody listened for events.
function _M.sweep()
  for ticket in next, owned do
    if native.is_complete(ticket) then
      _M.publish(ticket)
    end
  end
end

-- Notes that a vault is down, or up again. `text`: the vault's name and a line for the log. Returns whether this is news on
-- this node, and the line.
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
  local was_down = dict:get(DOWN .. vault)
  dict:delete(DOWN .. vault)
  dict:safe_set(UP .. vault, true, interval)
  dict:delete(PROBE .. vault)
  return was_down ~= nil, line
end

-- Notes that a vault stays down for so many seconds: no worker logs it again meanwhile.
function _M.still_bad(vault, seconds)
  if dict and own_address() then
    -- `replace` does nothing where another worker has found the vault up and removed the key.
    dict:replace(DOWN .. vault, true, seconds)
  end
end

-- Notes that a vault answered this worker for the first time. `text`: the name of the vault, the name of the notices about it,
-- and a line for the log. Returns the line where the vault was logged as down: the worker that did so may be gone.
function _M.note_answer(text)
  if not (dict and own_address()) then
    return
  end
  local vault, notices = sub(text, 1, NAME), sub(text, NAME + 1, 2 * NAME)
  dict:delete(DOWN .. notices)
  if dict:get(DOWN .. vault) then
    local is_news, line = _M.note_health(vault .. sub(text, 2 * NAME + 1), true)
    return is_news and line or nil
  end
end

return _M
