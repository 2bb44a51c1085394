-- scripts/test-dist where no chroot can be had, and where somebody ends it while one is made: mmdebstrap is a stand-in.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local process = require "spec.support.process"
local wait = require "spec.support.wait"

local BAO = files.program("TEST_BAO", ".venv/bin/bao")

-- The rights that chroots take.
local function lacking()
  if not BAO then
    return "TEST_BAO does not name an OpenBao program, and there is no .venv/bin/bao"
  end
  return process.run({ command = { "unshare", "--mount", "--pid", "--fork", "true" } }) ~= 0
    and "may make no namespaces"
end

-- A project with artefacts, whose mmdebstrap does what the script says. Returns its folder, and the command without arguments.
local function project(script)
  local folder = files.folder()
  local status, output = process.run({
    command = {
      "bash",
      "-euc",
      [[
        mkdir -p "$0/spec" "$0/dist" "$0/bin"
        cp -r scripts Cargo.toml "$0/"
        cp -r spec/dist "$0/spec/"
        . scripts/chroots.sh
        touch "$0/dist/kong-vault-7.1.0-$machine-linux-gnu.tar.gz" "$0/dist/kong-vault_7.1.0-1_$architecture.deb" \
          "$0/dist/kong-vault-7.1.0-1.linux-$machine.rock" "$0/dist/SHA256SUMS"
      ]],
      folder,
    },
    env = { root = folder },
  })
  assert(status == 0, output)
  files.chmod(files.write(folder .. "/bin/mmdebstrap", "#!/bin/sh\n" .. script), 493)
  local path = ("PATH=%s/bin:%s"):format(folder, os.getenv "PATH")
  return folder, { "env", path, "HOME=" .. folder, "TEST_BAO=" .. BAO, folder .. "/scripts/test-dist" }
end

-- The processes whose directory is this one or below.
local function at_work(folder)
  local _, output = process.run({
    command = { "sh", "-c", 'find /proc -maxdepth 2 -name cwd -lname "$0*" -printf "%h " 2>/dev/null', folder },
  })
  return output
end

describe("scripts/test-dist", function()
  teardown(cleanup.run)

  local missing = lacking()
  local function root_it(name, test)
    it(name, function()
      if missing then
        return pending(missing)
      end
      test()
    end)
  end

  for name, given in pairs({
    ["fails where no release could be had"] = {
      { "bookworm", "sid" },
      "0 passed, 0 failed, 2 skipped\nerror: nothing was tried",
    },
    ["takes each but the unstable one for a failure if it has to"] = {
      { "--strict", "bookworm", "sid" },
      "FAILED bookworm, chroot: cannot be had: no such mirror\n0 passed, 1 failed, 1 skipped\n",
    },
  }) do
    root_it(name, function()
      local _, command = project "echo no such mirror; exit 1\n"
      for _, word in ipairs(given[1]) do
        command[#command + 1] = word
      end
      local status, output = process.run({ command = command })
      assert.equal(1, status)
      assert.truthy(output:find(given[2], 1, true), output)
    end)
  end

  for _, signal in ipairs({ "INT", "KILL" }) do
    root_it(("leaves no process after SIG%s, while a chroot is made"):format(signal), function()
      local folder, command = project 'touch "$TMPDIR/../begun"\nexec sleep 600\n'
      command[#command + 1] = "sid"
      local running = process.start({ command = command, output = folder .. "/output" })
      wait.eventually("a chroot is being made", function()
        return files.exists(folder .. "/.work/chroots/begun")
      end)
      assert.is_not.equal("", at_work(folder))
      running:signal(signal)
      assert.is_truthy(running:wait(30))
      wait.eventually("all processes have ended", function()
        return at_work(folder) == ""
      end)
    end)
  end
end)
