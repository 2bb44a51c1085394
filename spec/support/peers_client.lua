-- A process that misuses a worker's socket for other workers, which is in the abstract namespace. Arguments: the socket's name;
-- what to do; a file. A line in the file says that it has been done.
--   silent   opens many connections and writes nothing
--   fill     opens connections until no more are taken
--   flood    opens and closes connections for as long as it lives

local ffi = require "ffi"

ffi.cdef [[
struct address { unsigned short family; char path[108]; };
int socket(int domain, int type, int protocol);
int connect(int fd, const struct address *address, unsigned int size);
int close(int fd);
int pause(void);
struct limit { unsigned long soft, hard; };
int getrlimit(int resource, struct limit *limit);
int setrlimit(int resource, const struct limit *limit);
]]

local C = ffi.C
local AF_UNIX, SOCK_STREAM, SOCK_NONBLOCK, RLIMIT_NOFILE = 1, 1, 2048, 7
local CONNECTIONS = 600

local name, what, output = arg[1], arg[2], arg[3]
local address = ffi.new("struct address", { family = AF_UNIX })
ffi.copy(address.path + 1, name, #name)

local function connect()
  local fd = C.socket(AF_UNIX, SOCK_STREAM + SOCK_NONBLOCK, 0)
  local ok = C.connect(fd, address, 3 + #name) == 0
  return fd, ok
end

local function say(text)
  local file = assert(io.open(output, "a"))
  file:write(text, "\n")
  file:close()
end

-- To fill a backlog, this process may need as many descriptors as `somaxconn` says.
local limit = ffi.new "struct limit"
C.getrlimit(RLIMIT_NOFILE, limit)
limit.soft = limit.hard
C.setrlimit(RLIMIT_NOFILE, limit)

local tries = 0
while what == "flood" do
  C.close((connect()))
  tries = tries + 1
  if tries == CONNECTIONS then
    say "flooding"
  end
end
local opened = 0
while what == "fill" or opened < CONNECTIONS do
  local fd, ok = connect()
  if ok then
    opened = opened + 1
  elseif what == "fill" then
    break
  else
    C.close(fd)
  end
end
say(what .. " " .. opened)
C.pause()
