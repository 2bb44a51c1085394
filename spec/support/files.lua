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

--- The names in a folder, sorted; none where it isn't there.
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

--- A new folder that everybody may read; removed by `cleanup`.
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

--- A program's path: from the environment, or the project's own virtual environment. `nil` where there is none.
function _M.program(variable, default)
  local path = os.getenv(variable)
  if not path or path == "" then
    path = _M.root .. "/" .. default
  end
  return _M.exists(path) and path or nil
end

return _M
