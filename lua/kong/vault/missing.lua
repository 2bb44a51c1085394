-- Warns of references without a value: once for each reason, not for each request.

local native = require "kong.vault.native"

local ngx = ngx

local _M = {}

-- Warns that `place` is left without the value of `reference`, unless `warned` has the same reason for that place.
function _M.warn(warned, place, reference, err)
  if warned[place] ~= err and ngx and ngx.log then
    warned[place] = err
    ngx.log(ngx.WARN, "kong.vault: error updating secret reference ", native.name_reference(reference), ": ", err)
  end
end

return _M
