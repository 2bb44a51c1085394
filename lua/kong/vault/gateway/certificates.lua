-- Kong keeps a certificate as it was when it was first asked for: one whose secret could not be had then is unreadable to
-- Kong for good. Here such references are looked up again, and Kong forgets what it kept once they have a value.

local native = require "kong.vault.native"
local timer = require "kong.vault.timer"
local refs = require "kong.vault.refs"

local ngx = ngx

-- Seconds between two looks: at first, and at the most.
local SOON, LATE = 2, 60

-- More references than this are not remembered: those that matter are all in Kong's database.
local MOST = 10000

local _M = {}

local lacking, count = {}, 0
local pause = SOON

-- References that no certificate has, and until when they need not be looked for again: plugins lack some as well.
local strange, strangers = {}, 0

local function forget(reference)
  if lacking[reference] then
    lacking[reference] = nil
    count = count - 1
  end
end

local function estrange(reference)
  if strangers >= MOST then
    strange, strangers = {}, 0
  end
  strangers = strangers + (strange[reference] and 0 or 1)
  strange[reference] = ngx.now() + LATE
end

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

-- Reading certificates has Kong look their references up. What was lacking is so until a certificate was forgotten for it:
-- it may come, or the database go away, at any moment meanwhile.
local function forget_recovered(kong)
  local certificates = kong.db.certificates
  local before, named, recovered = {}, {}, {}
  for reference in pairs(lacking) do
    before[#before + 1] = reference
  end
  for certificate, err in certificates:each(nil, { workspace = ngx.null }) do
    if not certificate then
      error(err, 0)
    end
    local references = refs.declared(certificate)
    local is_back = has_recovered(references)
    if is_back then
      kong.core_cache:invalidate_local(certificates:cache_key(certificate.id))
    end
    for _, reference in ipairs(references) do
      named[reference] = true
      recovered[reference] = recovered[reference] or is_back
    end
  end
  for _, reference in ipairs(before) do
    if not named[reference] then
      estrange(reference)
    end
    if not named[reference] or recovered[reference] then
      forget(reference)
    end
  end
end

local look_later
look_later = timer.new(function(premature)
  if premature then
    return
  end
  local done, err = pcall(forget_recovered, rawget(_G, "kong"))
  if not done then
    ngx.log(ngx.WARN, "kong.vault: cannot look for certificates without a secret in Kong's database: ", err)
  end
  pause = count > 0 and math.min(pause * 2, LATE) or SOON
  if count > 0 then
    look_later(pause)
  end
end)

--- Notes a reference that has no value. Kong reads certificates in handshakes, for the upstream's sake in requests, and for
-- health checks in timers; in init it keeps none.
function _M.note(reference)
  if lacking[reference] or count >= MOST or ngx.get_phase() == "init" then
    return
  end
  local known = strange[reference]
  if known and known > ngx.now() then
    return
  end
  lacking[reference] = true
  count = count + 1
  pause = SOON
  look_later(pause)
end

return _M
