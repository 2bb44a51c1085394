-- .github/workflows/release.yml, played from the tag to the published release. What it would do elsewhere is done by stand-ins,
-- which note their arguments.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local process = require "spec.support.process"
local runner = require "spec.support.runner"

local VERSION = "7.1.0"

-- make leaves artefacts that depend on what it was told alone, or also on where it runs.
local STAND_INS = {
  make = [=[
[ "$1" = dist ] || exit 0
version=$(scripts/release version)
mkdir dist
for name in "$version-$ARCH-linux-gnu.tar.gz" "$version-$ARCH-linux-musl.tar.gz" "$version.cdx.json" "$version-1.src.rock"; do
  echo "$name ${MOVES:+$PWD}" >"dist/kong-vault-$name"
done
cd dist && sha256sum -- * >../sums && mv ../sums SHA256SUMS]=],
  gh = [=[
case "$*" in
"release create "*) for file in "${@:3}"; do [[ $file != dist/* ]] || [ -s "$file" ] || exit 1; done
  while [ "$1" != --notes-file ]; do shift; done
  cat "$2" ;;
"release upload "*) cat "$4" ;;
"api repos/"*"/git/ref/tags/"*) [ -n "${MOVED_BEFORE:-}" ] ;;
esac]=],
  cosign = [[echo signed >"$4"]],
  luarocks = [=[[ "$1" != lint ] || exec /usr/bin/luarocks "$@"
cat ~/.luarocks/upload_config.lua "$3"]=],
  sudo = "",
  docker = "",
  curl = [=[[[ $* = *:8000/* ]] && echo "this request has x-api-key: $API_KEY" || echo s3cret]=],
  git = "",
  rustup = "",
}

local function copy(from, to)
  local status, output = process.run({ command = { "cp", "-a", from, to } })
  assert(status == 0, output)
end

-- The project, as far as a release needs it, in another version.
local function project(version, changelog)
  local folder = files.folder()
  for _, name in ipairs({ ".github", "scripts", "packaging", "rockspec", "Cargo.toml" }) do
    copy(name, folder)
  end
  local cargo = files.read(folder .. "/Cargo.toml"):gsub('\nversion = "[^"]*"', ('\nversion = "%s"'):format(version), 1)
  files.write(folder .. "/Cargo.toml", cargo)
  for _, name in ipairs(files.list(folder .. "/rockspec")) do
    local rockspec = files.read(folder .. "/rockspec/" .. name):gsub('\nversion = "[^-]*', '\nversion = "' .. version)
    os.remove(folder .. "/rockspec/" .. name)
    files.write(("%s/rockspec/kong-vault-%s-1.rockspec"):format(folder, version), rockspec)
  end
  local written = ("# Changelog\n\n## %s (2031-02-03)\n\n- New.\n\n## 7.0.0\n\n- Old.\n"):format(version)
  files.write(folder .. "/CHANGELOG.md", changelog or written)
  return folder
end

-- Plays the release. Returns the jobs, and each stand-in's calls, one a line.
local function release(given)
  local folder = files.folder()
  for name, script in pairs(STAND_INS) do
    local text = ('#!/bin/bash\necho "%s $*" >>%s/calls\n%s\n'):format(name, folder, script)
    local path = files.write(folder .. "/" .. name, text)
    files.chmod(path, 493)
  end
  local version = given.version or VERSION
  local env = { PATH = folder .. ":" .. os.getenv "PATH", HOME = folder }
  for name, value in pairs(given.env or {}) do
    env[name] = value
  end
  local root = project(version, given.changelog)
  local jobs = runner.play(root .. "/.github/workflows/release.yml", {
    repository = root,
    project = root,
    env = env,
    github = {
      event_name = given.event or "push",
      ref_name = given.tag or "v" .. version,
      ref = "refs/tags/v" .. version,
      repository = "kong-vault/kong-vault",
      repository_owner = "kong-vault",
      sha = ("c"):rep(40),
      token = "the-runs-own-token",
    },
    vars = given.vars or {},
    secrets = { LUAROCKS_API_KEY = "the-key-of-luarocks" },
  })
  return jobs, files.read(folder .. "/calls") or ""
end

local function results(jobs)
  local found = {}
  for name, runs in pairs(jobs) do
    for _, run in ipairs(runs) do
      found[name] = found[name] == "failure" and "failure" or run.result
    end
  end
  return found
end

-- Each call of the lines that holds all of these texts.
local function called(calls, ...)
  local found = {}
  for line in calls:gmatch "[^\n]+" do
    local all = true
    for _, text in ipairs({ ... }) do
      all = all and line:find(text, 1, true) ~= nil
    end
    found[#found + 1] = all and line or nil
  end
  return found
end

-- The inputs of an action that a job used.
local function used(run, name)
  for _, it in ipairs(run.used) do
    if it.action:match "^[^@]+" == name then
      return it.with
    end
  end
end

describe("a release", function()
  teardown(cleanup.run)

  local missing = runner.lacking()
  local function played(name, test)
    it(name, function()
      if missing then
        return pending("needs " .. missing)
      end
      test()
    end)
  end

  played("goes from the tag to what is public", function()
    local jobs, calls = release({})
    assert.same({
      version = "success",
      build = "success",
      distributions = "success",
      containers = "success",
      draft = "success",
      images = "success",
      publish = "success",
    }, results(jobs), jobs.draft and jobs.draft[1].log)

    -- Every artefact of every machine, what signs them, and nothing twice.
    local draft = called(calls, "gh release create v" .. VERSION, "--draft", "--verify-tag")
    assert.equal(1, #draft)
    local names = {}
    for name in draft[1]:gmatch " dist/(%S+)" do
      names[#names + 1] = name
    end
    assert.same({
      "SHA256SUMS",
      "SHA256SUMS.sigstore.json",
      "kong-vault-7.1.0-1.src.rock",
      "kong-vault-7.1.0-aarch64-linux-gnu.tar.gz",
      "kong-vault-7.1.0-aarch64-linux-musl.tar.gz",
      "kong-vault-7.1.0-x86_64-linux-gnu.tar.gz",
      "kong-vault-7.1.0-x86_64-linux-musl.tar.gz",
      "kong-vault-7.1.0.cdx.json",
    }, names)
    assert.truthy(jobs.draft[1].log:find("- New.", 1, true))
    assert.is_nil(jobs.draft[1].log:find("- Old.", 1, true))

    -- The draft is public once all images are there, whose digests it names.
    assert.equal(3, #jobs.images)
    for _, run in ipairs(jobs.images) do
      local push = used(run, "docker/build-push-action")
      assert.truthy(files.exists(push.file), push.file)
      assert.equal("VERSION=7.1.0", push["build-args"])
      assert.equal(used(run, "actions/attest-build-provenance")["subject-name"] .. ":7.1.0", push.tags)
    end
    local image = ("ghcr.io/kong-vault/kong:7.1.0@sha256:%s\n"):format(("d"):rep(64))
    assert.truthy(jobs.publish[1].log:find(image, 1, true), jobs.publish[1].log)
    -- Which it replaces where the job is run again.
    assert.equal(1, #called(calls, "gh release upload v7.1.0 IMAGES", "--clobber"))
    local last = calls:match "([^\n]*%-%-draft=false[^\n]*\n.*)"
    assert.truthy(last:find("^gh release edit v7.1.0 ", 1), last)
    assert.same({}, called(last, "release create"))

    -- The users of the action get it by vX.Y.
    assert.equal(1, #called(last, "gh api --method POST", "git/refs", "ref=refs/tags/v7.1", "sha=" .. ("c"):rep(40)))
    assert.same({}, called(calls, "luarocks"))
  end)

  played("started by hand publishes nothing", function()
    local jobs, calls = release({ event = "workflow_dispatch", tag = "main", changelog = "## Unreleased\n\n- New.\n" })
    assert.same(
      { version = "success", build = "success", distributions = "success", containers = "success" },
      results(jobs)
    )
    assert.same({}, called(calls, "gh "))
    assert.same({}, called(calls, "cosign "))
  end)

  for name, given in pairs({
    ["a version that LuaRocks and dpkg do not take for one before 7.1.0"] = {
      version = "7.1.0-rc.1",
      says = "a release has three numbers",
    },
    ["a tag of another version"] = { tag = "v7.2.0", says = "the tag has to be v7.1.0" },
    ["a changelog that knows nothing of it"] = {
      changelog = "## 7.0.0\n\n- Old.\n",
      says = "says nothing below '## 7.1.0'",
    },
    ["what is still called unreleased"] = {
      changelog = "## Unreleased\n\n- Newer.\n\n## 7.1.0\n\n- New.\n",
      says = "still has '## Unreleased'",
    },
  }) do
    played("stops at " .. name, function()
      local jobs, calls = release(given)
      assert.same({ version = "failure" }, results(jobs))
      assert.truthy(jobs.version[1].log:find(given.says, 1, true), jobs.version[1].log)
      assert.equal("", calls)
    end)
  end

  played("stops where two builds are not the same bytes", function()
    local jobs, calls = release({ env = { MOVES = "yes" } })
    assert.equal("failure", results(jobs).draft)
    assert.truthy(jobs.draft[1].log:find("is not the same everywhere", 1, true), jobs.draft[1].log)
    assert.same({}, called(calls, "gh "))
    assert.is_nil(jobs.images)
  end)

  played("moves a tag vX.Y that is there; uploads the rock if a variable says so, its key in no argument", function()
    local jobs, calls = release({ env = { MOVED_BEFORE = "yes" }, vars = { LUAROCKS_UPLOAD = "true" } })
    assert.equal(1, #called(calls, "gh api --method PATCH", "git/refs/tags/v7.1", "force=true"))
    assert.same({}, called(calls, "--method POST"))
    assert.equal("success", results(jobs).rock, jobs.rock and jobs.rock[1].log)
    assert.equal(1, #called(calls, "luarocks upload --skip-pack kong-vault-7.1.0-1.rockspec"))
    local source = 'url = "git+https://github.com/kong-vault/kong-vault.git",\n  tag = "v7.1.0",\n'
    assert.truthy(jobs.rock[1].log:find(source, 1, true), jobs.rock[1].log)
    assert.truthy(jobs.rock[1].log:find('key = "the-key-of-luarocks"', 1, true))
    assert.same({}, called(calls, "the-key-of-luarocks"))
  end)
end)
