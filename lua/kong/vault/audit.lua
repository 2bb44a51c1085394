-- Has the audit log note look-ups, with what is known of whoever made them. It costs a look-up that the first-level cache answers
-- nothing: where those are to be noted as well, nothing is kept in that cache.

local native = require "kong.vault.native"
local phase = require "kong.vault.phase"

local ngx = ngx
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

-- Returns the server and the location of a request. An nginx variable `vault_audit_location`, where there is one, names the
-- location; otherwise the path does.
local function place()
  local var = ngx.var
  local location = var.vault_audit_location
  -- Where only other locations set it, it is empty here.
  if not location or location == "" then
    location = var.uri
  end
  return var.server_name, location, var.request_id
end

local function context(now, config)
  if not now or WITHOUT_REQUEST[now] then
    return
  end
  local plugin, id, route, service, request_id
  if of_kong then
    plugin, id, route, service, request_id = of_kong(config)
  end
  local server, location, request
  if not CONNECTION[now] and not route then
    server, location, request = place()
  end
  return plugin, id, route, service, server, location, request_id or request
end

local function note(reference, served, config)
  local now = ngx and ngx.get_phase and ngx.get_phase()
  local done, plugin, id, route, service, server, location, request_id = pcall(context, now, config)
  if not done then
    plugin = nil
  end
  native.audit_read(reference, served, now or "command", plugin, id, route, service, server, location, request_id)
  if phase.wait_mode() == phase.INLINE then
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
