-- What Kong's own functions need before they serve again: Kong's `update` only reads what has been looked up.

local shdict_keys = require "kong.vault.gateway.shdict_keys"
local rows = require "kong.vault.gateway.rows"
local refs = require "kong.vault.refs"

local ngx = ngx

local _M = {}

-- Entities that hold references.
local HOLDERS = { "plugins", "certificates", "keys" }

-- All references of Kong's entities. Raises where those can't be read.
local function references_of(kong)
  local found = {}
  for _, name in ipairs(HOLDERS) do
    local dao = kong.db and kong.db[name]
    if dao then
      found[#found + 1] = rows.all(dao)
    end
  end
  return refs.find(found)
end

-- Kong's `get` keeps in the worker what it has fetched itself, but not what it finds in the dictionary when that is past its
-- time, as it is after a while in which we renewed values and Kong didn't. For each request it would work the entry's key
-- out then, in a buffer that another request may take over half way. So each worker has Kong fetch.
local function fetch(own, reference, keys)
  local put_back = shdict_keys.take(keys or {})
  local done, value, err = pcall(own.get, reference)
  -- Where the worker had it all the same, others may need the entry.
  put_back()
  if not done then
    value, err = nil, value
  end
  return value ~= nil, err
end

--- Has Kong's own functions look up what Kong's entities refer to. `own`: Kong's functions; `is_ours`: whether a reference is
--- one that we have renewed. Phases: those that may wait, and init_worker, where Kong puts look-ups off.
function _M.run(kong, own, is_ours)
  local references = references_of(kong)
  -- What the worker has from an earlier time would end earlier.
  if own.flush then
    own.flush()
  end
  local keys = ngx.get_phase() == "init_worker" and {} or shdict_keys.by_reference()
  local failed, reason = 0, nil
  for _, reference in ipairs(references) do
    local found, err = fetch(own, reference, is_ours(reference) and keys[reference])
    if not found then
      failed, reason = failed + 1, reason or err
    end
  end
  if failed > 0 and ngx.get_phase() ~= "init_worker" then
    local text = "kong.vault: Kong's own functions return the previous value, or none, for "
    ngx.log(ngx.WARN, text, failed, " of ", #references, " references, the first: ", tostring(reason))
  end
end

return _M
