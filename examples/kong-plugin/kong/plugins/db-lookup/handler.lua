-- A plugin with secrets in its configuration: keys that clients may come with, headers for the upstream, and a database
-- whose password may be rotated at any time. To see it in Kong (the page docs/kong-features.md in the project tells more):
--
--   lua_package_path = /path/to/examples/kong-plugin/?.lua;;        in kong.conf, and in LUA_PATH for the command line
--   plugins = bundled,kong-vault,db-lookup
--
--   curl localhost:8001/services/NAME/plugins -d name=db-lookup -d config.database.name=shop \
--     --data-urlencode 'config.database.user={vault://hcv/shop-db/user}' \
--     --data-urlencode 'config.database.password={vault://hcv/shop-db/password}' \
--     --data-urlencode 'config.api_keys[]={vault://hcv/clients/mobile}' \
--     --data-urlencode 'config.headers.X-Tenant={vault://hcv/tenant/name}'

local pgmoon = require "pgmoon"

local kong = kong

local DbLookup = {
  VERSION = "1.0.0",
  PRIORITY = 900,
}

-- What `try` calls. Where this returns nothing, it is called a second time, with user and password fetched anew.
local function connect(database)
  local connection = pgmoon.new({
    host = database.host,
    port = database.port,
    database = database.name,
    user = database.user,
    password = database.password,
  })
  local ok, err = connection:connect()
  if not ok then
    return nil, err
  end
  return connection
end

-- A key whose secret can't be had is an empty text, which nobody may come with.
local function is_allowed(api_keys)
  local presented = kong.request.get_header "apikey"
  if not presented or presented == "" then
    return #api_keys == 0
  end
  for _, key in ipairs(api_keys) do
    if presented == key then
      return true
    end
  end
  return #api_keys == 0
end

function DbLookup.access(_, conf)
  if not is_allowed(conf.api_keys) then
    return kong.response.exit(401, { message = "unknown API key" })
  end
  local connection, err = kong.vault.try(connect, conf.database)
  local rows
  if connection then
    rows, err = connection:query "SELECT current_user AS name"
  end
  if not rows then
    kong.log.err("the database can't be asked: ", err)
    return kong.response.exit(503, { message = "the database is away" })
  end
  connection:keepalive()
  for name, value in pairs(conf.headers) do
    kong.service.request.set_header(name, value)
  end
  kong.service.request.set_header("X-Database-User", rows[1].name)
end

return DbLookup
