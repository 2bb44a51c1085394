-- A megabyte of whatever is made to cost much, sent to the Admin API of a real nginx: what it costs the worker.

local admin = require "spec.support.admin"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local SIZE = 1000000

-- What a request may cost the worker: seconds of its CPU, and memory, in KB.
local TIME, MEMORY = 1, 100 * 1024

local CALLS = { { "PUT", "/vaults/mine" }, { "POST", "/vaults" }, { "PATCH", "/vaults/mine" } }

-- A piece again and again, with its number in the place of `#`.
local function many(piece)
  local pieces, size = {}, 0
  while size < SIZE do
    pieces[#pieces + 1] = (piece:gsub("#", #pieces))
    size = size + #pieces[#pieces]
  end
  return table.concat(pieces)
end

local JSON = {
  { "nested lists", '{"config":' .. ("["):rep(SIZE / 2) .. ("]"):rep(SIZE / 2) .. "}" },
  { "nested objects", many '{"a":' },
  {
    "nested objects in an option",
    '{"name":"hcv","config":{"token":' .. ('{"a":'):rep(100000) .. "1" .. ("}"):rep(100002),
  },
  { "JSON in an option", '{"name":"hcv","config":{"token":"' .. ('{\\"a\\":'):rep(SIZE / 7) .. '"}}' },
  { "tags", '{"name":"env","tags":[' .. many '"t#",' .. '"z"]}' },
  { "one tag", '{"name":"env","tags":[' .. many '"t",' .. '"z"]}' },
  { "fields", '{"name":"env",' .. many '"k#":1,' .. '"z":1}' },
  { "one field", "{" .. many '"name":"hcv",' .. '"name":"env"}' },
  { "options", '{"name":"hcv","config":{' .. many '"k#":1,' .. '"z":1}}' },
  { "wrong options", '{"name":"hcv","config":{' .. many '"token":{},' .. '"z":1}}' },
  { "a list of an option", '{"name":"hcv","config":{"redirect_hosts":[' .. many '"a#",' .. '"z"]}}' },
  { "a list of empty texts", '{"name":"hcv","config":{"redirect_hosts":[' .. many '"",' .. '"z"]}}' },
  { "a reference", '{"name":"hcv","config":{"token":"{vault://env/' .. many "%41" .. '}"}}' },
  { "a reference's options", '{"name":"hcv","config":{"token":"{vault://env/a?' .. many "k#=1&" .. '}"}}' },
}

local FORMS = {
  { "fields", many "k#=1&" },
  { "options", "name=hcv&" .. many "config.k#=1&" },
  { "tags", "name=env&" .. many "tags[]=t#&" },
  { "nested fields", "a" .. ("[b]"):rep(SIZE / 3) .. "=1" },
  { "fields of many parts", many("config" .. ("[a]"):rep(40) .. "[k#]=1&") },
  { "a list of an option", "name=hcv&config.redirect_hosts=" .. many "a#," },
}

describe("a megabyte sent to the Admin API", function()
  local server

  setup(function()
    server = admin.start(admin.folder(), { http = "client_body_buffer_size 2m;" })
  end)

  teardown(cleanup.run)

  -- Each of the verbs in turn.
  local turn = 0

  local function costs_little(content_type, body)
    assert.equal(200, (admin.form(server, "PUT", "/vaults/mine", "name=env")))
    turn = turn % #CALLS + 1
    local method, path = unpack(CALLS[turn])
    local pid = server:worker()
    local before, cpu = process.memory(pid), process.cpu(pid)
    -- The most that it has in use at once is found out anew from here on.
    files.write(("/proc/%d/clear_refs"):format(pid), "5")
    local status = admin.call(server, method, path, { body = body, headers = { ["Content-Type"] = content_type } })
    assert.is_true(status < 500, method .. ": " .. status)
    assert.equal(pid, server:worker())
    local took, more = process.cpu(pid) - cpu, process.status_of(pid, "VmHWM") - before
    assert.is_true(took <= wait.cpu(TIME), ("%s took %.2f s"):format(method, took))
    assert.is_true(more <= MEMORY, ("%s took %d KB"):format(method, more))
  end

  for _, case in ipairs(JSON) do
    it("as JSON is answered quickly and in little memory: " .. case[1], function()
      costs_little("application/json", case[2])
    end)
  end

  for _, case in ipairs(FORMS) do
    it("as a form is answered quickly and in little memory: " .. case[1], function()
      costs_little("application/x-www-form-urlencoded", case[2])
    end)
  end

  it("leaves nothing behind, and the next request is answered", function()
    assert.equal(204, (admin.call(server, "DELETE", "/vaults/mine")))
    local _, list = admin.call(server, "GET", "/vaults")
    assert.same({}, list.data)
    assert.same({}, server:flaws())
  end)
end)
