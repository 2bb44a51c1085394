-- The docs' pages do what they say: their commands are run as they stand, and write what the pages show.

local bao = require "spec.support.bao"
local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local moto = require "spec.support.moto"
local page = require "spec.support.page"
local process = require "spec.support.process"

local PAGES = page.all()

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

-- A Kong Gateway's command, and the directory of Postgres's programs.
local KONG, POSTGRES = variable "TEST_KONG", variable "TEST_POSTGRES"
local AT_HAND = { kong = KONG ~= nil, postgres = (KONG and POSTGRES) ~= nil }

-- What is missing for blocks with a mark that can be met by these.
local ASK = { kong = "a Kong Gateway (TEST_KONG)", postgres = "a Kong Gateway and Postgres (TEST_KONG, TEST_POSTGRES)" }

-- Why pages can't be run here; nil where they can.
local function lacking()
  if not (bao.program() and moto.program()) then
    return "an OpenBao and an AWS-API server (TEST_BAO, TEST_MOTO)"
  end
  local try = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w && "
    .. "mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w /etc"
  if process.run({ command = command("sh", "-c", try) }) ~= 0 then
    return "the right to make namespaces and mounts"
  end
end

describe("the page", function()
  teardown(cleanup.run)

  local missing = lacking()
  local pair, ca
  setup(function()
    ca = certs.authority "vault.internal"
    pair = ca.issue("vault", "DNS:vault.internal,DNS:localhost,IP:127.0.0.1")
  end)

  local function copy(from, to)
    files.write(to, assert(files.read(from)))
  end

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
            TEST_KONG = KONG,
            TEST_POSTGRES = POSTGRES,
          },
          seconds = 120,
        })
        local at = (files.read(folder .. "/out/at") or "?"):match "%d+" or "?"
        local wrote = files.read(folder .. "/out/" .. at) or output
        assert(status == 0, ("line %s ends with status %s:\n%s"):format(at, status, wrote))
        for line, text in pairs(expected) do
          local out = files.read(folder .. "/out/" .. line)
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
