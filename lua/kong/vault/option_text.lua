-- Converts options to text, as kong.conf has them and the library takes them; and the library's errors to those that Kong
-- expects.

local _M = {}

-- Returns a string, number, boolean or list as text; nil for anything else.
function _M.as_text(value)
  local kind = type(value)
  if kind == "string" then
    return value
  elseif kind == "number" then
    return ("%.14g"):format(value)
  elseif kind == "boolean" then
    return tostring(value)
  elseif kind == "table" and #value > 0 then
    local items = {}
    for i, item in ipairs(value) do
      items[i] = _M.as_text(item)
    end
    return #items == #value and table.concat(items, ",") or nil
  end
end

--- Returns an error of the library without the words around it, for Kong, which puts the same words around each error.
function _M.bare(err)
  return (err:gsub("^could not get value from external vault %(no value found %((.*)%)%)$", "%1"))
end

return _M
