-- Kong keeps a certificate as it was when it was first asked for: one whose secret could not be had then is unreadable to
-- Kong for good. Here such references are looked up again, and Kong forgets what it kept once they have a value.

local native = require "kong.vault.native"
local walk = require "kong.vault.walk"

local ngx = ngx

-- Seconds between two looks: at first, and at the most.
local SOON, LATE = 2, 60

-- More references than this are not remembered: a handshake can't name any, so they are all in Kong's database.
local MOST = 10000

local _M = {}

local lacking, count = {}, 0
local pause = SOON
local waiting = false

-- Whether one of these was lacking, and none is any more.
local function has_recovered(references)
  local was_lacking = false
  for _, reference in ipairs(references) do
    was_lacking = was_lacking or lacking[reference] ~= nil
    if not native.vm:cached(reference) then
      return false
    end
  end
  return was_lacking
end

-- Reading certificates has Kong look their references up.
local function forget_recovered(kong)
  local certificates = kong.db.certificates
  for certificate in certificates:each(nil, { workspace = ngx.null }) do
    if has_recovered(walk.refs(certificate)) then
      kong.core_cache:invalidate_local(certificates:cache_key(certificate.id))
    end
  end
end

local look

local function look_later()
  if not waiting then
    waiting = ngx.timer.at(pause, look) and true or false
  end
end

function look(premature)
  waiting = false
  if premature then
    return
  end
  local done, err = pcall(forget_recovered, rawget(_G, "kong"))
  if not done then
    ngx.log(ngx.WARN, "kong.vault: certificates without a secret can't be looked for in Kong's database: ", err)
  end
  for reference in pairs(lacking) do
    if native.vm:cached(reference) then
      lacking[reference] = nil
      count = count - 1
    end
  end
  pause = count > 0 and math.min(pause * 2, LATE) or SOON
  if count > 0 then
    look_later()
  end
end

--- Notes a reference that has no value. Only handshakes concern us.
function _M.note(reference)
  if ngx.get_phase() ~= "ssl_cert" or lacking[reference] or count >= MOST then
    return
  end
  lacking[reference] = true
  count = count + 1
  pause = SOON
  look_later()
end

return _M
