-- packaging/compile: what a machine's user has set for builds of their own is no part of a release. Rust and zig are stand-ins.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local process = require "spec.support.process"

local STAND_INS = {
  cargo = "",
  python3 = "",
  rustc = "echo /sysroot",
  ["cargo-zigbuild"] = [[
env >"$OUT/environment"
mkdir -p "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release"
touch "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/libkong_vault_native.so"
touch "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/kong-vault"]],
}

local THEIRS = {
  "CC",
  "CFLAGS",
  "CC_x86_64_unknown_linux_gnu",
  "CFLAGS_x86_64_unknown_linux_gnu",
  "TARGET_CFLAGS",
  "HOST_CC",
  "AR_x86_64_unknown_linux_gnu",
  "CARGO_BUILD_RUSTFLAGS",
  "CARGO_BUILD_TARGET",
  "CARGO_INCREMENTAL",
  "CARGO_PROFILE_RELEASE_LTO",
  "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
  "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
  "RUSTC",
  "RUSTC_WRAPPER",
  "RUSTC_WORKSPACE_WRAPPER",
  "RUSTFLAGS",
}

describe("packaging/compile", function()
  teardown(cleanup.run)

  it("hands on no variable that changes what is compiled", function()
    local folder = files.folder()
    local command = { "env", ("PATH=%s/bin:%s"):format(folder, os.getenv "PATH"), "OUT=" .. folder, "HOME=" .. folder }
    for _, name in ipairs(THEIRS) do
      command[#command + 1] = name .. "=theirs"
    end
    command[#command + 1] = "CARGO_NET_RETRY=kept"
    for _, path in ipairs({ "bin", "packaging", "scripts" }) do
      files.mkdir(folder .. "/" .. path)
    end
    for name, script in pairs(STAND_INS) do
      files.chmod(files.write(("%s/bin/%s"):format(folder, name), "#!/bin/sh\n" .. script .. "\n"), 493)
    end
    for _, path in ipairs({ "packaging/compile", "packaging/libgcc_s.map", "scripts/common.sh" }) do
      files.write(folder .. "/" .. path, files.read(path))
    end
    files.chmod(folder .. "/packaging/compile", 493)
    for _, word in ipairs({ folder .. "/packaging/compile", "x86_64-unknown-linux-gnu", folder .. "/out" }) do
      command[#command + 1] = word
    end
    local status, output = process.run({ command = command })
    assert(status == 0, output)
    local environment = files.read(folder .. "/environment")
    assert.is_nil(environment:match "[^\n]*=theirs")
    assert.truthy(environment:find("\nCARGO_NET_RETRY=kept\n", 1, true))
    assert.truthy(environment:find(("\nCARGO_TARGET_DIR=%s/target\n"):format(folder), 1, true), environment)
  end)
end)
