-- Recognises references, and finds them in tables.

local clear = require "table.clear"

local byte, find, gmatch, sub = string.byte, string.find, string.gmatch, string.sub

local START, BRACE = "{vault://", byte "}"

local _M = {}

-- Whether a value looks like a reference: `{vault://` at the start, `}` at the end.
function _M.is_reference(value)
  return type(value) == "string" and sub(value, 1, 9) == "{vault://" and byte(value, -1) == BRACE
end

-- Whether a value is a text with a reference in it, which may be all of it.
function _M.has_reference(value)
  return type(value) == "string" and find(value, START, 1, true) ~= nil
end

-- Whether a value is a text with a reference in it, and more than that reference. A reference ends at the first `}`.
function _M.is_composed(value)
  return _M.has_reference(value) and (sub(value, 1, #START) ~= START or find(value, "}", 1, true) ~= #value)
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

-- Returns the references among the keys and values of a table, at any depth: a list in which each stands once. `inside`: also
-- those inside texts.
function _M.find(input, inside)
  local found, seen = {}, {}
  local function take(value)
    if inside and _M.is_composed(value) then
      for reference in gmatch(value, "{vault://[^}]*}") do
        if not seen[reference] then
          seen[reference] = true
          found[#found + 1] = reference
        end
      end
    elseif not seen[value] and _M.is_reference(value) then
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

-- Returns the references that a table declares in its `$refs`, at any depth, also those inside texts: a list in which each stands
-- once.
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
  return _M.find(declared, true)
end

return _M
