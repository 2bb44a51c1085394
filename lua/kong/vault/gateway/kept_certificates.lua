-- Replaces cached certificates whose secrets were rotated: for a Kong that caches certificates with the values of their
-- references, and would serve the old ones until it forgets them.

local capabilities = require "kong.vault.gateway.capabilities"
local native = require "kong.vault.native"
local resolve = require "kong.vault.resolve"
local rows = require "kong.vault.gateway.rows"
local timer = require "kong.vault.timer"
local refs = require "kong.vault.refs"

local ngx = ngx

-- Seconds between two comparisons; and between two readings of the certificates from the database, in case no event announced a
-- change: while some hold references, and while none does.
local SOON, LATE, LATER = 1, 60, 300

-- How many certificates are looked at before requests get a turn.
local AT_ONCE = 50

local _M = {}

-- The certificates that hold references, each `{ id, fields = { field = reference } }`; when they were read; whether Kong caches
-- certificates with values (nil: not known yet); and the place of the certificate that was last tried to find that out.
local watched, read_at, keeps, asked = {}, nil, nil, 0

-- Seconds to the next comparison. They grow while Kong has no certificate to try.
local pause = SOON

-- Reads the certificates that hold references to vaults that the library knows.
local function read(kong)
  local list = {}
  for _, row in ipairs(rows.all(kong.db.certificates)) do
    local fields = {}
    for name, value in pairs(row) do
      if refs.is_reference(value) and not native.vm:names_no_vault(value) then
        fields[name] = value
      end
    end
    if next(fields) then
      list[#list + 1] = { id = row.id, fields = fields }
    end
  end
  return list
end

-- Whether Kong caches a certificate with values: then it returns the same table twice. A Kong that resolves references at each
-- handshake makes a new one each time. nil: Kong cannot read this certificate.
local function is_kept(id)
  local get = require("kong.runloop.certificate").get_certificate
  local key = { id = id }
  local one, two = get(key), get(key)
  if one ~= nil and two ~= nil then
    return one == two
  end
end

-- Whether a row is as it stands in the database, with the references themselves.
local function is_as_written(row, fields)
  for name in pairs(fields) do
    if refs.is_reference(row[name]) then
      return true
    end
  end
  return false
end

-- Returns the key under which Kong caches a certificate, and the row there; nil where it caches none.
local function kept(kong, certificate)
  local id = certificate.id
  for _, key in ipairs({ "certificates:" .. id, kong.db.certificates:cache_key(id) }) do
    local _, _, row = kong.core_cache:probe(key)
    if type(row) == "table" and not is_as_written(row, certificate.fields) then
      return key, row
    end
  end
end

-- Returns the present values of a certificate's fields, or nil where one has no value.
local function values_of(fields)
  local values = {}
  for name, reference in pairs(fields) do
    values[name] = native.vm:cached(reference)
    if values[name] == nil then
      return nil
    end
  end
  return values
end

local function differs(row, values)
  for name, value in pairs(values) do
    if row[name] ~= value then
      return true
    end
  end
  return false
end

-- Returns the watched certificates that Kong caches, each `{ certificate, key, row }`, and all their references.
local function all_kept(kong)
  local list, references = {}, {}
  for i, certificate in ipairs(watched) do
    local key, row = kept(kong, certificate)
    if key then
      list[#list + 1] = { certificate = certificate, key = key, row = row }
      for _, reference in pairs(certificate.fields) do
        references[#references + 1] = reference
      end
    end
    if i % AT_ONCE == 0 then
      ngx.sleep(0)
    end
  end
  return list, references
end

local function put_right(kong, entry)
  local values = values_of(entry.certificate.fields)
  if not values or not differs(entry.row, values) then
    return
  end
  for name, value in pairs(values) do
    entry.row[name] = value
  end
  local cache = kong.core_cache
  cache:invalidate_local(entry.key)
  -- With the row in place, no handshake waits for the database, nor for Kong's own `get`, which may have an older value cached.
  if cache:safe_set(entry.key, entry.row) then
    local _, _, found = cache:probe(entry.key)
    if type(found) ~= "table" or differs(found, values) then
      cache:invalidate_local(entry.key)
    end
  end
end

-- Returns the certificates whose row differs from the values of this worker, with those values fetched again. The row is shared
-- by all workers, and another worker may have written newer values: a row is replaced only by values fetched after it was read.
local function renewed(list)
  local since, other, references = resolve.clock(), {}, {}
  for _, entry in ipairs(list) do
    local values = values_of(entry.certificate.fields)
    if values and differs(entry.row, values) then
      other[#other + 1] = entry
      for _, reference in pairs(entry.certificate.fields) do
        references[#references + 1] = reference
      end
    end
  end
  return #other > 0 and resolve.renew(references, since) == 0 and other or {}
end

local function compare(kong)
  if not read_at or ngx.now() - read_at >= (#watched > 0 and LATE or LATER) then
    -- Noted before reading: a change that is announced while they are read may not be among them.
    read_at = ngx.now()
    local done, found = pcall(read, kong)
    if not done then
      read_at = nil
      error(found, 0)
    end
    watched = found
  end
  -- One certificate at a time: each that Kong cannot read costs it a query.
  if keeps == nil and #watched > 0 then
    asked = asked % #watched + 1
    keeps = is_kept(watched[asked].id)
    pause = keeps == nil and math.min(2 * pause, LATE) or SOON
  end
  if not keeps then
    return
  end
  local list, references = all_kept(kong)
  resolve.all(references)
  for _, entry in ipairs(renewed(list)) do
    put_right(kong, entry)
  end
end

-- Whether the last comparison failed. That is logged once.
local failed = false

local look_later
look_later = timer.new(function(premature)
  if premature or keeps == false then
    return
  end
  local done, err = pcall(compare, rawget(_G, "kong"))
  if not done and not failed then
    ngx.log(ngx.WARN, "kong.vault: cannot compare certificates with their secrets: ", err)
  end
  failed = not done
  if keeps ~= false then
    look_later(pause)
  end
end)

--- Compares cached certificates with their secrets from now on, in this worker. For init_worker, once.
function _M.follow(kong)
  if not (kong.core_cache and kong.db and kong.db.certificates) then
    return
  end
  -- Sets the timer as well, in case nginx has dropped it.
  local function forget()
    read_at, pause = nil, SOON
    if keeps ~= false then
      look_later(SOON)
    end
  end
  kong.worker_events.register(forget, "crud", "certificates")
  for _, event in ipairs(capabilities.REPLACEMENTS) do
    kong.worker_events.register(forget, "declarative", event)
  end
  look_later(SOON)
end

return _M
