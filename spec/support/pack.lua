-- Encodes lists of any values, including nil, as JSON.

local cjson = require "cjson"

local _M = {}

function _M.encode(...)
  local packed = { n = select("#", ...) }
  for i = 1, packed.n do
    packed[tostring(i)] = (select(i, ...))
  end
  return cjson.encode(packed)
end

function _M.decode(text)
  local packed, list = cjson.decode(text), {}
  for i = 1, packed.n do
    list[i] = packed[tostring(i)]
    if list[i] == cjson.null then
      list[i] = nil
    end
  end
  return unpack(list, 1, packed.n)
end

return _M
