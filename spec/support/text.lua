-- What specs ask of texts.

local _M = {}

--- How often `part` stands in `text`, to the letter.
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
