-- A page of the docs as a script: its fenced blocks, in order.
--
--   sh        is run, in one shell for the whole page; each command has to succeed
--   text      right below an `sh` block: what that block writes; `…` stands for any text, on a line of its own for any lines
--   others    with a path of the file in a comment on the first line (`# /etc/kong/kong.conf`): written there
--
-- A mark behind `sh` says what a block needs that not every machine for tests has (`sh kong`), or how it ends (`sh fails`).

local files = require "spec.support.files"

local _M = {}

-- The languages whose blocks are kept in files.
local KEPT = { conf = true, hcl = true, ini = true, json = true, lua = true, nginx = true, yaml = true }

--- The marks of blocks that need something, each with what that is. A block is run only where it is at hand.
_M.NEEDS = {
  agent = "a Vault Agent's file of configuration around it",
  apisix = "an APISIX with etcd",
  aws = "credentials of AWS itself",
  cloud = "a machine of a cloud",
  docker = "a container engine",
  idp = "an identity provider",
  kong = "a Kong Gateway",
  kubernetes = "a cluster",
  ldap = "a directory",
  package = "a release's package",
  postgres = "a Kong Gateway and Postgres",
  source = "to build the project from nothing",
  systemd = "a machine that systemd runs",
}

--- The fenced blocks of a page: `{ language, mark, line, text }`.
function _M.blocks(text)
  local found, open = {}, nil
  local number = 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    local language, mark = line:match "^```(%a*) ?(.*)$"
    if open and line == "```" then
      open.text = table.concat(open, "\n") .. "\n"
      found[#found + 1] = open
      open = nil
    elseif open then
      open[#open + 1] = line
    elseif language then
      open = { language = language, mark = mark, line = number, after = found[#found] }
    elseif line:match "%S" then
      -- A `text` block below other text does not show the output of the block above that text.
      found[#found + 1] = { language = "", text = "", line = number }
    end
  end
  assert(not open, "a block that has no end")
  return found
end

local function quoted(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

--- Makes a script for bash of `blocks`. It leaves the output of the block in line N in `folder`/N. `at_hand` has the marks whose
-- need is met here. Returns the script, the output that each block must have, by line, how many blocks the script runs, and the
-- marks of those that it leaves out.
function _M.script(blocks, folder, at_hand)
  local script, expected, runs, lacking = {}, {}, 0, {}
  local function add(format, ...)
    script[#script + 1] = format:format(...)
  end
  local function runnable(block)
    return not _M.NEEDS[block.mark] or (at_hand or {})[block.mark]
  end
  for _, block in ipairs(blocks) do
    local path = block.text:match "^[#/-]+ (/[^%s…]+)\n"
    if block.language == "sh" and not runnable(block) then
      lacking[block.mark] = true
    elseif block.language == "sh" then
      local mark = block.mark
      assert(mark == "" or mark == "fails" or _M.NEEDS[mark], ("line %d: an unknown mark, %s"):format(block.line, mark))
      runs = runs + 1
      add("echo %d > %s/at", block.line, folder)
      if block.mark == "fails" then
        add("set +e\n{\n%s} > %s/%d 2>&1\nset -e", block.text, folder, block.line)
      else
        add("{\n%s} > %s/%d 2>&1", block.text, folder, block.line)
      end
    elseif block.language == "text" and block.after and block.after.language == "sh" then
      if runnable(block.after) then
        expected[block.after.line] = block.text
      end
    elseif KEPT[block.language] and path then
      add("mkdir -p %s\nprintf %%s %s > %s", quoted(path:match "^(.*)/"), quoted(block.text), quoted(path))
    end
  end
  return table.concat(script, "\n") .. "\n", expected, runs, lacking
end

-- A pattern for one line of expected output.
local function pattern(line)
  return "^" .. line:gsub("%p", "%%%0"):gsub("%%?\226%%?\128%%?\166", ".-") .. "$"
end

--- Whether `output` is what `expected` shows; otherwise returns the first line that is missing.
function _M.shows(output, expected)
  local lines = {}
  for line in output:gmatch "([^\n]*)\n?" do
    lines[#lines + 1] = (line:gsub("%s+$", ""))
  end
  local at = 1
  local any = false
  for line in expected:gmatch "([^\n]*)\n" do
    if line == "…" then
      any = true
    else
      while any and lines[at] and not lines[at]:match(pattern(line)) do
        at = at + 1
      end
      if not (lines[at] and lines[at]:match(pattern(line))) then
        return false, line
      end
      at, any = at + 1, false
    end
  end
  return true
end

--- Returns a page's text.
function _M.read(name)
  return assert(files.read(files.root .. "/" .. name), name)
end

--- The names of all pages, sorted.
function _M.all()
  local pages = { "README.md" }
  for _, name in ipairs(files.list(files.root .. "/docs")) do
    if name:match "%.md$" then
      pages[#pages + 1] = "docs/" .. name
    end
  end
  table.sort(pages)
  return pages
end

return _M
