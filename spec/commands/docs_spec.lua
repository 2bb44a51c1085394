-- The docs' pages do what they say: their commands are run as they stand, and write what the pages show.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local machine = require "spec.support.machine"
local page = require "spec.support.page"

local PAGES = page.all()

local KONG, POSTGRES = machine.KONG, machine.POSTGRES
local AT_HAND = { kong = KONG ~= nil, postgres = (KONG and POSTGRES) ~= nil }

-- What is missing for blocks with a mark that can be met by these.
local ASK = { kong = "a Kong Gateway (TEST_KONG)", postgres = "a Kong Gateway and Postgres (TEST_KONG, TEST_POSTGRES)" }

describe("the page", function()
  teardown(cleanup.run)

  local missing = machine.lacking()

  for _, name in ipairs(PAGES) do
    local blocks = page.blocks(page.read(name))
    local script, expected, runs, left_out = page.script(blocks, "/mnt/out", AT_HAND)
    for mark, need in pairs(ASK) do
      if left_out[mark] then
        it(name .. " runs its blocks marked " .. mark, function()
          pending("needs " .. need)
        end)
      end
    end
    if runs > 0 then
      it(name .. " runs as it stands", function()
        if missing then
          return pending("needs " .. missing)
        end
        local status, output, wrote_to = machine.run(script)
        local at = (files.read(wrote_to .. "/at") or "?"):match "%d+" or "?"
        local wrote = files.read(wrote_to .. "/" .. at) or output
        assert(status == 0, ("line %s ends with status %s:\n%s"):format(at, status, wrote))
        for line, text in pairs(expected) do
          local out = files.read(wrote_to .. "/" .. line)
          local ok, absent = page.shows(out, text)
          assert(ok, ("line %d does not show %q:\n%s"):format(line, absent or "", out))
        end
      end)
    end
  end
end)

describe("what a page shows", function()
  it("is compared line by line, with … for what changes", function()
    assert.is_true(page.shows("a\nb 12 ms\nc\n", "a\nb … ms\nc\n"))
    assert.is_true(page.shows("a\nb\nc\nd\n", "a\n…\nd\n"))
    assert.is_false((page.shows("a\nb\n", "b\n")))
    assert.is_false((page.shows("a\n", "a\nb\n")))
    assert.is_false((page.shows("a.c\n", "abc\n")))
  end)

  it("has its commands and files in their order", function()
    local blocks = page.blocks(table.concat({
      "# x",
      "```yaml",
      "# /etc/a.yml",
      "a: 1",
      "```",
      "",
      "```sh",
      "cat /etc/a.yml",
      "```",
      "",
      "```text",
      "a: 1",
      "```",
      "```sh kong",
      "kong start",
      "```",
    }, "\n"))
    local script, expected, runs, left_out = page.script(blocks, "/out")
    assert.matches("/etc/a.yml.*cat /etc/a.yml", script)
    assert.is_nil(script:find("kong start", 1, true))
    assert.equal(1, runs)
    assert.same({ kong = true }, left_out)
    assert.same({ [7] = "a: 1\n" }, expected)

    script, expected, runs, left_out = page.script(blocks, "/out", { kong = true })
    assert.matches("cat /etc/a.yml.*kong start", script)
    assert.equal(2, runs)
    assert.same({}, left_out)
    assert.same({ [7] = "a: 1\n" }, expected)
  end)
end)
