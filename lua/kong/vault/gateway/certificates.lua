-- Kong caches a certificate as it is when it is first needed. If its secret had no value then, it stays unreadable to Kong. This
-- module looks such references up again, and has Kong forget the certificate once they have values.

local native = require "kong.vault.native"
local timer = require "kong.vault.timer"
local refs = require "kong.vault.refs"

local ngx = ngx

-- Seconds between two look-ups: at first, and at most.
local SOON, LATE = 2, 60

-- How many references are remembered. There may be more, as plugins have some as well; those of certificates are in Kong's
-- database.
local MOST = 10000

local _M = {}

local lacking, count = {}, 0
local pause = SOON

-- References without a value that no certificate has, each with the time until which it is ignored.
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

-- Whether one of these references had no value, and all have one now.
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

-- Has Kong forget the certificates whose references have values again. A reference counts as lacking until its certificate was
-- forgotten: during this function, its value may come, and the database may fail, at any time. Reading certificates has Kong
-- resolve their references, which notes those that have no value.
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

--- Notes a reference that has no value, in any phase but init. Kong reads certificates in handshakes, in requests (for
-- upstreams), and in timers (for health checks); in init it caches none.
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
