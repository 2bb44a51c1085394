-- Read-only views of tables, whose references are resolved as they are read.

local missing = require "kong.vault.missing"
local text = require "kong.vault.text"

local _M = {}

-- The view of each table: it is made once, and a table may contain itself. Values are weak too, as a view holds its table.
local views = setmetatable({}, { __mode = "kv" })

-- Returns a field; or nil, why its text has no value, and the reference.
local function read(config, key)
  local value = config[key]
  if type(value) == "table" then
    return _M.new(value)
  elseif text.has_reference(value) then
    return text.interpolate(value)
  end
  return value
end

-- Returns the view of a table.
function _M.new(config)
  local view = views[config]
  if not view then
    view = setmetatable({}, {
      __index = function(_, key)
        local value, err, reference = read(config, key)
        if err then
          missing.warn(reference or tostring(key), err)
        end
        return value
      end,
      __call = function(_, key)
        local value, err = read(config, key)
        return value, err
      end,
      __newindex = function(_, key)
        error(("field %s cannot be set: this is a read-only view"):format(tostring(key)), 2)
      end,
      -- So that nobody takes the table with the references for the one with the values.
      __metatable = false,
    })
    views[config] = view
  end
  return view
end

return _M
