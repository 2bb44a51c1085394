-- A fake of nginx's shared dictionary, for several fake workers: with times of expiry, the order of last use, and room for so
-- many bytes of keys and values.

local _M = {}

local Dict = {}

-- Makes a key the last used one.
local function touch(self, key)
  for i, other in ipairs(self.order) do
    if other == key then
      table.remove(self.order, i)
    end
  end
  table.insert(self.order, key)
end

local function size(key, value)
  return #key + (type(value) == "string" and #value or 1)
end

local function entry_of(self, key)
  local entry = self.entries[key]
  if entry and entry.ends and entry.ends <= self.clock.time then
    self:delete(key)
    return nil
  end
  return entry
end

function Dict:get(key)
  local entry = entry_of(self, key)
  if entry then
    touch(self, key)
    return entry.value
  end
end

function Dict:safe_set(key, value, seconds)
  local old = self.entries[key]
  local free = self.free + (old and size(key, old.value) or 0)
  if free < size(key, value) then
    return nil, "no memory"
  end
  self.free = free - size(key, value)
  self.entries[key] = { value = value, ends = seconds and seconds > 0 and self.clock.time + seconds or nil }
  touch(self, key)
  return true
end

-- nginx's own `set` removes other keys where there is no room. Here that is an error, as a spec should not cause it.
function Dict:set(key, value, seconds)
  return assert(self:safe_set(key, value, seconds))
end

function Dict:safe_add(key, value, seconds)
  if entry_of(self, key) then
    return false, "exists"
  end
  return self:safe_set(key, value, seconds)
end

function Dict:replace(key, value, seconds)
  if not entry_of(self, key) then
    return false, "not found"
  end
  return self:safe_set(key, value, seconds)
end

function Dict:delete(key)
  local entry = self.entries[key]
  if entry then
    self.free = self.free + size(key, entry.value)
    self.entries[key] = nil
    for i, other in ipairs(self.order) do
      if other == key then
        table.remove(self.order, i)
      end
    end
  end
end

function Dict:ttl(key)
  local entry = entry_of(self, key)
  if not entry then
    return nil, "not found"
  end
  return entry.ends and entry.ends - self.clock.time or 0
end

-- The least recently used first.
function Dict:get_keys(count)
  local keys = {}
  for _, key in ipairs({ unpack(self.order) }) do
    if entry_of(self, key) and (count == 0 or #keys < count) then
      keys[#keys + 1] = key
    end
  end
  return keys
end

function Dict:free_space()
  return self.free
end

function Dict:capacity()
  return self.bytes
end

--- Makes a dictionary with the clock `clock.time` and room for so many `bytes`.
function _M.new(clock, bytes)
  bytes = bytes or 1024 * 1024
  local dict = { clock = clock, bytes = bytes, free = bytes, entries = {}, order = {} }
  return setmetatable(dict, { __index = Dict })
end

return _M
