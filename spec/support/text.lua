-- Functions on texts, for specs.

local _M = {}

--- Returns how often `part` stands in `text`, taken literally.
function _M.occurrences(text, part)
  local found, at = 0, 1
  while true do
    local first, last = text:find(part, at, true)
    if not first then
      return found
    end
    found, at = found + 1, last + 1
  end
end

return _M
