-- Has the audit log note look-ups, with what is known of whoever made them. It costs a look-up that the first-level cache answers
-- nothing: where those are to be noted as well, `get` finds no copies there, and resolve.lua has them.

local native = require "kong.vault.native"

local ngx = ngx
local get_phase = ngx and ngx.get_phase
local pcall = pcall

local _M = {}

-- nil: not asked yet; false: no look-up is noted.
local is_on
local notes_all = false

-- Phases in which there is no request.
local WITHOUT_REQUEST = { exit_worker = true, init = true, init_worker = true, timer = true }

-- Phases in which there is a connection, but nothing of HTTP.
local CONNECTION = {
  preread = true,
  ssl_cert = true,
  ssl_client_hello = true,
  ssl_session_fetch = true,
  ssl_session_store = true,
}

-- In Kong: returns the names of the plugin that runs, of the route and of the service, and the request's id.
local of_kong

--- Sets the function that knows Kong's context; it is handed the table that is brought up to date, if one is.
function _M.set_context(context)
  of_kong = context
end

local function ask()
  local all = native.vm.audits_all_reads and native.vm:audits_all_reads()
  is_on, notes_all = all ~= nil, all == true
  return is_on
end

--- Whether all look-ups are noted.
function _M.notes_all()
  if is_on == nil then
    ask()
  end
  return notes_all
end

-- Whether nginx's configuration has the variable `vault_audit_location` anywhere; nil: not known yet. To ask for one that it does
-- not have costs more than any other: nginx compares the name with each prefix that variables may have.
local has_location

local function forget_location()
  ngx.var.vault_audit_location = nil
end

-- Returns the server and the location of a request. An nginx variable `vault_audit_location`, where there is one, names the
-- location; otherwise the path does. The request's id is left out: nginx makes another one each time that it is asked for it,
-- unless its configuration names it.
local function place()
  local var = ngx.var
  local location
  if has_location ~= false then
    location = var.vault_audit_location
    if location == nil and has_location == nil then
      -- It may be one that only some requests have. A variable that is nowhere can't be set.
      local done, err = pcall(forget_location)
      has_location = done or not err:find("not found for writing", 1, true)
    end
  end
  -- Where only other locations set it, it is empty here.
  if not location or location == "" then
    location = var.uri
  end
  return var.server_name, location
end

local function note_request(now, reference, served, config)
  local plugin, id, route, service, request, server, location
  if of_kong then
    plugin, id, route, service, request = of_kong(config)
  end
  if not CONNECTION[now] and not route then
    server, location = place()
  end
  native.audit_read(reference, served, now, plugin, id, route, service, server, location, request)
end

local function note(reference, served, config)
  local now = get_phase and get_phase()
  -- Where something of the request can't be read, the rest is noted.
  if not now or WITHOUT_REQUEST[now] or not pcall(note_request, now, reference, served, config) then
    native.audit_read(reference, served, now or "command")
  end
  if not now or now == "init" then
    native.vm:flush_audit()
  end
end

--- Notes that a reference was looked up; `value` is what the look-up returned, `config` the table that it was for, if any.
function _M.read(reference, value, config)
  if is_on == false or (is_on == nil and not ask()) then
    return
  end
  note(reference, value ~= nil, config)
end

return _M
