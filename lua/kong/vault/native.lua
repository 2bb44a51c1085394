-- Loads the native library, checks its ABI version, and wraps its functions. No other Lua file uses `ffi`.

local ffi = require "ffi"

local ffi_fill, ffi_string = ffi.fill, ffi.string
local tonumber = tonumber

-- These and the declarations must be those of native/src/ffi.
local ABI_VERSION = 6
local RELEASE = "kong-vault 0.1.0"

-- The name of the answer's type. A Lua VM keeps the first declaration of a name, so each ABI has a name of its own.
local ANSWER = "kong_vault_answer_" .. ABI_VERSION

local DECLARATIONS = [[
typedef struct kong_vault_handle kong_vault_handle;
typedef struct {
  uint64_t ticket;
  uint32_t generation;
  int32_t order;
  const char *data;
  size_t size;
  size_t claim_size;
  double seconds;
  bool more;
  bool held;
  char value[8192];
} kong_vault_answer;
uint32_t kong_vault_abi_version(void);
const char *kong_vault_version(void);
const uint32_t *kong_vault_generation(const kong_vault_handle *handle);
const uint32_t *const *kong_vault_epoch(const kong_vault_handle *handle);
const uint32_t *kong_vault_seen_epoch(const kong_vault_handle *handle);
int32_t kong_vault_lookup(const kong_vault_handle *handle, const char *reference, size_t size, bool waits, bool queues,
                          kong_vault_answer *answer);
int32_t kong_vault_renew(const kong_vault_handle *handle, const char *reference, size_t size, double since, bool queues,
                         kong_vault_answer *answer);
void kong_vault_step(const kong_vault_handle *handle, uint64_t ticket, int32_t reply, const char *document, size_t size,
                     const char *owner, size_t owner_size, double seconds, kong_vault_answer *answer);
void kong_vault_publish(const kong_vault_handle *handle, uint64_t ticket, kong_vault_answer *answer);
int32_t kong_vault_collect(const kong_vault_handle *handle, uint64_t ticket, const char *reference, size_t size,
                         kong_vault_answer *answer);
bool kong_vault_completed(const kong_vault_handle *handle, uint64_t ticket);
int32_t kong_vault_event(const kong_vault_handle *handle, kong_vault_answer *answer);
void kong_vault_audit_read(const kong_vault_handle *handle, const char *reference, size_t size, bool served,
                           const char *phase, const char *plugin, const char *plugin_id, const char *route,
                           const char *service, const char *server, const char *location, const char *request_id);
void kong_vault_release(const kong_vault_handle *handle);
]]

local REALPATH = "char *realpath(const char *path, char *resolved);"

local _M = {
  VALUE = 0,
  FLEETING = 1,
  PENDING = 2,
  FAILED = 3,
  CREATED = 4,
  NOTHING = 5,
  UNKNOWN_VAULT = 7,
  COMPLETED = 16,
  START = 17,
  VAULT_UP = 19,
  VAULT_DOWN = 20,
  OUTDATED = 21,
  VAULT_STILL_BAD = 22,
  VAULT_ANSWERS = 23,
  CACHE_CROWDED = 24,
  DEBUG_LINES = 25,
  NONE = 31,
  LOOK = 32,
  READ = 33,
  CLAIM = 34,
  RECLAIM = 35,
  TAKE_OVER = 36,
  RELEASE = 37,
  PUBLISH = 38,
  PROBE_CLAIM = 39,
  PROBE_PAUSE = 40,
  TRACE = 41,
  TRACE_WAITER = 42,
  UNDER_WAY = 48,
  SERVES = 49,
  COMPLETE = 50,
  DONE = 64,
  CLAIMED = 65,
  OWNER = 66,
  GONE = 67,
  NO_ROOM = 68,
  PROBED = 69,
  IS_UP = 70,
  TRACED = 71,
  WAITER_TRACED = 72,
}

-- Returns a function of the library, or nil where it has none of that name.
local function exported(library, name)
  local known, found = pcall(function()
    return library[name]
  end)
  return known and found or nil
end

local function address_of(library)
  local found = exported(library, "kong_vault_abi_version")
  return found and tonumber(ffi.cast("uintptr_t", found))
end

-- Returns the path of the file that is mapped at an address; one that was deleted or replaced since ends with " (deleted)".
local function mapped_file(address)
  local maps = io.open "/proc/self/maps"
  if not maps then
    return nil
  end
  for line in maps:lines() do
    local from, to, path = line:match "^(%x+)%-(%x+) %S+ %S+ %S+ %S+%s+(.*)$"
    if from and address >= tonumber(from, 16) and address < tonumber(to, 16) then
      maps:close()
      return path
    end
  end
  maps:close()
end

local function real_path(path)
  local buffer = ffi.new("char[?]", 4097)
  return ffi.C.realpath(path, buffer) ~= nil and ffi_string(buffer) or nil
end

-- Returns a name of a file that this process has not used before: the moment in bits, each as `/` or `./` before the file.
local function new_name(folder, file)
  local moment, bits = math.floor(os.time() * 1e6 + os.clock() * 1e6 % 1e6), {}
  while moment > 0 do
    bits[#bits + 1] = moment % 2 == 0 and "/" or "./"
    moment = math.floor(moment / 2)
  end
  return folder .. table.concat(bits) .. file
end

-- How many releases have names that are used again. A name stays in memory for as long as the process lives.
local MOST_NAMES = 16

-- Opens the library at `path`. Returns it and by which name it was opened, or nil and why it can't be.
--
-- After a reload, nginx's master still has the library that it loaded before. For the same name glibc returns that one, also
-- where another file has taken its place meanwhile. By a name that it does not know (`kong/vault/./native.so`) it opens the
-- file, and compares that with those it has.
local function open_library(path)
  local folder, file = path:match "^(.*/)([^/]*)$"
  local real, dots, last = real_path(path), "", nil
  for _ = 1, MOST_NAMES do
    local name = folder .. dots .. file
    local opened, library = pcall(ffi.load, name)
    if not opened then
      return nil, library
    end
    local address = address_of(library)
    local mapped = address and mapped_file(address)
    if mapped and mapped == real then
      return library, name
    elseif not mapped or address == last then
      -- Paths do not tell: /proc can't be read, or it has another path for the file, as with some mounts.
      break
    end
    last, dots = address, dots .. "./"
  end
  local name = new_name(folder, file)
  local opened, library = pcall(ffi.load, name)
  return opened and library or nil, opened and name or library
end

-- Declares what this file calls, unless this VM has loaded it before, as busted does. Returns why it can't.
local function declare()
  if not exported(ffi.C, "realpath") then
    ffi.cdef(REALPATH)
  end
  if pcall(ffi.typeof, ANSWER) then
    return nil
  elseif pcall(ffi.typeof, "kong_vault_handle") then
    return "this Lua VM has loaded kong.vault of another ABI version before: load this one in a new VM, as a reload does"
  end
  ffi.cdef((DECLARATIONS:gsub("kong_vault_answer", ANSWER)))
end

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
  local err = declare()
  if err then
    return nil, err
  end
  local library, name = open_library(path)
  if not library then
    return nil, "cannot load the native library of kong.vault: " .. name
  end
  local version, release = exported(library, "kong_vault_abi_version"), exported(library, "kong_vault_version")
  version, release = version and version(), release and ffi_string(release()) or "an unknown release"
  if version ~= ABI_VERSION or release ~= RELEASE then
    local what = "kong.vault's Lua files are of %s (ABI version %d), but the native library %s is of %s (ABI version %s): "
      .. "install both from one release, then reload or restart nginx"
    return nil, what:format(RELEASE, ABI_VERSION, path, release, version and tonumber(version) or "none")
  end
  local open
  open, err = package.loadlib(name, "luaopen_kong_vault_native")
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
local answer = ffi.new(ANSWER .. "[1]")

_M.version = RELEASE:match "%S+$"
_M.vm = vm
_M.parse_reference = module.parse_reference
_M.name_reference = module.name_reference
_M.admin = module.admin

-- For Kong: the names of the backends; the options of a backend; which options require others; why an option refuses a
-- value.
_M.backends = module.backends
_M.options = module.options
_M.requirements = module.requirements
_M.refusal = module.refusal

-- A pointer to the generation counter. It moves when copies of values are outdated.
_M.generation = library.kong_vault_generation(handle)
-- A pointer to the address of the epoch counter, which moves when any process changes vault entities; and one to its value when
-- this process last read them. `configure` may change the address.
_M.epoch = library.kong_vault_epoch(handle)
_M.seen_epoch = library.kong_vault_seen_epoch(handle)
-- The last answer of the library.
_M.answer = answer[0]

local VALUE, FLEETING, PENDING, FAILED, CREATED = _M.VALUE, _M.FLEETING, _M.PENDING, _M.FAILED, _M.CREATED
local NONE, UNKNOWN_VAULT = _M.NONE, _M.UNKNOWN_VAULT

-- Characters of a document's or a vault's name in the shared dictionary.
local NAME = 32

local function text()
  return ffi_string(answer[0].data, answer[0].size)
end

-- Returns what is to be done next for a fetch of the node, which shared_cache.lua carries out; nil: nothing.
local function order()
  local kind = answer[0].order
  if kind == NONE then
    return nil
  end
  local data, size, claim_size = answer[0].data, tonumber(answer[0].size), tonumber(answer[0].claim_size)
  local rest = NAME + claim_size
  return {
    kind = kind,
    name = ffi_string(data, size < NAME and size or NAME),
    claim = claim_size > 0 and ffi_string(data + NAME, claim_size) or nil,
    rest = size > rest and ffi_string(data + rest, size - rest) or nil,
    seconds = answer[0].seconds,
  }
end

local function outcome(status)
  if status == VALUE or status == FLEETING then
    local value = text()
    if answer[0].held then
      library.kong_vault_release(handle)
    else
      ffi_fill(answer[0].value, answer[0].size)
    end
    return status, value
  elseif status == FAILED then
    return status, text()
  elseif status == UNKNOWN_VAULT then
    return FAILED, text(), true
  elseif status == PENDING or status == CREATED then
    return status, tonumber(answer[0].ticket), order()
  end
  return FAILED, "internal error of kong.vault (a panic in the native library): report this as a defect"
end

-- Looks a reference up. Returns a status, and with it: VALUE, FLEETING: the value; PENDING: the ticket of the fetch that is
-- under way, and an order, if there is one; CREATED: the ticket of a fetch that this call created and must start, and the first
-- order for that; FAILED: why there is no value, and true where nobody configured the vault here. With `waits`, the caller
-- must `take` the outcome of the fetch. `queues`: the caller limits how many fetches are under way.
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

-- Continues a fetch of the node with the reply to its last order: what became of the claim, the document that was read (nil:
-- none), the claim that is there already, and for how many seconds the vault must not be probed. Returns the next order.
function _M.step(ticket, reply, document, owner, seconds)
  library.kong_vault_step(
    handle,
    ticket,
    reply,
    document,
    document and #document or 0,
    owner,
    owner and #owner or 0,
    seconds or 0,
    answer
  )
  return order()
end

-- Returns the first order for publishing a complete fetch, if this worker must publish it; otherwise nil.
function _M.publish(ticket)
  library.kong_vault_publish(handle, ticket, answer)
  return order()
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

-- Returns the next event: its kind, by its kind a ticket (VAULT_STILL_BAD: seconds) and an order or a text, and whether more
-- events wait; or nil.
function _M.event()
  local kind = library.kong_vault_event(handle, answer)
  local more = answer[0].more
  if kind == _M.COMPLETED or kind == _M.START then
    return kind, tonumber(answer[0].ticket), order(), more
  elseif kind == _M.VAULT_UP or kind == _M.VAULT_DOWN or kind == _M.VAULT_ANSWERS then
    return kind, nil, text(), more
  elseif kind == _M.VAULT_STILL_BAD then
    return kind, answer[0].seconds, text(), more
  elseif kind == _M.CACHE_CROWDED or kind == _M.DEBUG_LINES or kind == _M.OUTDATED then
    return kind, nil, nil, more
  end
end

-- Has the audit log note a look-up. Further texts: the phase, the plugin and its id, the route, the service, the server, the
-- location, the request's id; each may be nil.
function _M.audit_read(reference, served, phase, plugin, id, route, service, server, location, request)
  local size = #reference
  library.kong_vault_audit_read(
    handle,
    reference,
    size,
    served,
    phase,
    plugin,
    id,
    route,
    service,
    server,
    location,
    request
  )
end

-- Returns a number as the engine's notifier reads it from its socket: 8 bytes, little-endian, as the machines are.
function _M.wire(number)
  local wire = ffi.new("uint64_t[1]", number)
  return ffi_string(wire, 8)
end

return _M
