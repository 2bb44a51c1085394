-- The node's cache: workers take what one of them fetched. The shared dictionary `kong_secrets`, where nginx.conf declares it,
-- holds sealed documents (see src/node) and claims, which say which worker fetches a document.
--
-- Who fetches a document is decided by a state machine of the library (src/resolver/node_protocol/machine.rs). It gives orders,
-- each an operation on the dictionary; this file carries them out, and replies.
--
-- No function here yields: all of them may be called in any phase of a worker.

local debug_log = require "kong.vault.debug_log"
local native = require "kong.vault.native"
local trace = require "kong.vault.trace"
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

-- Seconds for which a vault is known to be down, unless its worker says how long.
local BAD = 3600

-- The part of the dictionary that is kept free: for claims, and for Kong, whose look-ups fail where its keys find no room.
-- When less is free, the least recently used documents are removed, this many at once, and this often for one document.
local RESERVE = 1 / 8
local BATCH = 32
local BATCHES = 8

local _M = {}

local dict
if ngx and ngx.shared then
  dict = ngx.shared.kong_secrets
end

-- The dictionary's own function, which lists the least recently used key first. In Kong, `dict.get_keys` is replaced by
-- one that lists Kong's keys only (gateway/shdict_keys.lua).
local get_keys
if dict then
  local methods = getmetatable(dict).__index
  get_keys = type(methods) == "table" and methods.get_keys or dict.get_keys
end

-- Whether the last document found no room.
local full

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

-- Stores the outcome of a fetch.
local function publish(ticket, order)
  local ok, err = store(DOCUMENT .. order.name, order.rest, order.seconds)
  if ok then
    full = false
    local kept = order.seconds > 0 and order.seconds or "any number of"
    debug_log.fetch(ticket, order.name, "published, to be kept for ", kept, " s")
  elseif not full then
    full = true
    local what = "is full (%s), and workers do not share values: raise lua_shared_dict kong_secrets in nginx.conf"
    ngx.log(ngx.WARN, "kong.vault: the shared dictionary kong_secrets ", what:format(err))
  end
end

-- Adds the claim of an order under a key. Returns the reply, and the claim that is there already.
local function add(key, order)
  local ok, err = dict:safe_add(key, order.claim, order.seconds)
  if ok then
    return native.CLAIMED
  elseif err ~= "exists" then
    return native.NO_ROOM
  end
  local owner = dict:get(key)
  return owner and native.OWNER or native.GONE, owner
end

-- How each order is carried out. Each returns the reply: what became of the claim, the document that was read, the owner of a
-- claim that is there already, and a number of seconds.
local carry_out = {}

carry_out[native.READ] = function(order)
  return native.DONE, dict:get(DOCUMENT .. order.name)
end

carry_out[native.CLAIM] = function(order)
  local reply, owner = add(CLAIM .. order.name, order)
  -- The document may have been published since it was looked for.
  return reply, dict:get(DOCUMENT .. order.name), owner
end

carry_out[native.LOOK] = function(order)
  local document = dict:get(DOCUMENT .. order.name)
  if document then
    return native.DONE, document
  end
  return carry_out[native.CLAIM](order)
end

carry_out[native.RECLAIM] = function(order)
  dict:set(CLAIM .. order.name, order.claim, order.seconds)
  return native.DONE
end

-- `rest`: the claim to replace, of a worker that is gone, or whose fetch began too early.
carry_out[native.TAKE_OVER] = function(order)
  local reply, owner = add(CLAIM .. order.name .. "!" .. order.rest, order)
  if reply == native.CLAIMED then
    dict:set(CLAIM .. order.name, order.claim, order.seconds)
  end
  return reply, nil, owner
end

carry_out[native.RELEASE] = function(order)
  -- The key may hold another worker's claim by now: one that stopped waiting, or wanted a newer value.
  local key = CLAIM .. order.name
  if dict:get(key) == order.claim then
    dict:delete(key)
  end
  return native.DONE
end

carry_out[native.PROBE_CLAIM] = function(order)
  if dict:get(UP .. order.name) then
    return native.IS_UP
  end
  local key = PROBE .. order.name
  local reply = add(key, order)
  if reply == native.OWNER or reply == native.GONE then
    return native.PROBED, nil, nil, dict:ttl(key) or 0
  end
  return reply
end

carry_out[native.PROBE_PAUSE] = function(order)
  dict:safe_set(PROBE .. order.name, true, order.seconds)
  return native.DONE
end

-- Where the request stands in its trace is asked for only where fetches get spans.
carry_out[native.TRACE] = function()
  return native.TRACED, trace.context()
end

carry_out[native.TRACE_WAITER] = function()
  return native.WAITER_TRACED, trace.context()
end

-- Carries orders out until there are none, or the fetch is to be published. Returns the last order.
local function run(ticket, order)
  local call = order and carry_out[order.kind]
  while call do
    order = native.step(ticket, call(order))
    call = order and carry_out[order.kind]
  end
  return order
end

--- Starts a fetch that was created, by the first order for it. Returns true where the fetch is complete, otherwise false and
-- whether an older value serves from now on.
function _M.start(ticket, order)
  order = run(ticket, order)
  if not order then
    return false, false
  end
  if order.rest then
    debug_log.fetch(ticket, order.name, order.rest)
  end
  if order.kind == native.COMPLETE then
    waiters.complete(ticket)
    return true
  end
  return false, order.kind == native.SERVES
end

--- Carries out the order, if there is one, for a request that waits for a fetch which another one started.
_M.join = run

--- Publishes the outcome of a complete fetch by the first order for that, and gives its claim up.
function _M.publish(ticket, order)
  order = run(ticket, order)
  if order and order.kind == native.PUBLISH then
    if order.rest then
      publish(ticket, order)
    else
      debug_log.fetch(ticket, order.name, "complete, with nothing to publish")
    end
    if order.claim then
      carry_out[native.RELEASE](order)
    end
  end
end

--- Publishes the outcome of a complete fetch, if this worker must.
function _M.publish_if_owned(ticket)
  _M.publish(ticket, native.publish(ticket))
end

--- Publishes what was completed while nobody listened for events.
function _M.sweep()
  for _, ticket in ipairs(native.vm:unpublished()) do
    _M.publish_if_owned(ticket)
  end
end

--- Whether workers share a dictionary.
function _M.has_dictionary()
  return dict ~= nil
end

-- Notes that a vault is down, or up again. `text`: the vault's name and a line for the log. Returns whether this is news on
-- this node, and the line.
function _M.note_health(text, up)
  local vault, line = sub(text, 1, NAME), sub(text, NAME + 1)
  if not dict then
    return true, line
  end
  if not up then
    dict:delete(UP .. vault)
    local added, err = dict:safe_add(DOWN .. vault, true, BAD)
    return added or err ~= "exists", line
  end
  local was_down = dict:get(DOWN .. vault)
  dict:delete(DOWN .. vault)
  dict:safe_set(UP .. vault, true, native.vm:breaker_interval() or 0)
  dict:delete(PROBE .. vault)
  return was_down ~= nil, line
end

-- Notes that a vault stays down for so many seconds: no worker logs it again meanwhile.
function _M.still_bad(vault, seconds)
  if dict then
    -- `replace` does nothing where another worker has found the vault up and removed the key.
    dict:replace(DOWN .. vault, true, seconds)
  end
end

-- Notes that a vault answered this worker for the first time. `text`: the name of the vault, the name of the notices about it,
-- and a line for the log. Returns the line where the vault was logged as down: the worker that did so may be gone.
function _M.note_answer(text)
  if not dict then
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
