-- The docs' pages hold together: each is in the table of contents, links lead somewhere, blocks that are not run are right in
-- their language, and errors, names of files and versions are the project's own.

local files = require "spec.support.files"
local page = require "spec.support.page"
local process = require "spec.support.process"
local syntax = require "spec.support.syntax"

local PAGES = page.all()

-- The project's own files outside of docs/ that link to pages.
local OTHERS = {}
for _, name in ipairs({
  "SECURITY.md",
  "ARCHITECTURE.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "benches/README.md",
  "packaging/README.md",
  "packaging/compose/README.md",
  "packaging/docker/README.md",
  "packaging/helm/README.md",
  "packaging/kubernetes/README.md",
}) do
  if files.exists(files.root .. "/" .. name) then
    OTHERS[#OTHERS + 1] = name
  end
end

local function each(names)
  local list = {}
  for _, name in ipairs(names) do
    list[#list + 1] = { name, page.read(name) }
  end
  return ipairs(list)
end

-- The headings' anchors, as GitHub and mdBook make them.
local function anchors(text)
  local found, seen = {}, {}
  for heading in ("\n" .. text:gsub("\n```.-\n```", "\n")):gmatch "\n#+ ([^\n]+)" do
    local anchor = heading:lower():gsub("%[(.-)%]%b()", "%1"):gsub("[^%w%s_-]", ""):gsub("%s", "-")
    seen[anchor] = (seen[anchor] or -1) + 1
    found[seen[anchor] == 0 and anchor or anchor .. "-" .. seen[anchor]] = true
  end
  return found
end

-- Calls `see(target, anchor)` for each link of a page that stays in the project, with the path below the project's folder.
local function links(name, text, see)
  for target, anchor in text:gsub("\n```.-\n```", "\n"):gmatch "%]%(([^)%s#]*)#?([^)%s]*)%)" do
    if not target:find("://", 1, true) then
      local at = target == "" and name or (name:match "^.*/" or "") .. target
      while at:find "[^/]+/%.%./" do
        at = at:gsub("[^/]+/%.%./", "", 1)
      end
      see(at, anchor)
    end
  end
end

-- All of the project's sources, as one text.
local function sources()
  local status, output = process.run({
    command = {
      "sh",
      "-c",
      [[cat $(find "$1/src" "$1/cli/src" "$1/native/src" "$1/lua" -name '*.rs' -o -name '*.lua')]],
      "sh",
      files.root,
    },
    env = {},
  })
  assert(status == 0, output)
  -- Rust's texts go on in the next line; placeholders stand for anything.
  return (output:gsub("\\\n%s*", ""):gsub('"%s*\n?%s*%.%.%s*"', ""):gsub("`", ""))
end

describe("the pages", function()
  it("link to files and headings that are there", function()
    local checked = 0
    for _, names in ipairs({ PAGES, OTHERS }) do
      for _, one in each(names) do
        links(one[1], one[2], function(target, anchor)
          assert(files.exists(files.root .. "/" .. target), ("%s links to %s"):format(one[1], target))
          local there = anchor == "" or anchors(page.read(target))[anchor]
          assert(there, ("%s links to %s#%s"):format(one[1], target, anchor))
          checked = checked + 1
        end)
      end
    end
    assert.is_true(checked > 200)
  end)

  it("are all in the table of contents, once", function()
    local found = {}
    links("docs/SUMMARY.md", page.read "docs/SUMMARY.md", function(target)
      assert(not found[target], target .. " is in SUMMARY.md twice")
      found[target] = true
    end)
    for _, name in ipairs(PAGES) do
      assert(found[name] or name == "docs/SUMMARY.md" or name == "README.md", name .. " is not in SUMMARY.md")
    end
  end)

  it("have blocks that are run, read by a parser, or marked with what they need", function()
    local yaml = {}
    for _, one in each(PAGES) do
      for _, block in ipairs(page.blocks(one[2])) do
        local at = ("%s:%d: "):format(one[1], block.line)
        local mark = block.mark or ""
        assert(mark == "" or mark == "fails" or page.NEEDS[mark], at .. "an unknown mark, " .. mark)
        if block.language == "yaml" then
          yaml[("%s:%d"):format(one[1], block.line)] = block.text
        elseif syntax[block.language] then
          local flaw = syntax[block.language](block.text)
          assert(not flaw, at .. tostring(flaw))
        elseif block.language ~= "text" and block.language ~= "" then
          local kept = block.text:match "^[#/-]+ /%S+\n"
          assert(kept or page.NEEDS[mark], at .. "nothing reads this block, and no mark says why")
        end
      end
    end
    if not syntax.reads_yaml() then
      return pending "YAML needs TEST_MOTO, whose Python reads it"
    end
    assert.is_nil(syntax.yaml(yaml))
  end)

  it("quote errors that the project returns", function()
    local all = sources()
    local checked, unknown = 0, {}
    for line in page.read("docs/troubleshooting.md"):gmatch "[^\n]+" do
      local first = line:match "^| (`.-) | "
      for text in (first or ""):gmatch "`([^`]+)`" do
        for part in (text .. "…"):gmatch "(.-)…" do
          -- `…` stands for what is put in when the error is made.
          unknown[#unknown + 1] = not all:find(part, 1, true) and text or nil
          checked = checked + 1
        end
      end
    end
    assert.same({}, unknown)
    assert.is_true(checked > 30)
  end)

  it("name files of this version, and metrics that are there", function()
    local version = page.read("Cargo.toml"):match '\nversion = "([%d.]+)"'
    local metrics = ""
    for _, file in ipairs({ "src/resolver/metrics.rs", "src/resolver/exposition.rs" }) do
      metrics = metrics .. page.read(file):match "^(.-)\n#%[cfg%(test%)%]"
    end
    for _, one in each(PAGES) do
      for found in one[2]:gmatch "kong%-vault[-_](%d+%.%d+%.%d+)" do
        assert.equal(version, found, one[1])
      end
      for name in one[2]:gmatch "kong_vault_([%l_]+)" do
        local base = name:gsub("_total$", ""):gsub("_bucket$", "")
        assert(metrics:find(('"%s"'):format(base), 1, true), ("%s names a metric %s"):format(one[1], name))
      end
    end
    local listed = page.read "docs/monitor.md"
    for name in metrics:gmatch '%("([%l_]+)", "' do
      assert(listed:find("kong_vault_" .. name, 1, true), "monitor.md lacks " .. name)
    end
  end)

  it("has a README of two screens", function()
    local _, lines = page.read("README.md"):gsub("\n", "")
    assert.is_true(lines <= 130)
  end)
end)
