-- For unit specs: `require "spec.support.fresh"()` returns kong.vault as a new Lua VM would load it, not configured yet. The
-- native library captures the environment when it is first loaded in this process, so the environment is set here.

local ffi = require "ffi"

ffi.cdef "int setenv(const char *name, const char *value, int overwrite);"

for name, value in pairs({
  UNIT_SECRET = "from the environment",
  UNIT_SECRET_PREVIOUS = "from before",
  UNIT_EMPTY = "",
  UNIT_REFERENCE = "{vault://env/unit-secret}",
  UNIT_JSON = '{"user":"kong","empty":"","port":5432,"on":true,"none":null,"list":[],"nested":{"user":"x"}}',
  UNIT_BASE64 = "aGVsbG8=",
  UNIT_BASE64_FIELD = '{"key":"aGVsbG8"}',
  UNIT_BAD_BASE64 = "###",
  OTHER_SECRET = "with another prefix",
  KONG_VAULT_ENV_NEG_TTL = "0",
}) do
  ffi.C.setenv(name, value, 1)
end

return function()
  for name in pairs(package.loaded) do
    if name == "kong.vault" or name:find "^kong%.vault%." then
      package.loaded[name] = nil
    end
  end
  return require "kong.vault"
end
