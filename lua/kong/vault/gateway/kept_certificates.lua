-- Certificates whose secrets are rotated, for Kongs that keep what they made of a certificate: such a Kong serves the old
-- one until it forgets it. Here what Kong has cached is compared with what the references have now, and put right.

local capabilities = require "kong.vault.gateway.capabilities"
local native = require "kong.vault.native"
local resolve = require "kong.vault.resolve"
local rows = require "kong.vault.gateway.rows"
local timer = require "kong.vault.timer"
local refs = require "kong.vault.refs"

local ngx = ngx

-- Seconds between two comparisons, and between two looks for certificates that nobody told of: while some hold references,
-- and while none does.
local SOON, LATE, LATER = 1, 60, 300

-- How many certificates are looked at before requests have a turn.
local AT_ONCE = 50

local _M = {}

-- Certificates that hold references: `{ id, fields = { field = reference } }`; when they were read; whether Kong keeps what
-- it made of one, once that is known; and which one was asked last to find that out.
local watched, read_at, keeps, asked = {}, nil, nil, 0

-- Seconds to the next comparison: longer and longer while no certificate can be had.
local pause = SOON

-- Reads which certificates hold references to vaults of ours.
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
    if refs.is_reference(row[name]) then
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

-- What the fields of a certificate have now, or nil where one can't be had.
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

-- Those of the watched certificates that Kong keeps, `{ certificate, key, row }`, and all their references.
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
  -- With the row in place no handshake has to wait for the database, and Kong's own look-up, which may have a memory of
  -- its own, is not asked.
  if cache:safe_set(entry.key, entry.row) then
    local _, _, found = cache:probe(entry.key)
    if type(found) ~= "table" or differs(found, values) then
      cache:invalidate_local(entry.key)
    end
  end
end

-- Those whose row differs from what this worker has. The row is all workers', and another one may have newer values, so
-- theirs are fetched anew; a row is replaced by what was fetched after it was seen.
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
    -- What is told while they are read may not be among them.
    read_at = ngx.now()
    local done, found = pcall(read, kong)
    if not done then
      read_at = nil
      error(found, 0)
    end
    watched = found
  end
  -- One at a time: each that can't be had costs Kong a query.
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

-- Whether the last comparison failed: said once.
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

--- Has rotated certificates served, in this worker. For init_worker, once.
function _M.follow(kong)
  if not (kong.core_cache and kong.db and kong.db.certificates) then
    return
  end
  -- Also where nginx has dropped the timer.
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
