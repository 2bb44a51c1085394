-- Certificates whose secrets are rotated, for Kongs that keep what they made of a certificate: such a Kong serves the old
-- one until it forgets it. Here what Kong has cached is compared with what the references have now, and put right.

local capabilities = require "kong.vault.gateway.capabilities"
local native = require "kong.vault.native"
local resolve = require "kong.vault.resolve"
local timer = require "kong.vault.timer"
local walk = require "kong.vault.walk"

local ngx = ngx

-- Seconds between two comparisons, and between two looks for certificates that nobody told of: while some hold references,
-- and while none does.
local SOON, LATE, LATER = 1, 60, 300

local AS_WRITTEN = { workspace = ngx.null, nulls = true }

local _M = {}

-- Certificates that hold references: `{ id, fields = { field = reference } }`; when they were read; whether Kong keeps what
-- it made of one, once that is known; and which one was asked last to find that out.
local watched, read_at, keeps, asked = {}, nil, nil, 0

-- Reads which certificates hold references to vaults of ours.
local function read(kong)
  local list = {}
  for row, err in kong.db.certificates:each(nil, AS_WRITTEN) do
    if not row then
      error(err, 0)
    end
    local fields = {}
    for name, value in pairs(row) do
      if walk.is_reference(value) and not native.vm:names_no_vault(value) then
        fields[name] = value
      end
    end
    if next(fields) then
      list[#list + 1] = { id = row.id, fields = fields }
    end
  end
  return list
end

-- A Kong that looks references up at each handshake makes the certificate anew each time it is asked; one that keeps it
-- answers with the same table.
local function is_kept(id)
  local get = require("kong.runloop.certificate").get_certificate
  local key = { id = id }
  local one, two = get(key), get(key)
  if one ~= nil and two ~= nil then
    return one == two
  end
end

-- Whether a row is the database's own: it holds the references themselves.
local function is_as_written(row, fields)
  for name in pairs(fields) do
    if walk.is_reference(row[name]) then
      return true
    end
  end
  return false
end

-- Kong's key of what it keeps of a certificate, and the row that it was made from; nil where it keeps nothing.
local function kept(kong, certificate)
  local id = certificate.id
  for _, key in ipairs({ "certificates:" .. id, kong.db.certificates:cache_key(id) }) do
    local _, _, row = kong.core_cache:probe(key)
    if type(row) == "table" and not is_as_written(row, certificate.fields) then
      return key, row
    end
  end
end

-- Puts the fields' values into a row. Returns whether it had others; false where one can't be had.
local function renew(row, fields)
  local values, is_other = {}, false
  for name, reference in pairs(fields) do
    values[name] = native.vm:cached(reference)
    if values[name] == nil then
      return false
    end
    is_other = is_other or row[name] ~= values[name]
  end
  for name, value in pairs(values) do
    row[name] = value
  end
  return is_other
end

local function put_right(kong, certificate)
  local key, row = kept(kong, certificate)
  if not key or not renew(row, certificate.fields) then
    return
  end
  local cache = kong.core_cache
  cache:invalidate_local(key)
  -- With the row in place no handshake has to wait for the database, and Kong's own look-up, which may have a memory of
  -- its own, is not asked.
  if cache.safe_set and cache:safe_set(key, row) then
    local _, _, found = cache:probe(key)
    if type(found) ~= "table" or renew(found, certificate.fields) then
      cache:invalidate_local(key)
    end
  end
end

local function compare(kong)
  if not read_at or ngx.now() - read_at >= (#watched > 0 and LATE or LATER) then
    watched = read(kong)
    read_at = ngx.now()
  end
  -- One at a time: each that can't be had costs Kong a query.
  if keeps == nil and #watched > 0 then
    asked = asked % #watched + 1
    keeps = is_kept(watched[asked].id)
  end
  if not keeps then
    return
  end
  local references = {}
  for _, certificate in ipairs(watched) do
    for _, reference in pairs(kept(kong, certificate) and certificate.fields or {}) do
      references[#references + 1] = reference
    end
  end
  resolve.all(references)
  for _, certificate in ipairs(watched) do
    put_right(kong, certificate)
  end
end

-- Whether the last comparison failed: said once.
local failed = false

local look_later
look_later = timer.new(function(premature)
  if premature or keeps == false then
    return
  end
  local done, err = pcall(compare, rawget(_G, "kong"))
  if not done and not failed then
    ngx.log(ngx.WARN, "kong.vault: certificates can't be compared with their secrets: ", err)
  end
  failed = not done
  if keeps ~= false then
    look_later(SOON)
  end
end)

--- Has rotated certificates served, in this worker. For init_worker, once.
function _M.follow(kong)
  if not (kong.core_cache and kong.db and kong.db.certificates) then
    return
  end
  local function forget()
    read_at = nil
  end
  kong.worker_events.register(forget, "crud", "certificates")
  for _, event in ipairs(capabilities.REPLACEMENTS) do
    kong.worker_events.register(forget, "declarative", event)
  end
  look_later(SOON)
end

return _M
