-- Texts with references inside, such as "Bearer {vault://hcv/api/token}".

local refs = require "kong.vault.refs"
local resolve = require "kong.vault.resolve"

local find, sub = string.find, string.sub

local START, END = "{vault://", "}"

local _M = {}

-- Splits a text: what is no reference stands at the odd places of the list, a reference at each even one. A reference ends at
-- the first `}`. Returns nil and what is wrong, which names a place and quotes nothing.
function _M.split(text)
  local pieces, from = {}, 1
  while true do
    local start = find(text, START, from, true)
    if not start then
      pieces[#pieces + 1] = sub(text, from)
      return pieces
    end
    local stop = find(text, END, start, true)
    if not stop then
      return nil, ("the reference at character %d does not end: add a %q"):format(start, END)
    end
    pieces[#pieces + 1] = sub(text, from, start - 1)
    pieces[#pieces + 1] = sub(text, start, stop)
    from = stop + 1
  end
end

-- Puts the values that `get(reference)` returns in the place of references. Returns the text; or nil, why one has no value, and
-- that one, if it is known.
function _M.fill(text, get)
  if not find(text, START, 1, true) then
    return text
  end
  local pieces, err = _M.split(text)
  if not pieces then
    return nil, err
  end
  for place = 2, #pieces, 2 do
    local reference = pieces[place]
    local value
    value, err = get(reference)
    if value == nil then
      return nil, err, reference
    end
    pieces[place] = value
  end
  return table.concat(pieces)
end

-- Does the same for a text with several references, whose fetches go on side by side. `get`: the way to values that are cached.
function _M.interpolate(text, get)
  local first = find(text, START, 1, true)
  if not (first and find(text, START, first + 1, true)) then
    return _M.fill(text, get)
  end
  local pieces, err = _M.split(text)
  if not pieces then
    return nil, err
  end
  local values, errors = resolve.values(refs.find(pieces))
  return _M.fill(text, function(reference)
    return values[reference], errors[reference]
  end)
end

return _M
