-- Debug lines: what this worker is doing. They are off unless nginx's `error_log` has the level `debug`. They name references,
-- fetches and documents, and never hold a value.
--
-- A fetch has a number in its worker. A document has the same name in all workers of a node: a fetch that one worker waits
-- for can be found in the log of the worker that makes it.

local native = require "kong.vault.native"

local ngx = ngx
local sub = string.sub

-- Characters of a document's name that a line shows.
local SHOWN = 12

local DEBUG = ngx and ngx.DEBUG

-- Reads the log level that applies to the running request or timer; nil outside nginx.
local level
if DEBUG then
  local loaded, errlog = pcall(require, "ngx.errlog")
  level = loaded and errlog.get_sys_filter_level or nil
end

local _M = {}

local function is_on()
  return level ~= nil and level() >= DEBUG
end

-- Writes a line about a reference, which is shown without what may be secret in it.
function _M.reference(reference, ...)
  if is_on() then
    ngx.log(DEBUG, "kong.vault: ", native.name_reference(reference), ": ", ...)
  end
end

-- Writes a line about a fetch and the document that it is of.
function _M.fetch(ticket, document, ...)
  if is_on() then
    ngx.log(DEBUG, "kong.vault: fetch ", ticket, " of document ", sub(document, 1, SHOWN), ": ", ...)
  end
end

-- Writes any other line.
function _M.line(...)
  if is_on() then
    ngx.log(DEBUG, "kong.vault: ", ...)
  end
end

return _M
