-- The one door to the native library: finds it, checks that it speaks our ABI, declares it to the FFI. Nothing else in
-- Lua names `ffi`.

local ffi = require "ffi"

local ffi_string = ffi.string
local tonumber = tonumber

-- Has to equal `ABI_VERSION` and the declarations in src/ffi.
local ABI_VERSION = 1

local DECLARATIONS = [[
typedef struct kong_vault_handle kong_vault_handle;
typedef struct {
  uint64_t ticket;
  uint64_t generation;
  const char *data;
  size_t size;
} kong_vault_answer;
uint32_t kong_vault_abi_version(void);
const uint64_t *kong_vault_generation(const kong_vault_handle *handle);
int32_t kong_vault_lookup(const kong_vault_handle *handle, const char *reference, size_t size, bool waits,
                          kong_vault_answer *answer);
int32_t kong_vault_claim(const kong_vault_handle *handle, uint64_t ticket, const char *reference, size_t size,
                         kong_vault_answer *answer);
]]

local _M = {
  VALUE = 0,
  FLEETING = 1,
  PENDING = 2,
  FAILED = 3,
}

local function load()
  local path, tried = package.searchpath("kong.vault.native", package.cpath)
  if not path then
    return nil, "the native library of kong.vault is not on lua_package_cpath (LUA_CPATH):" .. tried
  end
  local opened, library = pcall(ffi.load, path)
  if not opened then
    return nil, "the native library of kong.vault can't be loaded: " .. library
  end
  -- A process that loads this module anew (busted does) must not declare it anew.
  if not pcall(ffi.typeof, "kong_vault_answer") then
    ffi.cdef(DECLARATIONS)
  end
  local known, version = pcall(function()
    return library.kong_vault_abi_version()
  end)
  if not known or version ~= ABI_VERSION then
    return nil,
      string.format(
        "kong.vault's Lua files need a native library of ABI version %d, but %s has %s: install both from one release",
        ABI_VERSION,
        path,
        known and tostring(tonumber(version)) or "none"
      )
  end
  local open, err = package.loadlib(path, "luaopen_kong_vault_native")
  if not open then
    return nil, "the native library of kong.vault can't be loaded: " .. err
  end
  return library, open()
end

local library, module = load()
if not library then
  error(module, 0)
end

-- Kept by this module for as long as the VM lives: the FFI only has a bare pointer into it.
local vm = module.open()
local handle = ffi.cast("const kong_vault_handle *", vm:pointer())
local answer = ffi.new "kong_vault_answer[1]"
local wire = ffi.new "uint64_t[1]"

_M.version = module.version
_M.vm = vm
_M.parse_reference = module.parse_reference

-- For front.lua: the live counter, a cell for the generation that its copies are of, and the last answer.
_M.generation = library.kong_vault_generation(handle)
_M.copied = ffi.new "uint64_t[1]"
_M.answer = answer[0]

local function outcome(status)
  if status == _M.PENDING then
    return status, tonumber(answer[0].ticket)
  end
  if status == _M.VALUE or status == _M.FLEETING or status == _M.FAILED then
    return status, ffi_string(answer[0].data, answer[0].size)
  end
  return _M.FAILED, "kong.vault met a defect of its own (a panic in the native library): please report it"
end

-- Looks a reference up. Returns a status and: the value; the ticket of the fetch to wait for, where `waits`; or why not.
function _M.lookup(reference, waits)
  return outcome(library.kong_vault_lookup(handle, reference, #reference, waits, answer))
end

-- What the fetch `ticket` brought for `reference`; PENDING where it is still under way. The ticket is used up.
function _M.claim(ticket, reference)
  return outcome(library.kong_vault_claim(handle, ticket, reference, #reference, answer))
end

-- A ticket as the engine reads it from the wake-up socket: 8 bytes, little-endian like the machines nginx runs on.
function _M.wire(ticket)
  wire[0] = ticket
  return ffi_string(wire, 8)
end

return _M
