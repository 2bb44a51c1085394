-- Recognises references, and finds them in tables.

local clear = require "table.clear"

local byte, sub = string.byte, string.sub

local BRACE = byte "}"

local _M = {}

-- Whether a value looks like a reference: `{vault://` at the start, `}` at the end.
function _M.is_reference(value)
  return type(value) == "string" and sub(value, 1, 9) == "{vault://" and byte(value, -1) == BRACE
end

-- Calls `visit(found, enter)` with a table, and once with each table that a visit hands to `enter`; other values are ignored.
-- Tables may be nested deeper than Lua's stack, and may contain themselves.
function _M.each_table(root, visit)
  local open, count, seen = { root }, 1, { [root] = true }
  local function enter(value)
    if type(value) == "table" and not seen[value] then
      seen[value] = true
      count = count + 1
      open[count] = value
    end
  end
  while count > 0 do
    local found = open[count]
    open[count] = nil
    count = count - 1
    visit(found, enter)
  end
  -- What LuaJIT compiles of this refers to these functions for good, and would keep the tables, with values in them, alive.
  clear(seen)
end

-- Returns the references among the keys and values of a table, at any depth: a list in which each stands once.
function _M.find(input)
  local found, seen = {}, {}
  local function take(value)
    if not seen[value] and _M.is_reference(value) then
      seen[value] = true
      found[#found + 1] = value
    end
  end
  _M.each_table({ input }, function(outer, enter)
    for key, inner in next, outer do
      take(key)
      enter(key)
      take(inner)
      enter(inner)
    end
  end)
  return found
end

-- Returns the references that a table declares in its `$refs`, at any depth: a list in which each stands once.
function _M.declared(config)
  local declared = {}
  if type(config) == "table" then
    _M.each_table(config, function(outer, enter)
      for name, inner in next, outer do
        if name ~= "$refs" then
          enter(inner)
        elseif type(inner) == "table" then
          declared[#declared + 1] = inner
        end
      end
    end)
  end
  return _M.find(declared)
end

return _M
