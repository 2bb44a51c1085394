rockspec_format = "1.1"
package = "kong-vault"
version = "0.1.0-1"

source = {
  -- `luarocks make` builds the folder it is called in.
  url = ".",
}

description = {
  summary = "Secret references ({vault://…}) for OpenResty/nginx and Kong Gateway",
  detailed = [[
kong.vault.get("{vault://…}") reads a secret from the environment, files, HashiCorp Vault, AWS or Google Secret Manager,
Azure Key Vault or Conjur. Needs Rust to build, and ngx_lua (OpenResty, nginx, Kong) or plain LuaJIT to run.]],
  license = "Apache-2.0",
}

-- LuaJIT is Lua 5.1 to LuaRocks.
dependencies = {
  "lua == 5.1",
}

build = {
  type = "make",
  build_target = "build",
  install_target = "install",
  install_variables = {
    PREFIX = "$(PREFIX)",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
    BINDIR = "$(BINDIR)",
  },
}

deploy = {
  -- `kong-vault` is no Lua script.
  wrap_bin_scripts = false,
}
