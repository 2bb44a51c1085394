-- action.yml, played as a runner does: it fetches this build as if it were a release, and checks a repository's files with it.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local page = require "spec.support.page"
local process = require "spec.support.process"
local runner = require "spec.support.runner"
local wait = require "spec.support.wait"

local function run(...)
  local status, output = process.run({ command = { ... } })
  assert(status == 0, output)
  return (output:gsub("%s+$", ""))
end

-- A release: its archive for this machine with a command (this build's by default), and SHA256SUMS. Returns the folder, and the
-- checksum.
local function release(version, command)
  local folder = files.folder()
  -- As the action finds out which one it needs.
  local libc = process.run({ command = { "getconf", "GNU_LIBC_VERSION" } }) == 0 and "gnu" or "musl"
  local name = ("kong-vault-%s-%s-linux-%s"):format(version, run("uname", "-m"), libc)
  run("install", "-D", command or "build/bin/kong-vault", ("%s/%s/bin/kong-vault"):format(folder, name))
  run("tar", "-C", folder, "-I", "gzip -1", "-cf", ("%s/%s.tar.gz"):format(folder, name), name)
  local sum = run("sha256sum", ("%s/%s.tar.gz"):format(folder, name)):match "^%x+"
  files.write(folder .. "/SHA256SUMS", ("%s  other.tar.gz\n%s  %s.tar.gz\n"):format(("0"):rep(64), sum, name))
  return folder, sum
end

local RIGHT = [[
_format_version: "3.0"
vaults:
- { name: env, prefix: mine, config: { prefix: MINE_ } }
services:
- name: a
  url: "{vault://mine/a}"
]]
local WRONG = RIGHT:gsub("//mine/a", "//mnie/a")
local DOUBTFUL = RIGHT:gsub("{vault://mine/a}", "{vault:/mine/a}")

local ACTION_ALONE = [[
jobs:
  check:
    steps:
      - uses: actions/checkout@v7
      - id: check
        uses: kong-vault/kong-vault@v0.1
    outputs:
      command: ${{ steps.check.outputs.command }}
      errors: ${{ steps.check.outputs.errors }}
      warnings: ${{ steps.check.outputs.warnings }}
      sarif: ${{ steps.check.outputs.sarif }}
]]

describe("the action", function()
  teardown(cleanup.run)

  local version = files.read("Cargo.toml"):match '\nversion = "([^"]+)"'
  local missing = runner.lacking()
  local folder, sum

  -- Plays a workflow in a repository with these files, by a release of ours.
  local function play(workflow, repository, inputs)
    local place = files.folder()
    for name, text in pairs(repository) do
      run("mkdir", "-p", (place .. "/" .. name):match "^(.*)/")
      files.write(place .. "/" .. name, text)
    end
    inputs.url = inputs.url or "file://" .. folder
    return runner.play(files.write(files.folder() .. "/workflow.yml", workflow), {
      project = files.root,
      repository = place,
      inputs = inputs,
      env = {},
      github = {},
    })
  end

  -- Plays the action with these inputs. Returns the job.
  local function check(inputs, repository)
    return play(ACTION_ALONE, repository, inputs).check[1]
  end

  local function played(name, test)
    it(name, function()
      if missing then
        return pending("needs " .. missing)
      end
      if not folder then
        folder, sum = release(version)
      end
      test()
    end)
  end

  local function says(result, text)
    assert.truthy(result.log:find(text, 1, true), result.log)
  end

  played("annotates what is wrong, counts it, and fails", function()
    local found = check({ files = "kong/**/*.yaml\n  kong conf \n", sarif = "out/vaults.sarif" }, {
      ["kong/a.yaml"] = RIGHT,
      ["kong/deep/er/b.yaml"] = WRONG,
      ["kong/deep/c.yml"] = WRONG,
      ["kong conf"] = "vault_env_prefix = A_\n",
    })
    assert.equal("failure", found.result)
    says(found, "\n::error file=kong/deep/er/b.yaml,line=6,")
    says(found, "did you mean mine?")
    assert.is_nil(found.log:find("c.yml", 1, true))
    assert.same({ "1", "0", "out/vaults.sarif" }, { found.outputs.errors, found.outputs.warnings, found.outputs.sarif })
    says({ log = files.read(found.workspace .. "/out/vaults.sarif") }, '"2.1.0"')
  end)

  for _, row in ipairs({
    { "error", DOUBTFUL, "success" },
    { "warning", RIGHT, "success" },
    { "warning", DOUBTFUL, "failure" },
    { "never", WRONG, "success" },
  }) do
    local level, file, result = unpack(row)
    local what = file == RIGHT and "nothing" or file == WRONG and "an error" or "a warning"
    played(("with fail-on %s takes %s as %s"):format(level, what, result), function()
      local found = check({ files = "kong.yml", ["fail-on"] = level }, { ["kong.yml"] = file })
      assert.equal(result, found.result, found.log)
    end)
  end

  played("checks with the options of a kong.conf", function()
    local repository = {
      ["kong.yml"] = 'services: [{ name: a, url: "{vault://env/a}" }]\n',
      ["kong.conf"] = "vaults = off\n",
    }
    assert.equal("success", check({ files = "kong.yml" }, repository).result)
    assert.equal("failure", check({ files = "kong.yml", conf = "kong.conf" }, repository).result)
  end)

  played("runs nothing that a pattern holds, and takes no file for a flag", function()
    local name = "--resolve $(touch hurt).yml"
    local found = check({ files = "*.yml" }, { [name] = RIGHT })
    assert.equal("success", found.result, found.log)
    assert.is_false(files.exists(found.workspace .. "/hurt"))
    found = check({ files = "$(touch hurt)" }, { ["a.yml"] = RIGHT })
    assert.equal("failure", found.result)
    says(found, "::error title=kong-vault::`files`: no file is '$(touch hurt)'")
    assert.is_false(files.exists(found.workspace .. "/hurt"))
  end)

  played("fetches from a server of ours, once the checksum is given", function()
    local log = files.folder() .. "/http.log"
    process.start({
      command = { "python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", folder, "0" },
      output = log,
    })
    local port = wait.eventually("an HTTP server says where it is", function()
      return (files.read(log) or ""):match "port (%d+)"
    end)
    local url = ("http://127.0.0.1:%s/"):format(port)
    local found = check({ files = "a.yml", url = url }, { ["a.yml"] = RIGHT })
    assert.equal("failure", found.result)
    says(found, "`url` is without TLS: set `sha256`")
    found = check({ files = "a.yml", url = url, sha256 = sum:upper(), version = "v" .. version }, { ["a.yml"] = RIGHT })
    assert.equal("success", found.result, found.log)
    assert.truthy(files.exists(found.outputs.command))
  end)

  played("says what the command lacks where it cannot run", function()
    local broken = release(version, files.write(files.folder() .. "/command", "#!/bin/sh\nexit 127\n"))
    local found = check({ files = "a.yml", url = "file://" .. broken }, { ["a.yml"] = RIGHT })
    assert.equal("failure", found.result)
    says(found, " does not run here: it needs ")
  end)

  local text = page.read "docs/github-action.md"

  played("works as the docs' workflows say", function()
    local repository = {
      ["kong.conf"] = "vault_env_prefix = A_\n",
      ["kong/a.yaml"] = WRONG,
    }
    local tried = {}
    for _, block in ipairs(page.blocks(text)) do
      if block.language == "yaml" then
        tried[#tried + 1] = play(block.text, repository, {}).check[1]
      end
    end
    local annotating, scanning = unpack(tried)
    assert.equal("failure", annotating.result)
    says(annotating, "::error file=kong/a.yaml,line=6,")
    assert.equal("success", scanning.result, scanning.log)
    local upload = scanning.used[#scanning.used]
    assert.truthy(upload.action:find("github/codeql-action/upload-sarif", 1, true))
    assert.truthy(files.exists(scanning.workspace .. "/" .. upload.with.sarif_file))
  end)

  it("has the inputs that the docs list", function()
    local listed, has = {}, {}
    for name in text:match("## Inputs\n(.-)\nOutputs"):gmatch "\n| `([%w-]+)`" do
      listed[#listed + 1] = name
    end
    for name in files.read("action.yml"):match("\ninputs:\n(.-)\noutputs:"):gmatch "%f[^\n%z]  ([%w-]+):" do
      has[#has + 1] = name
    end
    assert.same(has, listed)
  end)

  for name, given in pairs({
    ["another checksum"] = { { sha256 = ("a"):rep(64) }, "has another checksum than aaaa" },
    ["what is no checksum"] = { { sha256 = "abc" }, "`sha256` is no SHA-256" },
    ["a version that is not there"] = { { version = "99.0.0" }, "is there a release 99.0.0 for" },
    ["what is no version"] = { { version = "../1.0.0" }, "`version` is '../1.0.0'" },
    ["a level that is none"] = { { ["fail-on"] = "errors" }, "write error, warning or never" },
    ["no files"] = { { files = "\n " }, "`files` is empty" },
  }) do
    played("refuses " .. name, function()
      local inputs, why = unpack(given)
      inputs.files = inputs.files or "a.yml"
      local found = check(inputs, { ["a.yml"] = RIGHT })
      assert.equal("failure", found.result)
      says(found, why)
    end)
  end
end)
