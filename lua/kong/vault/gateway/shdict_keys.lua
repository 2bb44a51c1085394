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

-- What Kong keeps for a look-up that failed.
local FAILED = "\0"

-- Where an entry is kept that somebody has taken out: several workers do so at the same time, and one of them that finds
-- nothing and fails would leave a failure in its place. In seconds, how long; longer than a hand-over takes.
local BEFORE, KEPT = OURS .. "before:", 600

--- Takes entries out of the dictionary. Returns a function that puts those back in whose place there is nothing, or a
--- failure, for the time that they had left.
function _M.take(keys)
  local dict = dictionary()
  for _, key in ipairs(keys) do
    local value, left = dict:get(key), dict:ttl(key)
    if value ~= nil and value ~= FAILED then
      -- Its flags are the seconds that the entry had left; none: it has no end.
      local seconds = left and left > 0 and math.ceil(left) or 0
      dict:set(BEFORE .. key, value, seconds > 0 and math.min(seconds, KEPT) or KEPT, seconds)
    end
    dict:delete(key)
  end
  return function()
    for _, key in ipairs(keys) do
      local value = dict:get(key)
      if value == nil or value == FAILED then
        local before, flags = dict:get(BEFORE .. key)
        if before ~= nil then
          dict:set(key, before, flags or 0)
        end
      end
    end
  end
end

return _M
