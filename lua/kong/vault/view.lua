-- Read-only views of tables, whose references are resolved as they are read. A view keeps no value.

local missing = require "kong.vault.missing"
local refs = require "kong.vault.refs"
local text = require "kong.vault.text"

local _M = {}

-- The view of each table: there is one at a time, and a table may contain itself. Values are weak too, as a view holds its
-- table.
local views = setmetatable({}, { __mode = "kv" })

-- The last warning about each text: views may be made for each request. `MOST` bounds how many are remembered.
local warned, count = {}, 0
local MOST = 4096

local function warn(config, key, reference, err)
  local place = config[key]
  if warned[place] == nil then
    if count >= MOST then
      warned, count = {}, 0
    end
    count = count + 1
  end
  missing.warn(warned, place, reference or "{vault://", err)
end

local function is_over(place)
  if count > 0 and warned[place] then
    warned[place] = nil
    count = count - 1
  end
end

-- Returns a field; or nil, why its text has no value, and the reference.
local function read(config, key, get)
  local value = config[key]
  if type(value) == "table" then
    return _M.new(value, get)
  elseif refs.has_reference(value) then
    return text.interpolate(value, get)
  end
  return value
end

local function make(config, get)
  local function index(_, key)
    local value, err, reference = read(config, key, get)
    if err then
      warn(config, key, reference, err)
    else
      is_over(config[key])
    end
    return value
  end
  return setmetatable({}, {
    __index = index,
    __call = function(_, key)
      local value, err = read(config, key, get)
      return value, err
    end,
    __newindex = function(_, key)
      error(("field %s cannot be set: this is a read-only view"):format(tostring(key)), 2)
    end,
    -- LuaJIT asks for these where it is built with what Lua 5.2 has.
    __len = function()
      return #config
    end,
    __pairs = function(view)
      return function(_, key)
        local following = next(config, key)
        if following ~= nil then
          return following, index(view, following)
        end
      end,
        view,
        nil
    end,
    __ipairs = function(view)
      return function(_, place)
        if config[place + 1] ~= nil then
          return place + 1, index(view, place + 1)
        end
      end,
        view,
        0
    end,
    -- So that nobody takes the table with the references for the one with the values.
    __metatable = false,
  })
end

-- Returns the view of a table. `get(reference)` returns the value of a reference.
function _M.new(config, get)
  local view = views[config]
  if not view then
    view = make(config, get)
    views[config] = view
  end
  return view
end

return _M
