-- The archive's install.sh, in the shells that machines have for it. What it installs is gone after a removal, and nothing else.

local lfs = require "lfs"

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

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

-- Files enough to be interrupted in the middle.
local function many()
  local paths = {}
  for i = 1, 40 do
    paths[i] = ("share/lua/5.1/kong/vault/%02d.lua"):format(i)
  end
  return unpack(paths)
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

    for _, signal in ipairs({ "INT", "TERM", "KILL" }) do
      test("can be removed after SIG" .. signal .. " in the middle", function()
        local folder = files.folder()
        local prefix = folder .. "/prefix"
        local archive = unpacked(many())
        local command = { unpack(shell) }
        for _, word in ipairs({ archive .. "/install.sh", "--prefix", prefix }) do
          command[#command + 1] = word
        end
        local running = process.start({ command = command, output = folder .. "/output" })
        wait.eventually("it has begun", function()
          return files.exists(prefix .. "/bin/kong-vault")
        end)
        running:signal(signal)
        assert.is_truthy(running:wait(30))
        os.remove(folder .. "/output")
        assert.falsy(files.exists(prefix .. "/share/kong-vault/install.sh"), "it ended before the signal came")
        local status, output = run(archive .. "/install.sh", { "--prefix", prefix, "--uninstall" })
        assert(status == 0, output)
        assert.same({}, tree(folder))
      end)
    end

    test("can be repeated or removed after it failed in the middle", function()
      local folder = files.folder()
      local archive = unpacked "share/lua/5.1/kong/vault.lua"
      -- Larger than files may become: as on a disk that is full.
      files.write(archive .. "/share/lua/5.1/kong/vault.lua", ("x"):rep(100000))
      local limited = ("ulimit -f 40; exec %s %s/install.sh --prefix %s/prefix"):format(name, archive, folder)
      local options = { "--prefix", folder .. "/prefix" }
      local removal = { "--uninstall", unpack(options) }
      for _, mend in ipairs({ options, removal }) do
        assert.is_not.equal(0, (process.run({ command = { "sh", "-c", limited } })))
        assert.truthy(files.exists(folder .. "/prefix/bin/kong-vault"))
        local again, output = run(archive .. "/install.sh", mend)
        assert(again == 0, output)
        assert.equal(0, (run(archive .. "/install.sh", options)))
        assert.equal(0, (run(archive .. "/install.sh", removal)))
        assert.same({}, tree(folder))
      end
    end)

    test("leaves another installation's files alone, unless it is told to replace them", function()
      for _, path in ipairs({ "bin/kong-vault", "lib/lua/5.1/kong/vault/native.so", "share/lua/5.1/kong/vault.lua" }) do
        local prefix = files.folder()
        process.run({ command = { "mkdir", "-p", prefix .. "/" .. path:match "^(.*)/" } })
        files.write(prefix .. "/" .. path, "of others")
        local before = tree(prefix)
        local archive = unpacked "share/lua/5.1/kong/vault.lua"
        local status, output = run(archive .. "/install.sh", { "--prefix", prefix })
        assert.equal(1, status)
        assert.truthy(output:find(prefix .. "/" .. path .. " is of another installation", 1, true), output)
        assert.same(before, tree(prefix))
        assert.equal("of others", files.read(prefix .. "/" .. path))
        -- What is then its own.
        assert.equal(0, (run(archive .. "/install.sh", { "--prefix", prefix, "--force" })))
        assert.equal(path, files.read(prefix .. "/" .. path))
        assert.equal(0, (run(archive .. "/install.sh", { "--prefix", prefix })))
      end
    end)

    test("prints the command that removes it, as a shell reads it", function()
      for _, below in ipairs({ "/x", "/opt/my apps", '/it\'s $HOME & "more" | less' }) do
        local folder = files.folder()
        local archive = unpacked "share/lua/5.1/kong/vault.lua"
        local status, output = run(archive .. "/install.sh", { "--prefix", folder .. below })
        assert(status == 0, output)
        local line = output:match "\nto remove it: ([^\n]+)\n"
        local removed, words = process.run({ command = { "sh", "-c", line } })
        assert(removed == 0, words)
        assert.same({}, tree(folder))
      end
    end)

    test("takes no stage for the place that its list names", function()
      local folder = files.folder()
      local archive = unpacked "share/lua/5.1/kong/vault.lua"
      local staged = { "--prefix", folder .. "/real" }
      assert.equal(0, (run(archive .. "/install.sh", staged)))
      assert.equal(0, (run(archive .. "/install.sh", staged, { DESTDIR = folder .. "/stage" })))
      local before = tree(folder .. "/real")
      run(folder .. "/stage" .. folder .. "/real/share/kong-vault/install.sh", { "--uninstall" })
      assert.same(before, tree(folder .. "/real"))
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
