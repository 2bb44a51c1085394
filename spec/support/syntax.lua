-- What is wrong with a block of a page that is not run: the parser of its language says so.

local cjson = require "cjson"

local files = require "spec.support.files"
local moto = require "spec.support.moto"
local nginx = require "spec.support.nginx"
local process = require "spec.support.process"

-- Returns what a command writes if it does not accept `text`, whose file is its last argument.
local function refused(text, ...)
  local path = files.folder() .. "/block"
  files.write(path, text)
  local command = { ... }
  command[#command + 1] = path
  local status, output = process.run({ command = command, env = {} })
  return status ~= 0 and output or nil
end

local _M = {}

function _M.lua(text)
  local chunk, err = loadstring(text)
  return not chunk and err or nil
end

function _M.json(text)
  local ok, err = pcall(cjson.decode, text)
  return not ok and err or nil
end

function _M.sh(text)
  return refused(text, "bash", "-n")
end

_M.bash = _M.sh

-- The server of AWS's API brings a Python that reads YAML. Tags, as Conjur's policies have them, are read as what they are on.
local YAML = [[
import sys, yaml
yaml.SafeLoader.add_multi_constructor("!", lambda loader, tag, node: tag)
for path in sys.argv[1:]:
    try:
        list(yaml.safe_load_all(open(path)))
    except yaml.YAMLError as error:
        sys.exit(f"{path}: {error}")
]]

--- Whether there is what reads YAML.
function _M.reads_yaml()
  return moto.program() ~= nil
end

--- What is wrong with the first of some texts in YAML that is not right. All are read by one process. `texts` maps the place of
-- each, as a file may be called, to it.
function _M.yaml(texts)
  local folder = files.folder()
  local command = { moto.program():match "^.*/" .. "python", "-c", YAML }
  for place, text in pairs(texts) do
    command[#command + 1] = folder .. "/" .. place:gsub("/", "+")
    files.write(command[#command], text)
  end
  local status, output = process.run({ command = command, env = {} })
  return status ~= 0 and output or nil
end

-- nginx itself, with what is around the block's directives.
function _M.nginx(text)
  -- Where the modules are, `nginx.flaw` knows.
  local inside = text:gsub("include /etc/nginx/modules%-enabled[^\n]*", "")
  if not text:find "%f[%w_]http {" then
    inside = text:find "%f[%w_]location " and ("server { %s }"):format(text) or text
    inside = ("events {}\nhttp { %s }"):format(inside)
  end
  return nginx.flaw(inside)
end

-- kong.conf, and the files of AWS and systemd.
function _M.ini(text)
  for line in text:gmatch "[^\n]+" do
    if not (line:match "^#" or line:match "^%[[%w ]+%]$" or line:match "^[%w_]+ ?= ?%S") then
      return "this is no assignment: " .. line
    end
  end
end

return _M
