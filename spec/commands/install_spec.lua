-- `make install` and `luarocks make`: the files where the README says, and a module that works from there alone.

local lfs = require "lfs"

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local process = require "spec.support.process"

local function run(...)
  local status, output = process.run({ command = { ... }, env = { HOME = "/nonexistent" }, seconds = 300 })
  assert(status == 0, output)
  return output
end

-- The paths of all files below a folder, relative to it, sorted.
local function tree(folder, below, found)
  found = found or {}
  for _, name in ipairs(files.list(folder .. "/" .. (below or ""))) do
    local path = (below and below .. "/" or "") .. name
    if lfs.attributes(folder .. "/" .. path, "mode") == "directory" then
      tree(folder, path, found)
    else
      found[#found + 1] = path
    end
  end
  table.sort(found)
  return found
end

-- What has to be below a prefix.
local function wanted(prefix)
  local list = { prefix .. "bin/kong-vault", prefix .. "lib/lua/5.1/kong/vault/native.so" }
  for _, path in ipairs(tree(files.root .. "/lua")) do
    list[#list + 1] = prefix .. "share/lua/5.1/" .. path
  end
  table.sort(list)
  return list
end

-- What nginx's workers, of whatever user, couldn't read.
local function unreadable(folder)
  local found = {}
  for _, path in ipairs(tree(folder)) do
    repeat
      local permissions = lfs.attributes(folder .. "/" .. path, "permissions")
      local reads = permissions:sub(7, 7) == "r"
      if not reads then
        found[#found + 1] = path
      end
      path = path:match "^(.*)/"
    until not path
  end
  return found
end

-- A secret, read in a Lua that knows of this prefix alone.
local function read_from(prefix)
  local _, output = process.run({
    command = { "luajit", "-e", [[io.write((require("kong.vault").get "{vault://env/motto}"))]] },
    env = {
      LUA_PATH = prefix .. "/share/lua/5.1/?.lua",
      LUA_CPATH = prefix .. "/lib/lua/5.1/?.so",
      MOTTO = "per aspera",
    },
  })
  return output
end

describe("make install", function()
  teardown(cleanup.run)

  it("puts everything where it belongs, for everybody to read", function()
    local prefix = files.folder()
    run("sh", "-c", 'umask 077 && exec make install PREFIX="$0"', prefix)
    assert.same(wanted "", tree(prefix))
    assert.same({}, unreadable(prefix))
    assert.equal("per aspera", read_from(prefix))
  end)

  it("can put it elsewhere than it is to end up", function()
    local stage = files.folder()
    run("make", "install", "PREFIX=/opt/a b", "DESTDIR=" .. stage)
    assert.same(wanted "opt/a b/", tree(stage))
  end)

  it("leaves the files of an earlier release to the processes that use them", function()
    local prefix = files.folder()
    run("make", "install", "PREFIX=" .. prefix)
    local open = {}
    for _, path in ipairs(tree(prefix)) do
      files.write(prefix .. "/" .. path, "earlier")
      open[path] = assert(io.open(prefix .. "/" .. path))
    end
    run("make", "install", "PREFIX=" .. prefix)
    for path, file in pairs(open) do
      assert.equal("earlier", file:read "*a", path)
      file:close()
    end
    assert.same(wanted "", tree(prefix))
    assert.equal("per aspera", read_from(prefix))
  end)

  it("builds nothing that is built", function()
    -- Without Rust.
    run("env", "PATH=/usr/bin:/bin", "make", "install", "PREFIX=" .. files.folder())
  end)
end)

describe("luarocks make", function()
  teardown(cleanup.run)

  it("installs the same as a rock", function()
    local folder = files.folder()
    run("luarocks", "make", "--tree", folder)
    local found = {}
    for _, path in ipairs(tree(folder)) do
      -- Its own records.
      if not path:find "^lib/luarocks/" then
        found[#found + 1] = path
      end
    end
    assert.same(wanted "", found)
    assert.same({}, unreadable(folder))
    assert.equal("per aspera", read_from(folder))
    assert.equal(
      run(folder .. "/bin/kong-vault", "--version"),
      "kong-vault " .. run("sh", "-c", "sed -n 's/^version = \"\\(.*\\)\"/\\1/p' Cargo.toml | head -n 1")
    )
  end)
end)

describe("make", function()
  teardown(cleanup.run)

  it("lists the commands", function()
    local output = run "make"
    for _, name in ipairs({ "demo", "demo-vaults", "test", "bench", "lint", "build", "install", "dist", "test-dist" }) do
      assert.truthy(("\n" .. output):find("\n" .. name .. "  ", 1, true), name)
    end
  end)
end)
