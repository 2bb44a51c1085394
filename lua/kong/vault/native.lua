-- Loads the native library, checks its ABI version, and wraps its functions. No other Lua file uses `ffi`.

local ffi = require "ffi"

local ffi_string = ffi.string
local tonumber = tonumber

-- This and the declarations must be those of src/ffi.
local ABI_VERSION = 5

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
const uint32_t *const *kong_vault_epoch(const kong_vault_handle *handle);
const uint32_t *kong_vault_seen_epoch(const kong_vault_handle *handle);
int32_t kong_vault_lookup(const kong_vault_handle *handle, const char *reference, size_t size, bool waits, bool queues,
                          kong_vault_answer *answer);
int32_t kong_vault_renew(const kong_vault_handle *handle, const char *reference, size_t size, double since, bool queues,
                         kong_vault_answer *answer);
bool kong_vault_take_shared(const kong_vault_handle *handle, uint64_t ticket, const char *sealed, size_t size);
int32_t kong_vault_start_fetch(const kong_vault_handle *handle, uint64_t ticket, const char *peer, size_t size, bool owned,
                          kong_vault_answer *answer);
int32_t kong_vault_collect(const kong_vault_handle *handle, uint64_t ticket, const char *reference, size_t size,
                         kong_vault_answer *answer);
bool kong_vault_completed(const kong_vault_handle *handle, uint64_t ticket);
int32_t kong_vault_sealed_outcome(const kong_vault_handle *handle, uint64_t ticket, const char *known, size_t size,
                          kong_vault_answer *answer);
int32_t kong_vault_event(const kong_vault_handle *handle, kong_vault_answer *answer);
void kong_vault_release(const kong_vault_handle *handle);
]]

local _M = {
  VALUE = 0,
  FLEETING = 1,
  PENDING = 2,
  FAILED = 3,
  CREATED = 4,
  NOTHING = 5,
  TOO_EARLY = 6,
  COMPLETED = 16,
  START = 17,
  PROBE = 18,
  VAULT_UP = 19,
  VAULT_DOWN = 20,
  OUTDATED = 21,
  VAULT_STILL_BAD = 22,
  VAULT_ANSWERS = 23,
  CACHE_CROWDED = 24,
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
    local why = "the native library of kong.vault is not on lua_package_cpath (LUA_CPATH), which has "
    return nil, why .. table.concat(places, ", ")
  end
  local opened, library = pcall(ffi.load, path)
  if not opened then
    return nil, "cannot load the native library of kong.vault: " .. library
  end
  -- Where a process loads this module again, as busted does, the types are declared already.
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
    return nil, "cannot load the native library of kong.vault: " .. err
  end
  return library, open()
end

local library, module = load()
if not library then
  error(module, 0)
end

-- The FFI has a bare pointer into this object, so this module keeps it for as long as the Lua VM lives.
local vm = module.open()
local handle = ffi.cast("const kong_vault_handle *", vm:pointer())
local answer = ffi.new "kong_vault_answer[1]"

_M.version = module.version
_M.vm = vm
_M.parse_reference = module.parse_reference
_M.name_reference = module.name_reference
_M.message = module.message

-- For Kong: the names of the backends; the options of a backend; which options require others; why an option refuses a
-- value.
_M.backends = module.backends
_M.options = module.options
_M.requirements = module.requirements
_M.refusal = module.refusal

-- Where the generation counter is. It moves when copies of values are outdated.
_M.generation = library.kong_vault_generation(handle)
-- Where the address of the epoch counter is, which moves when any process changes vault entities, and its value when this
-- process last read them. `configure` may change the address.
_M.epoch = library.kong_vault_epoch(handle)
_M.seen_epoch = library.kong_vault_seen_epoch(handle)
-- The last answer of the library.
_M.answer = answer[0]

local VALUE, FLEETING, PENDING, FAILED, CREATED = _M.VALUE, _M.FLEETING, _M.PENDING, _M.FAILED, _M.CREATED

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
  elseif status == CREATED then
    return status, tonumber(answer[0].ticket), text()
  end
  return FAILED, "internal error of kong.vault (a panic in the native library): report this as a defect"
end

-- Looks a reference up. Returns a status, and with it: VALUE, FLEETING: the value; PENDING: the ticket of the fetch that is
-- under way; CREATED: the ticket of a fetch that this call created and must start, and the document's name; FAILED: why
-- there is no value. With `waits`, the caller must `take` the outcome of the fetch. `queues`: the caller limits how many
-- fetches are under way.
function _M.lookup(reference, waits, queues)
  return outcome(library.kong_vault_lookup(handle, reference, #reference, waits, queues or false, answer))
end

-- Has a value fetched whose fetch begins after `since` (from `vm:clock()`; nil: now). Returns what `lookup` does, or NOTHING
-- where there is nothing to wait for.
function _M.renew(reference, since, queues)
  local status = library.kong_vault_renew(handle, reference, #reference, since or -1, queues or false, answer)
  if status == _M.NOTHING then
    return status
  end
  return outcome(status)
end

-- Completes a created fetch, where possible, with the sealed outcome of the node's cache (nil: none), with what this worker
-- has cached since, or with its vault's open breaker. Returns whether the fetch needs no start any more.
function _M.take_shared(ticket, sealed)
  return library.kong_vault_take_shared(handle, ticket, sealed, sealed and #sealed or 0)
end

-- Starts a created fetch: asks the worker with the claim `peer`, or the vault (nil). With `owned`, the caller must get the
-- `sealed_outcome`. Returns false where the other worker's fetch began too early to serve.
function _M.start(ticket, peer, owned)
  return library.kong_vault_start_fetch(handle, ticket, peer, peer and #peer or 0, owned, answer) ~= _M.TOO_EARLY
end

-- Takes the outcome of a fetch for a reference: returns what `lookup` does, PENDING where the fetch is still under way. The
-- ticket is used up either way.
function _M.take(ticket, reference)
  return outcome(library.kong_vault_collect(handle, ticket, reference, #reference, answer))
end

-- Returns the lease of the value just answered, in seconds; nil where the vault gave it none.
function _M.lease()
  local seconds = answer[0].seconds
  return seconds > 0 and seconds or nil
end

-- Whether a fetch or a job is complete, or unknown.
function _M.is_complete(ticket)
  return library.kong_vault_completed(handle, ticket)
end

-- Returns the outcome of a fetch that was started as `owned`, sealed for other workers, and for how many seconds they may keep
-- it (0: without end). nil where there is nothing to keep, or where `known`, the outcome in its place (nil: none), is newer.
function _M.sealed_outcome(ticket, known)
  if library.kong_vault_sealed_outcome(handle, ticket, known, known and #known or 0, answer) == VALUE then
    return text(), answer[0].seconds
  end
end

-- Returns the next event: its kind, and by its kind a ticket (VAULT_STILL_BAD: seconds) and a text; or nil.
function _M.event()
  local kind = library.kong_vault_event(handle, answer)
  if kind == _M.COMPLETED then
    return kind, tonumber(answer[0].ticket)
  elseif kind == _M.START or kind == _M.PROBE then
    return kind, tonumber(answer[0].ticket), text()
  elseif kind == _M.VAULT_UP or kind == _M.VAULT_DOWN or kind == _M.VAULT_ANSWERS then
    return kind, nil, text()
  elseif kind == _M.VAULT_STILL_BAD then
    return kind, answer[0].seconds, text()
  elseif kind == _M.CACHE_CROWDED or kind == _M.OUTDATED then
    return kind
  end
end

-- Returns a number as the engine's notifier reads it from its socket: 8 bytes, little-endian, as the machines are.
function _M.wire(number)
  local wire = ffi.new("uint64_t[1]", number)
  return ffi_string(wire, 8)
end

return _M
