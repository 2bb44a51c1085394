-- With `vault_references = everywhere`, a real Kong takes references where docs/references-everywhere.md says. With TEST_WRITE=1,
-- the table of that page is written anew.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local kong_fields = require "spec.support.kong_fields"
local machine = require "spec.support.machine"

local PAGE = files.root .. "/docs/references-everywhere.md"
local BEGIN, END = "<!-- fields:begin -->\n", "<!-- fields:end -->"

-- A Kong without a database, with and without the option. Its proxy answers with what its workers get of a configuration.
local SCRIPT = [[
cat >/mnt/kong.yml <<'KONG'
_format_version: "3.0"
services:
- name: answer
  url: http://127.0.0.1:9
  routes:
  - name: answer
    paths: ["/"]
    plugins:
    - name: pre-function
      config:
        access:
        - |
%s
KONG
export KONG_DATABASE=off KONG_DECLARATIVE_CONFIG=/mnt/kong.yml KONG_PLUGINS=bundled,kong-vault KONG_UNTRUSTED_LUA=on
export KONG_PROXY_LISTEN=127.0.0.1:8000 KONG_ADMIN_LISTEN=127.0.0.1:8001 KONG_ADMIN_GUI_LISTEN=off KONG_STATUS_LISTEN=off
export KONG_NGINX_USER='root root' SOME_SECRET=resolved
export KONG_PREFIX=/mnt/kong
fields() {
  LUA_PATH="./?.lua;;" luajit spec/support/kong_fields.lua "$@"
}
kong start
fields 8001 >/mnt/out/own
kong stop
KONG_VAULT_REFERENCES=everywhere kong start
fields 8001 8000 >/mnt/out/everywhere
kong stop
]]

local function script()
  return SCRIPT:format((kong_fields.ANSWER:gsub("[^\n]+", "          %0")))
end

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    list[#list + 1] = {}
    for item in (line .. "\t"):gmatch "(.-)\t" do
      table.insert(list[#list], item)
    end
  end
  return list
end

-- Returns by plugin, in their order: the paths of the texts that may hold references by `everywhere`, of those of Kong's own, and
-- of the others.
local function sorted(own, tried)
  local is_own, found, names = {}, {}, {}
  for _, line in ipairs(own) do
    is_own[line[1] .. " " .. line[2]] = true
  end
  for _, line in ipairs(tried) do
    local plugin, path, whole, inside = unpack(line)
    if not found[plugin] then
      found[plugin] = { everywhere = {}, own = {}, never = {} }
      names[#names + 1] = plugin
    end
    local list = whole == "whole" and inside == "inside" and "everywhere" or "never"
    list = list == "everywhere" and is_own[plugin .. " " .. path] and "own" or list
    table.insert(found[plugin][list], path)
  end
  return names, found
end

local function cell(paths)
  table.sort(paths)
  return #paths > 0 and "`" .. table.concat(paths, "`, `") .. "`" or "none"
end

local function as_table(names, found)
  local rows =
    { "| plugin | fields with `everywhere` | fields in any case | texts that take none |", "|---|---|---|---|" }
  for _, name in ipairs(names) do
    local of = found[name]
    rows[#rows + 1] = ("| %s | %s | %s | %s |"):format(name, cell(of.everywhere), cell(of.own), cell(of.never))
  end
  return table.concat(rows, "\n") .. "\n"
end

describe("the fields of Kong's plugins", function()
  teardown(cleanup.run)

  it("take references where the page says", function()
    local missing = machine.lacking_kong()
    if missing then
      return pending("needs " .. missing)
    end
    local out = machine.succeed(script())
    local own, tried = lines(files.read(out .. "/own")), lines(files.read(out .. "/everywhere"))
    local names, found = sorted(own, tried)
    -- Only Lua code takes none.
    for name, of in pairs(found) do
      for _, path in ipairs(of.never) do
        assert(name:find "%-function$" or path:find "_by_lua", name .. "." .. path)
      end
    end
    local page = files.read(PAGE)
    local from, to = select(2, page:find(BEGIN, 1, true)), page:find(END, 1, true)
    local wanted = as_table(names, found)
    if os.getenv "TEST_WRITE" then
      files.write(PAGE, page:sub(1, from) .. "\n" .. wanted .. "\n" .. page:sub(to))
    else
      assert.equal("\n" .. wanted .. "\n", page:sub(from + 1, to - 1))
    end
  end)
end)
