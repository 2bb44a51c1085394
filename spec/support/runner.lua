-- Plays GitHub's workflows: runner.py says how.

local cjson = require "cjson"

local files = require "spec.support.files"
local process = require "spec.support.process"

local PYTHON = files.root .. "/.venv/bin/python"

local _M = {}

--- Why nothing can be played; nil where it can.
function _M.lacking()
  return not files.exists(PYTHON) and "Python with PyYAML (.venv)" or nil
end

--- Plays a workflow. `context`: runner.py's; `workspace` and `temp` are made. Returns the jobs.
function _M.play(path, context)
  local folder = files.folder()
  context.temp, context.workspace = files.mkdir(folder .. "/temp"), files.mkdir(folder .. "/workspace")
  local given, result = folder .. "/context.json", folder .. "/result.json"
  files.write(given, cjson.encode(context))
  local status, output = process.run({
    command = { PYTHON, files.root .. "/spec/support/runner.py", path, given, result },
    seconds = 120,
  })
  assert(status == 0, output)
  return cjson.decode(files.read(result)).jobs
end

return _M
