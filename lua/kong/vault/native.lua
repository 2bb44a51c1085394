-- The one door to the native library: finds it, checks that it speaks our ABI, declares it to the FFI. Nothing else in
-- Lua names `ffi`.

local ffi = require "ffi"

local ffi_string = ffi.string
local tonumber = tonumber

-- Has to equal `ABI_VERSION` and the declarations in src/ffi.
local ABI_VERSION = 4

local DECLARATIONS = [[
typedef struct kong_vault_handle kong_vault_handle;
typedef struct {
  uint64_t ticket;
  uint32_t generation;
  const char *data;
  size_t size;
  double seconds;
} kong_vault_answer;
uint32_t kong_vault_abi_version(void);
const uint32_t *kong_vault_generation(const kong_vault_handle *handle);
const uint32_t *const *kong_vault_beacon(const kong_vault_handle *handle);
const uint32_t *kong_vault_seen(const kong_vault_handle *handle);
int32_t kong_vault_lookup(const kong_vault_handle *handle, const char *reference, size_t size, bool waits, bool queues,
                          kong_vault_answer *answer);
int32_t kong_vault_renew(const kong_vault_handle *handle, const char *reference, size_t size, double since, bool queues,
                         kong_vault_answer *answer);
bool kong_vault_adopt(const kong_vault_handle *handle, uint64_t ticket, const char *sealed, size_t size);
int32_t kong_vault_depart(const kong_vault_handle *handle, uint64_t ticket, const char *peer, size_t size, bool owned,
                          kong_vault_answer *answer);
int32_t kong_vault_claim(const kong_vault_handle *handle, uint64_t ticket, const char *reference, size_t size,
                         kong_vault_answer *answer);
bool kong_vault_landed(const kong_vault_handle *handle, uint64_t ticket);
int32_t kong_vault_parcel(const kong_vault_handle *handle, uint64_t ticket, const char *known, size_t size,
                          kong_vault_answer *answer);
int32_t kong_vault_event(const kong_vault_handle *handle, kong_vault_answer *answer);
void kong_vault_release(const kong_vault_handle *handle);
]]

local _M = {
  VALUE = 0,
  FLEETING = 1,
  PENDING = 2,
  FAILED = 3,
  BOARDED = 4,
  NOTHING = 5,
  TOO_EARLY = 6,
  LANDED = 16,
  BOARDING = 17,
  PROBING = 18,
  VAULT_UP = 19,
  VAULT_DOWN = 20,
  OUTDATED = 21,
  VAULT_STILL_BAD = 22,
  VAULT_ANSWERS = 23,
  NOTICE = 24,
}

local function load()
  local path, tried = package.searchpath("kong.vault.native", package.cpath)
  if not path then
    local places, seen = {}, {}
    for place in tried:gmatch "'([^']+)'" do
      if not seen[place] then
        seen[place] = true
        places[#places + 1] = place
      end
    end
    local why = "the native library of kong.vault is not on lua_package_cpath (LUA_CPATH), which leads to "
    return nil, why .. table.concat(places, ", ")
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

_M.version = module.version
_M.vm = vm
_M.parse_reference = module.parse_reference
_M.name_reference = module.name_reference
_M.message = module.message

-- For Kong: the names of the backends, the options of each, which of them others make necessary, and why an
-- option refuses a value.
_M.backends = module.backends
_M.options = module.options
_M.needs = module.needs
_M.refusal = module.refusal

-- For l1.lua: the live counter, and the last answer.
_M.generation = library.kong_vault_generation(handle)
-- The counter that tells of vault entities which another process changed, by an address that `configure` sets, and its
-- value when this process read them.
_M.epoch = library.kong_vault_beacon(handle)
_M.seen_epoch = library.kong_vault_seen(handle)
_M.answer = answer[0]

local VALUE, FLEETING, PENDING, FAILED, BOARDED = _M.VALUE, _M.FLEETING, _M.PENDING, _M.FAILED, _M.BOARDED

local function text()
  return ffi_string(answer[0].data, answer[0].size)
end

local function outcome(status)
  if status == VALUE or status == FLEETING then
    local value = text()
    library.kong_vault_release(handle)
    return status, value
  elseif status == FAILED then
    return status, text()
  elseif status == PENDING then
    return status, tonumber(answer[0].ticket)
  elseif status == BOARDED then
    return status, tonumber(answer[0].ticket), text()
  end
  return FAILED, "kong.vault met a defect of its own (a panic in the native library): please report it"
end

-- Looks a reference up. Returns a status and: the value; the ticket of the flight to wait for; the ticket of the flight to
-- see off and the document's name; or why there is nothing. With `waits`, a ticket has to be claimed. `queues`: the caller
-- sees to it that not too many are under way.
function _M.lookup(reference, waits, queues)
  return outcome(library.kong_vault_lookup(handle, reference, #reference, waits, queues or false, answer))
end

-- Has a value brought that is newer than `since` (of `vm:clock()`; nil: than now); returns what `lookup` does, or NOTHING
-- where there is nothing to wait for.
function _M.renew(reference, since, queues)
  local status = library.kong_vault_renew(handle, reference, #reference, since or -1, queues or false, answer)
  if status == _M.NOTHING then
    return status
  end
  return outcome(status)
end

-- Whether a boarded flight has landed with what the node's cache has (may be nil), or by its vault's breaker.
function _M.take_shared(ticket, sealed)
  return library.kong_vault_adopt(handle, ticket, sealed, sealed and #sealed or 0)
end

-- Lets a boarded flight depart: to another worker by its claim `peer`, or to the vault (nil). With `owned`, its parcel is to
-- be taken. Returns false where the other's fetch began too early to serve.
function _M.start(ticket, peer, owned)
  return library.kong_vault_depart(handle, ticket, peer, peer and #peer or 0, owned, answer) ~= _M.TOO_EARLY
end

-- What the flight `ticket` brought for `reference`; PENDING where it is still under way. The ticket is used up.
function _M.take(ticket, reference)
  return outcome(library.kong_vault_claim(handle, ticket, reference, #reference, answer))
end

-- For how many seconds the vault said that the value just answered is good; nil where it didn't.
function _M.lease()
  local seconds = answer[0].seconds
  return seconds > 0 and seconds or nil
end

-- Whether a flight or a job is not to be waited for any more.
function _M.is_complete(ticket)
  return library.kong_vault_landed(handle, ticket)
end

-- The sealed outcome of a flight that departed as `owned`, and for how many seconds it may be kept (0: for ever); or nil, as
-- where `known`, what lies in its place (may be nil), is newer.
function _M.sealed_outcome(ticket, known)
  if library.kong_vault_parcel(handle, ticket, known, known and #known or 0, answer) == VALUE then
    return text(), answer[0].seconds
  end
end

-- The next event: its kind, and as the kind has it, a ticket and a text; or nil.
function _M.event()
  local kind = library.kong_vault_event(handle, answer)
  if kind == _M.LANDED then
    return kind, tonumber(answer[0].ticket)
  elseif kind == _M.BOARDING or kind == _M.PROBING then
    return kind, tonumber(answer[0].ticket), text()
  elseif kind == _M.VAULT_UP or kind == _M.VAULT_DOWN or kind == _M.VAULT_ANSWERS then
    return kind, nil, text()
  elseif kind == _M.VAULT_STILL_BAD then
    return kind, answer[0].seconds, text()
  elseif kind == _M.NOTICE or kind == _M.OUTDATED then
    return kind
  end
end

-- A number as the engine reads it from the doorbell's socket: 8 bytes, little-endian like the machines nginx runs on.
function _M.wire(number)
  local wire = ffi.new("uint64_t[1]", number)
  return ffi_string(wire, 8)
end

return _M
