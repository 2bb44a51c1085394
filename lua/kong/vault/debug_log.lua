-- Debug lines: what this worker and its engine are doing. They are off unless nginx's `error_log` has the level `debug`. They
-- name references, fetches and documents, and never hold a value.
--
-- A fetch has a number in its worker. A document has the same name in all workers of a node: a fetch that one worker waits
-- for can be found in the log of the worker that makes it.
--
-- A line that is off costs one call of `ngx.log`, which asks for the level first: what takes time is left to `__tostring`.

local native = require "kong.vault.native"

local ngx = ngx
local log = ngx and ngx.log or function() end
local DEBUG = ngx and ngx.DEBUG
local ipairs, pcall, setmetatable, sub = ipairs, pcall, setmetatable, string.sub

-- Characters of a document's name that a line shows.
local SHOWN = 12

-- What the next line shows. There is one of each, as they are only read while `log` runs.
local reference_shown = setmetatable({}, {
  __tostring = function(self)
    return native.name_reference(self.reference)
  end,
})
local document_shown = setmetatable({}, {
  __tostring = function(self)
    return sub(self.document, 1, SHOWN)
  end,
})

local _M = {}

-- Writes a line about a reference, which is shown without what may be secret in it.
function _M.reference(reference, ...)
  reference_shown.reference = reference
  log(DEBUG, "kong.vault: ", reference_shown, ": ", ...)
end

-- Writes a line about a fetch and the document that it is of.
function _M.fetch(ticket, document, ...)
  document_shown.document = document
  log(DEBUG, "kong.vault: fetch ", ticket, " of document ", document_shown, ": ", ...)
end

-- Writes any other line.
function _M.line(...)
  log(DEBUG, "kong.vault: ", ...)
end

-- Tells the engine whether the log has the level `debug` here, so that it makes lines of its own. Each is kept until the
-- listener takes it.
function _M.tell_engine()
  local known, errlog = pcall(require, "ngx.errlog")
  native.vm:want_debug_lines(known and errlog.get_sys_filter_level() >= DEBUG)
end

-- Writes the engine's lines that wait.
function _M.write_engine_lines()
  for _, line in ipairs(native.vm:debug_lines()) do
    log(DEBUG, "kong.vault: ", line)
  end
end

return _M
