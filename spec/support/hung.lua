-- A file system that never answers: a mount of FUSE whose server is silent. For root, where there is /dev/fuse.

local files = require "spec.support.files"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

-- Run by LuaJIT. When it ends, the mount has no server any more, and calls that hang return an error.
local SERVER = [[
local ffi = require "ffi"
ffi.cdef "int open(const char *, int); unsigned int sleep(unsigned int);"
ffi.cdef "int mount(const char *, const char *, const char *, unsigned long, const char *);"
local fd = ffi.C.open("/dev/fuse", 2)
local options = ("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other"):format(fd)
assert(fd >= 0 and ffi.C.mount("hung", arg[1], "fuse", 6, options) == 0)
while true do ffi.C.sleep(1000) end
]]

local _M = {}
_M.__index = _M

local function is_mounted(folder)
  return (files.read "/proc/self/mounts" or ""):find(" " .. folder .. " fuse ", 1, true) ~= nil
end

function _M.available()
  return process.is_root and files.exists "/dev/fuse"
end

--- Mounts the file system. Until `stop`, every call on its folder hangs.
function _M.start()
  local script = files.write(files.folder() .. "/server.lua", SERVER)
  local folder = files.mkdir(files.folder() .. "/mount")
  local self = setmetatable({ folder = folder }, _M)
  -- Before the server is started: `cleanup` runs in reverse order, and the server must end first.
  require("spec.support.cleanup").add(function()
    self:unmount()
  end)
  self.server = process.start({ command = { "luajit", script, folder } })
  wait.eventually("the file system is there", function()
    return is_mounted(folder)
  end)
  return self
end

function _M:unmount()
  if is_mounted(self.folder) then
    process.run({ command = { "umount", "-l", self.folder } })
  end
end

--- Ends the server and unmounts. Calls that hang return an error, and the folder is empty again.
function _M:stop()
  self.server:stop()
  self:unmount()
end

return _M
