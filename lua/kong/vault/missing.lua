-- Warns of references without a value: once, not for each request.

local native = require "kong.vault.native"

local ngx = ngx

local _M = {}

-- The last warning about each reference.
local warned = {}

-- Warns that a field is left without the value of its reference.
function _M.warn(reference, err)
  if warned[reference] ~= err and ngx and ngx.log then
    warned[reference] = err
    ngx.log(ngx.WARN, "kong.vault: error updating secret reference ", native.name_reference(reference), ": ", err)
  end
end

-- Notes that a reference has a value, so that its next lack is a new one.
function _M.is_over(reference)
  warned[reference] = nil
end

return _M
