-- Kong's view of the keys in the shared dictionary `kong_secrets`. Kong lists the keys to rotate its values, and deletes each
-- that is not its own. So its `get_keys` returns only keys of its own. All other access is by key, and needs no change.

local ngx = ngx

-- What kong-vault's keys begin with.
local OURS = "kong-vault:"

-- The length of the hash in Kong's keys, which are a hash, a dot, and a reference.
local HASH = 22

local _M = {}

local is_hidden

--- Hides Kong's keys of certain references as well: those whose values kong-vault renews. nil: hides none.
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

-- The dictionary's own function.
local get_keys

--- Replaces the dictionary's `get_keys`, once in each Lua VM.
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

--- Returns Kong's keys, as lists by reference.
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

-- The value that Kong stores for a failed look-up.
local FAILED = "\0"

-- The prefix for entries that a worker has taken out, and for how many seconds they are kept: longer than a hand-over takes.
-- Several workers take entries out at the same time. A worker that finds none and fails leaves a failure in its place, which
-- must not replace what another has taken out.
local BEFORE, KEPT = OURS .. "before:", 600

--- Takes entries out of the dictionary. Returns a function that puts each back for the time that it had left, unless there is a
--- value in its place by then.
function _M.take(keys)
  local dict = dictionary()
  for _, key in ipairs(keys) do
    local value, left = dict:get(key), dict:ttl(key)
    if value ~= nil and value ~= FAILED then
      -- The flags hold the seconds that the entry had left; 0: no end.
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
