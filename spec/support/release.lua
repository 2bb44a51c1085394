-- Installations of kong-vault of several releases: this one, and others that differ from it in what they call themselves.

local files = require "spec.support.files"
local process = require "spec.support.process"

local _M = {}

local NATIVE_LUA, LIBRARY = "share/lua/5.1/kong/vault/native.lua", "lib/lua/5.1/kong/vault/native.so"

--- The version of this tree, and another one.
_M.VERSION = files.read(files.root .. "/lua/kong/vault/native.lua"):match 'RELEASE = "kong%-vault ([^"]+)"'
_M.OTHER = _M.VERSION:gsub("%d", "0")

--- What nginx needs to find an installation.
function _M.paths(prefix)
  return prefix .. "/share/lua/5.1/?.lua", prefix .. "/lib/lua/5.1/?.so"
end

--- Installs this release below a prefix as the docs say, where another one may be and be in use.
function _M.install(prefix)
  local command = { "make", "--silent", "--directory", files.root, "install", "PREFIX=" .. prefix }
  local status, output = process.run({ command = command, env = { HOME = "/nonexistent" }, seconds = 300 })
  assert(status == 0, output)
end

-- Has a file of an installation name another version, or something else. It is replaced by a rename, as packages do it.
local function rewrite(path, from, to)
  local text = files.read(path)
  local first, last = text:find(from, 1, true)
  assert(first, path .. " does not have " .. from)
  files.write(path .. ".new", text:sub(1, first - 1) .. to .. text:sub(last + 1))
  assert(os.rename(path .. ".new", path))
end

--- Installs the other release.
function _M.install_other(prefix)
  _M.install(prefix)
  _M.rename_library(prefix)
  rewrite(prefix .. "/" .. NATIVE_LUA, "kong-vault " .. _M.VERSION, "kong-vault " .. _M.OTHER)
end

--- Gives an installation of this release the other one's library.
function _M.rename_library(prefix)
  rewrite(prefix .. "/" .. LIBRARY, "kong-vault " .. _M.VERSION .. "\0", "kong-vault " .. _M.OTHER .. "\0")
end

--- Has the Lua files of an installation want a library of another ABI.
function _M.renumber_lua(prefix)
  rewrite(prefix .. "/" .. NATIVE_LUA, "local ABI_VERSION = ", "local ABI_VERSION = 1")
end

return _M
