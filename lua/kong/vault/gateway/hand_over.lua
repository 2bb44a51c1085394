-- Has Kong's own functions fetch the values that they are to serve again: Kong's `update` only reads what `get` has cached.

local shdict_keys = require "kong.vault.gateway.shdict_keys"
local rows = require "kong.vault.gateway.rows"
local refs = require "kong.vault.refs"

local ngx = ngx

local _M = {}

-- Kong's entities that may hold references.
local HOLDERS = { "plugins", "certificates", "keys" }

-- Returns all references of Kong's entities. Raises an error where those cannot be read.
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

-- Fetches one reference with Kong's `get`. It caches in the worker what it fetches itself, but not an expired entry that it finds
-- in the dictionary, and entries do expire while kong-vault renews the values. Kong would then compute the entry's key for each
-- request, in a buffer that another request may overwrite meanwhile. So each worker takes the entry out and has Kong fetch.
local function fetch(own, reference, keys)
  local put_back = shdict_keys.take(keys or {})
  local done, value, err = pcall(own.get, reference)
  -- Other workers may need the entry, also where this one had the value cached.
  put_back()
  if not done then
    value, err = nil, value
  end
  return value ~= nil, err
end

--- Has Kong's own functions fetch all references of Kong's entities. `own`: Kong's functions; `is_ours`: whether kong-vault has
--- renewed a reference. Phases: those that may wait, and init_worker, in which Kong puts fetches off.
function _M.run(kong, own, is_ours)
  local references = references_of(kong)
  -- Values that the worker still has cached would expire earlier.
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
