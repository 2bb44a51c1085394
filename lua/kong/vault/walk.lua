-- Finds references in tables.

local byte, sub = string.byte, string.sub

local BRACE = byte "}"

local _M = {}

-- Whether a value looks like a reference: `{vault://` at the start, `}` at the end.
function _M.is_reference(value)
  return type(value) == "string" and sub(value, 1, 9) == "{vault://" and byte(value, -1) == BRACE
end

-- All different references among the keys and values of a table, at any depth, as a list.
function _M.references(input)
  local found, seen = {}, {}
  local function visit(value)
    if seen[value] then
      return
    end
    if type(value) == "table" then
      seen[value] = true
      for key, inner in next, value do
        visit(key)
        visit(inner)
      end
    elseif _M.is_reference(value) then
      seen[value] = true
      found[#found + 1] = value
    end
  end
  visit(input)
  return found
end

-- All different references in the `$refs` of a table, at any depth, as a list.
function _M.refs(config)
  local refs, seen = {}, {}
  local function visit(value)
    if seen[value] then
      return
    end
    seen[value] = true
    for name, inner in next, value do
      if type(inner) == "table" then
        if name == "$refs" then
          refs[#refs + 1] = inner
        else
          visit(inner)
        end
      end
    end
  end
  if type(config) == "table" then
    visit(config)
  end
  return _M.references(refs)
end

return _M
