-- A volume of Kubernetes, kept as the kubelet keeps it: the files lie in a directory of their own, to which the link `..data`
-- leads. An update sets the link to another directory, in one step, and removes the old one.

local lfs = require "lfs"

local files = require "spec.support.files"

local _M = {}
_M.__index = _M

--- A volume at `path`, without keys. The directory is made if it is not there.
function _M.new(path)
  if not files.exists(path) then
    files.mkdir(path)
  end
  return setmetatable({ path = path, version = 0 }, _M)
end

--- Puts keys, values by names, in the place of those that are there.
function _M:publish(keys)
  local old = self.data
  self.version = self.version + 1
  self.data = ("..2026_11_26_12_00_00.%09d"):format(self.version)
  files.mkdir(self.path .. "/" .. self.data)
  for name, value in pairs(keys) do
    files.write(("%s/%s/%s"):format(self.path, self.data, name), value)
  end
  assert(lfs.link(self.data, self.path .. "/..data_tmp", true))
  assert(os.rename(self.path .. "/..data_tmp", self.path .. "/..data"))
  for name in pairs(keys) do
    -- It may be there from before.
    lfs.link("..data/" .. name, self.path .. "/" .. name, true)
  end
  if old then
    for _, name in ipairs(files.list(self.path .. "/" .. old)) do
      os.remove(("%s/%s/%s"):format(self.path, old, name))
    end
    lfs.rmdir(self.path .. "/" .. old)
  end
end

return _M
