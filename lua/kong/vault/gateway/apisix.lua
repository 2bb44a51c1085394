-- What APISIX loads as the secret manager `kong-vault`, for `$secret://kong-vault/ID/NAME/FIELD`. ID is one of APISIX's secrets:
-- `{ BACKEND = options }`, which are those of a vault entity, or `{}`, where the ID is the name of a vault that is configured
-- elsewhere. APISIX requires this module by name, calls `get`, and checks its secrets by `schema`.

local json_schema = require "kong.vault.gateway.json_schema"

local ngx = ngx

local _M = {}

-- How the ids of APISIX's secrets begin that belong to this manager.
local MANAGER = "kong-vault/"

local PLACE = "APISIX's secrets"

-- APISIX does not say why a manager cannot be loaded. So this one can be, and says it.
local UNLOADABLE = "cannot load kong-vault: see the log when APISIX started"

local loaded, vault = pcall(require, "kong.vault")
local native = loaded and require "kong.vault.native"

if not loaded then
  ngx.log(ngx.ERR, "kong-vault is disabled: ", vault)
  _M.schema = { type = "object" }
else
  _M.schema = json_schema.secret(native)
end

-- Returns the name under which the library knows the vault of a secret. Ids may have any characters but `/`, names only
-- lower-case letters, digits and dashes. An id that has others, or two dashes in a row, is escaped, so that no two ids have one
-- name.
local function vault_name(id)
  if not id:find "^[a-z0-9-]*[a-z0-9]$" or id:find("--", 1, true) then
    id = id:gsub("[^a-z0-9]", function(character)
      return ("--%02x"):format(character:byte())
    end)
  end
  return "apisix-" .. id
end

-- Resolves APISIX's own references to variables, as its managers do. Returns the value, or nil and why there is none.
local function resolve_variable(option, value)
  if value:sub(1, 7):lower() ~= "$env://" then
    return value
  end
  local found = require("apisix.core.env").fetch_by_uri(value)
  if type(found) ~= "string" then
    return nil,
      ("config.%s: there is no environment variable for %s: set it, and list it in nginx_config.envs"):format(
        option,
        value
      )
  end
  return found
end

-- Returns the backend that a secret of APISIX has options for; nil where it has none.
local function backend_of(secret)
  for _, backend in ipairs(native.backends) do
    if type(secret[backend]) == "table" then
      return backend
    end
  end
end

-- Returns a secret of APISIX as a vault entity, or nil and what is wrong with it.
local function entity_of(name, secret)
  local backend, config = backend_of(secret), {}
  for option, value in pairs(secret[backend]) do
    if type(value) == "string" then
      local err
      value, err = resolve_variable(option, value)
      if not value then
        return nil, ("vault %s of %s: %s"):format(name, PLACE, err)
      end
    end
    if value ~= ngx.null and not (type(value) == "table" and #value == 0) then
      config[option] = value
    end
  end
  return { prefix = name, name = backend, config = next(config) and config or nil }
end

-- The secrets that the library has, by id; the errors of others, likewise; and the version of APISIX's list of them.
local taken, wrong, version = {}, {}, nil

-- Returns APISIX's secrets, and the version of that list, which changes with any of them; nothing before there is a list.
local function listed()
  local secrets = package.loaded["apisix.secret"]
  if type(secrets) == "table" and secrets.secrets then
    return secrets.secrets()
  end
end

-- Hands all secrets of this manager to the library, as they are now.
local function take_all(secret, list, now)
  local all = {}
  for _, item in ipairs(list or {}) do
    local other = type(item) == "table" and item.value
    if type(other) == "table" and tostring(other.id):sub(1, #MANAGER) == MANAGER and backend_of(other) then
      all[other.id] = other
    end
  end
  if not list then
    for id, other in pairs(taken) do
      all[id] = other
    end
  end
  all[secret.id] = secret
  local entities = {}
  wrong = {}
  for id, other in pairs(all) do
    local entity
    entity, wrong[id] = entity_of(vault_name(id:sub(#MANAGER + 1)), other)
    entities[#entities + 1] = entity
  end
  local json = #entities == 0 and "[]" or require("cjson.safe").encode(entities)
  local ok, err = native.vm:replace_entities(json, PLACE)
  if ok == nil then
    return nil, err
  end
  taken, version = all, now
  return true
end

-- Returns the name of the vault that a secret of APISIX describes, or nil and what is wrong with it.
local function vault_of(secret)
  local id = type(secret.id) == "string" and secret.id:match "^kong%-vault/(.+)$"
  if not id then
    return nil, "the secret has no id that begins with " .. MANAGER
  elseif not backend_of(secret) then
    return id
  end
  local list, now = listed()
  -- APISIX makes a new table of a secret that changes.
  if taken[secret.id] ~= secret or version ~= now then
    local ok, err = take_all(secret, list, now)
    if not ok then
      return nil, err
    end
  end
  if wrong[secret.id] then
    return nil, wrong[secret.id]
  end
  return vault_name(id)
end

--- Returns the value of a secret, or nil and why there is none. `key`: what follows the id in APISIX's reference, which is what
-- follows a vault's name in one of kong-vault's. Phases: as `kong.vault.get`.
function _M.get(secret, key)
  if not loaded then
    return nil, UNLOADABLE
  end
  local name, err = vault_of(secret)
  if not name then
    return nil, err
  end
  return vault.get("{vault://" .. name .. "/" .. key .. "}")
end

return _M
