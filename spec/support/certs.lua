-- Certificates, made with the `openssl` command.

local files = require "spec.support.files"
local process = require "spec.support.process"

local _M = {}

local function openssl(...)
  local status, output = process.run({ command = { "openssl", ... } })
  assert(status == 0, output)
end

local KEY = { "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes" }

local function with_key(command, ...)
  local arguments = { command }
  for _, argument in ipairs(KEY) do
    arguments[#arguments + 1] = argument
  end
  for _, argument in ipairs({ ... }) do
    arguments[#arguments + 1] = argument
  end
  openssl(unpack(arguments))
end

--- Makes a certificate authority: `certificate` (its file's path) and `issue`.
function _M.authority(name)
  local folder = files.folder()
  local ca = { certificate = folder .. "/ca.pem", key = folder .. "/ca.key" }
  with_key("req", "-x509", "-days", "2", "-subj", "/CN=" .. name, "-keyout", ca.key, "-out", ca.certificate)

  --- Makes a server's certificate for `names`, such as `DNS:localhost,IP:127.0.0.1`. Returns `{ certificate, key }`, paths of
  -- files. `days`: how long it is valid; with -1 it has expired.
  function ca.issue(file, names, days)
    local pair = { certificate = folder .. "/" .. file .. ".pem", key = folder .. "/" .. file .. ".key" }
    local request, extensions = folder .. "/" .. file .. ".csr", folder .. "/" .. file .. ".ext"
    files.write(extensions, "subjectAltName=" .. names .. "\nbasicConstraints=CA:FALSE\n")
    with_key("req", "-new", "-subj", "/CN=" .. file, "-keyout", pair.key, "-out", request)
    -- stylua: ignore
    openssl("x509", "-req", "-days", tostring(days or 2), "-in", request, "-CA", ca.certificate, "-CAkey", ca.key,
      "-CAcreateserial", "-extfile", extensions, "-out", pair.certificate)
    return pair
  end

  return ca
end

return _M
