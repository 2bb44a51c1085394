-- The archive's install.sh, in the shells that machines have for it. What it installs is gone after a removal, and nothing else.

local lfs = require "lfs"

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local process = require "spec.support.process"

local SHELLS = { { "dash" }, { "busybox", "sh" } }

-- All paths below a folder, sorted; directories end with a slash.
local function tree(folder)
  local found = {}
  local function walk(below)
    for _, name in ipairs(files.list(folder .. below)) do
      local path = below .. "/" .. name
      if lfs.attributes(folder .. path, "mode") == "directory" then
        found[#found + 1] = path .. "/"
        walk(path)
      else
        found[#found + 1] = path
      end
    end
  end
  walk ""
  table.sort(found)
  return found
end

-- An archive's folder, with these Lua files.
local function unpacked(...)
  local folder = files.folder()
  local paths = { "bin/kong-vault", "lib/lua/5.1/kong/vault/native.so", "share/doc/kong-vault/a b.md", ... }
  for _, path in ipairs(paths) do
    process.run({ command = { "mkdir", "-p", folder .. "/" .. path:match "^(.*)/" } })
    files.write(folder .. "/" .. path, path)
  end
  files.write(folder .. "/install.sh", files.read(files.root .. "/packaging/install.sh"))
  return folder
end

for _, shell in ipairs(SHELLS) do
  local name = table.concat(shell, " ")
  local there = os.execute("command -v " .. shell[1] .. " >/dev/null") == 0

  -- run(SCRIPT, …): its exit status and output.
  local function run(script, options, env)
    local command = { unpack(shell) }
    command[#command + 1] = script
    for _, option in ipairs(options) do
      command[#command + 1] = option
    end
    return process.run({ command = command, env = env })
  end

  describe("install.sh in " .. name, function()
    local test = there and it or pending
    teardown(cleanup.run)

    test("leaves a prefix as it was", function()
      local prefix = files.folder()
      lfs.mkdir(prefix .. "/share")
      lfs.mkdir(prefix .. "/bin")
      files.write(prefix .. "/bin/other", "")
      local before = tree(prefix)
      local archive = unpacked "share/lua/5.1/kong/vault.lua"
      for _ = 1, 2 do
        local status, output = run(archive .. "/install.sh", { "--prefix", prefix })
        assert(status == 0, output)
      end
      assert.equal("bin/kong-vault", files.read(prefix .. "/bin/kong-vault"))
      assert.equal("share/doc/kong-vault/a b.md", files.read(prefix .. "/share/doc/kong-vault/a b.md"))
      -- Without the archive.
      local status, output = run(prefix .. "/share/kong-vault/install.sh", { "--prefix=" .. prefix, "--uninstall" })
      assert(status == 0, output)
      assert.same(before, tree(prefix))
    end)

    test("takes away the directories that it made, also above the prefix", function()
      local folder = files.folder()
      local archive = unpacked "share/lua/5.1/kong/vault.lua"
      local options = { "--prefix", folder .. "/opt/kong vault" }
      assert.equal(0, (run(archive .. "/install.sh", options)))
      options[3] = "--uninstall"
      assert.equal(0, (run(archive .. "/install.sh", options)))
      assert.same({}, tree(folder))
    end)

    test("replaces another version, whose files it takes away", function()
      local prefix = files.folder()
      local old = unpacked("share/lua/5.1/kong/vault.lua", "share/lua/5.1/kong/old/gone.lua")
      local new = unpacked("share/lua/5.1/kong/vault.lua", "share/lua/5.1/kong/new/here.lua")
      assert.equal(0, (run(old .. "/install.sh", { "--prefix", prefix })))
      assert.equal(0, (run(new .. "/install.sh", { "--prefix", prefix })))
      assert.falsy(files.exists(prefix .. "/share/lua/5.1/kong/old/gone.lua"))
      assert.truthy(files.exists(prefix .. "/share/lua/5.1/kong/new/here.lua"))
      assert.equal(0, (run(new .. "/install.sh", { "--prefix", prefix, "--uninstall" })))
      assert.same({}, tree(prefix))
    end)

    test("puts it below DESTDIR", function()
      local stage = files.folder()
      local archive = unpacked "share/lua/5.1/kong/vault.lua"
      local env = { DESTDIR = stage }
      assert.equal(0, (run(archive .. "/install.sh", { "--prefix", "/opt/x" }, env)))
      assert.truthy(files.exists(stage .. "/opt/x/bin/kong-vault"))
      assert.truthy(
        files.read(stage .. "/opt/x/share/kong-vault/installed"):find("\nf /opt/x/bin/kong-vault\n", 1, true)
      )
      assert.equal(0, (run(archive .. "/install.sh", { "--prefix", "/opt/x", "--uninstall" }, env)))
      assert.same({}, tree(stage))
    end)

    test("says what is wrong", function()
      local archive = unpacked()
      local prefix = files.folder()
      for _, case in ipairs({
        { 1, "no installation", { "--prefix", prefix, "--uninstall" } },
        { 1, "begin with a slash", { "--prefix", "here" } },
        { 1, "needs a directory", { "--prefix" } },
        { 2, "usage", { "--purge" } },
      }) do
        local status, output = run(archive .. "/install.sh", case[3])
        assert.equal(case[1], status)
        assert.truthy(output:find(case[2], 1, true), output)
      end
      assert.same({}, tree(prefix))
    end)
  end)
end
