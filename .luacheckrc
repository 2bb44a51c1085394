-- luacheck's settings (`make lint`).

std = "luajit"
-- stylua breaks code at 120; a comment or a text may be a little longer.
max_line_length = 130
exclude_files = { "target", "build", ".venv", ".work" }

-- In nginx.
files["lua"] = { std = "ngx_lua+luajit" }
-- In Kong.
files["lua/kong/plugins"] = { std = "ngx_lua+luajit", globals = { "kong" } }
files["lua/kong/vault/gateway/entities.lua"] = { std = "ngx_lua+luajit", globals = { "kong" } }
-- Fakes an `ngx` in plain LuaJIT, too.
files["benches/lua"] = { std = "ngx_lua+luajit", globals = { "ngx" } }

-- What a user of ours writes: `kong` is Kong's global, or the one that `install` made.
files["demo"] = { std = "ngx_lua+luajit", globals = { "kong" } }
files["examples"] = { std = "ngx_lua+luajit", globals = { "kong" } }

-- Specs run under plain LuaJIT, but hold what runs in nginx.
files["spec"] = { std = "ngx_lua+luajit+busted" }

files["rockspec"] = { std = "rockspec" }
