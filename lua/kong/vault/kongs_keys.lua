-- Kong rotates what lies in the shared dictionary `kong_secrets`, and deletes each key there that it can't read for one of
-- its own. It is shown those alone that are its business; everything else it does with the dictionary it does by key.

local ngx = ngx

-- What keys of ours begin with.
local OURS = "kong-vault:"

-- Kong's keys are a hash, a dot, and the reference.
local HASH = 22

local _M = {}

local is_hidden

--- Has keys of certain references hidden as well: those whose values we renew. nil: none.
function _M.hide(predicate)
  is_hidden = predicate
end

local function is_shown(key)
  if key:sub(1, #OURS) == OURS then
    return false
  end
  return not (is_hidden and is_hidden(key:sub(HASH + 2)))
end

local function dictionary()
  return ngx and ngx.shared and ngx.shared.kong_secrets
end

-- The dictionary's own `get_keys`.
local get_keys

--- Once for each VM.
function _M.guard()
  local dict = dictionary()
  if not dict or rawget(dict, "get_keys") then
    return
  end
  get_keys = dict.get_keys
  rawset(dict, "get_keys", function(self, count)
    local keys = {}
    for _, key in ipairs(get_keys(self, count)) do
      if is_shown(key) then
        keys[#keys + 1] = key
      end
    end
    return keys
  end)
end

--- The keys of Kong's own entries: lists, by reference.
function _M.by_reference()
  local found = {}
  for _, key in ipairs(get_keys and get_keys(dictionary(), 0) or {}) do
    if key:sub(1, #OURS) ~= OURS then
      local reference = key:sub(HASH + 2)
      found[reference] = found[reference] or {}
      table.insert(found[reference], key)
    end
  end
  return found
end

--- Takes entries out of the dictionary. Returns a function that puts those back that are not there again, for the time that
--- they had left; `over`: all of them.
function _M.take(keys)
  local dict, taken = dictionary(), {}
  for _, key in ipairs(keys) do
    local value, left = dict:get(key), dict:ttl(key)
    if value ~= nil then
      taken[#taken + 1] = { key, value, left or 0 }
      dict:delete(key)
    end
  end
  return function(over)
    for _, entry in ipairs(taken) do
      local put = over and dict.set or dict.add
      put(dict, unpack(entry))
    end
  end
end

return _M
