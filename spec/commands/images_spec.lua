-- What images are made with: packaging/docker/install takes one archive from dist/, whose checksum it compares.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local process = require "spec.support.process"

local SHELLS = { { "dash" }, { "busybox", "sh" } }

local function sh(folder, script)
  local status, output = process.run({ command = { "sh", "-euc", script }, env = { FOLDER = folder } })
  assert(status == 0, output)
  return output
end

-- A project with archives of these names in dist/, each of which installs its name, and with their checksums.
local function project(...)
  local folder = files.folder()
  sh(folder, "mkdir -p $FOLDER/packaging/docker $FOLDER/dist")
  files.write(folder .. "/packaging/docker/install", files.read(files.root .. "/packaging/docker/install"))
  for _, name in ipairs({ ... }) do
    local script = ('#!/bin/sh\nmkdir -p "$2" && echo %s >"$2/installed"\n'):format(name)
    sh(folder, "mkdir -p $FOLDER/" .. name)
    files.write(("%s/%s/install.sh"):format(folder, name), script)
    sh(
      folder,
      ("cd $FOLDER && chmod 755 %s/install.sh && tar -czf dist/%s.tar.gz %s && rm -r %s"):format(name, name, name, name)
    )
  end
  sh(folder, "cd $FOLDER/dist && sha256sum *.tar.gz >SHA256SUMS")
  return folder
end

local machine = sh("/", "uname -m"):match "%S+"

local function name(version, libc)
  return ("kong-vault-%s-%s-linux-%s"):format(version, machine, libc or "gnu")
end

for _, shell in ipairs(SHELLS) do
  describe("packaging/docker/install in " .. table.concat(shell, " "), function()
    local test = os.execute("command -v " .. shell[1] .. " >/dev/null") == 0 and it or pending
    teardown(cleanup.run)

    -- install(FOLDER, LIBC, VERSION): what was installed, or nil and the output.
    local function install(folder, ...)
      local prefix = folder .. "/prefix"
      local command = { unpack(shell) }
      for _, word in ipairs({ folder .. "/packaging/docker/install", prefix, ... }) do
        command[#command + 1] = word
      end
      local status, output = process.run({ command = command })
      if status ~= 0 then
        assert.is_false(files.exists(prefix))
        return nil, output
      end
      return files.read(prefix .. "/installed"):match "%S+"
    end

    test("installs the archive of the C library that it is told", function()
      local folder = project(name "1.2.3", name("1.2.3", "musl"), "kong-vault-1.2.3-mips-linux-gnu")
      assert.equal(name "1.2.3", install(folder, "gnu"))
      assert.equal(name("1.2.3", "musl"), install(folder, "musl", ""))
    end)

    test("chooses no version by itself", function()
      local folder = project(name "1.2.3", name "1.2.30")
      local _, output = install(folder, "gnu")
      assert.matches("has to hold one archive", output, 1, true)
      assert.equal(name "1.2.3", install(folder, "gnu", "1.2.3"))
      assert.equal(name "1.2.30", install(folder, "gnu", "1.2.30"))
    end)

    test("names what is missing", function()
      local _, output = install(project(name "1.2.3"), "musl")
      assert.matches("make dist", output, 1, true)
      _, output = install(project(name "1.2.3"), "gnu", "1.2.4")
      assert.matches(name "1.2.4", output, 1, true)
    end)

    test("installs nothing whose checksum is another or none", function()
      local folder = project(name "1.2.3", name("1.2.3", "musl"))
      sh(folder, ("echo >>$FOLDER/dist/%s.tar.gz"):format(name "1.2.3"))
      assert.is_nil((install(folder, "gnu")))
      -- A line for another archive vouches for none.
      files.write(folder .. "/dist/SHA256SUMS", ("%s  x%s.tar.gz\n"):format(("0"):rep(64), name("1.2.3", "musl")))
      local _, output = install(folder, "musl")
      assert.matches("has no checksum", output, 1, true)
    end)
  end)
end
