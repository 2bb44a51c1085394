-- Files and folders for specs.

local ffi = require "ffi"
local lfs = require "lfs"

local cleanup = require "spec.support.cleanup"

ffi.cdef [[
char *mkdtemp(char *template);
int chmod(const char *path, unsigned int mode);
]]

local _M = {}

-- busted runs in the project's folder.
_M.root = lfs.currentdir()

function _M.read(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local text = file:read "*a"
  file:close()
  return text
end

function _M.write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

function _M.exists(path)
  return lfs.attributes(path, "mode") ~= nil
end

--- Returns the names in a folder, sorted; none where there is no such folder.
function _M.list(path)
  local names = {}
  if lfs.attributes(path, "mode") == "directory" then
    for name in lfs.dir(path) do
      if name ~= "." and name ~= ".." then
        names[#names + 1] = name
      end
    end
  end
  table.sort(names)
  return names
end

local function remove(path)
  if lfs.symlinkattributes(path, "mode") == "directory" then
    for _, name in ipairs(_M.list(path)) do
      remove(path .. "/" .. name)
    end
    lfs.rmdir(path)
  else
    os.remove(path)
  end
end

--- Makes a folder that everybody may read. `cleanup` removes it.
function _M.folder()
  local template = (os.getenv "TMPDIR" or "/tmp") .. "/kong-vault-spec-XXXXXX"
  local buffer = ffi.new("char[?]", #template + 1, template)
  assert(ffi.C.mkdtemp(buffer) ~= nil, "no folder for files of specs")
  local path = ffi.string(buffer)
  _M.chmod(path, 493) -- 0755
  cleanup.add(function()
    remove(path)
  end)
  return path
end

function _M.chmod(path, mode)
  assert(ffi.C.chmod(path, mode) == 0, path)
end

function _M.mkdir(path)
  assert(lfs.mkdir(path))
  return path
end

--- Returns a program's path, from the environment or in the project's virtual environment; nil where it is not installed.
function _M.program(variable, default)
  local path = os.getenv(variable)
  if not path or path == "" then
    path = _M.root .. "/" .. default
  end
  return _M.exists(path) and path or nil
end

return _M
