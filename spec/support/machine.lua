-- The machine that the docs' readers have (machine.sh), for scripts that change it.

local bao = require "spec.support.bao"
local certs = require "spec.support.certs"
local files = require "spec.support.files"
local moto = require "spec.support.moto"
local process = require "spec.support.process"

local _M = {}

-- Namespaces of its own, which end with all that runs in them.
local NAMESPACES = { "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc" }

local function command(...)
  local list = { unpack(NAMESPACES) }
  for _, argument in ipairs({ ... }) do
    list[#list + 1] = argument
  end
  return list
end

local function variable(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- A Kong Gateway's command, and the directory of Postgres's programs, if there are any.
_M.KONG, _M.POSTGRES = variable "TEST_KONG", variable "TEST_POSTGRES"

--- Returns why no such machine can be made here; nil where it can.
function _M.lacking()
  if not (bao.program() and moto.program()) then
    return "an OpenBao and an AWS-API server (TEST_BAO, TEST_MOTO)"
  end
  local try = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w && "
    .. "mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w /etc"
  if process.run({ command = command("sh", "-c", try) }) ~= 0 then
    return "the right to make namespaces and mounts"
  end
end

--- The same for a machine with a Kong Gateway.
function _M.lacking_kong()
  return _M.lacking() or not _M.KONG and "a Kong Gateway (TEST_KONG)" or nil
end

local pair, ca

local function copy(from, to)
  files.write(to, assert(files.read(from)))
end

--- Runs a script on such a machine. Returns its status, its output, and the folder of what it wrote to /mnt/out.
function _M.run(script)
  if not ca then
    ca = certs.authority "vault.internal"
    pair = ca.issue("vault", "DNS:vault.internal,DNS:localhost,IP:127.0.0.1")
  end
  local folder = files.folder()
  files.mkdir(folder .. "/out")
  files.write(folder .. "/page", script)
  copy(pair.certificate, folder .. "/vault.pem")
  copy(pair.key, folder .. "/vault.key")
  copy(ca.certificate, folder .. "/ca.pem")
  local status, output = process.run({
    command = command(files.root .. "/spec/support/machine.sh", folder, files.root),
    env = {
      HOME = "/root",
      LC_ALL = "C.UTF-8",
      TEST_BAO = bao.program(),
      TEST_MOTO = moto.program(),
      TEST_KONG = _M.KONG,
      TEST_POSTGRES = _M.POSTGRES,
    },
    seconds = 120,
  })
  return status, output, folder .. "/out"
end

--- Runs a script that has to succeed; otherwise raises with its output. Returns the folder of what it wrote to /mnt/out.
function _M.succeed(script)
  local status, output, out = _M.run(script)
  assert(status == 0, output)
  return out
end

return _M
