-- Texts with references inside, and views of tables, in nginx: what waits, what does not, and what follows a rotation.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local nginx = require "spec.support.nginx"
local wait = require "spec.support.wait"

local socket = require "socket"

local SERVER = [[
  location /set {
    set_by_lua_block $text { return text_of_phase() }
    return 200 $text;
  }
  location /filtered {
    content_by_lua_block { ngx.header["X-Text"] = "none" ngx.print "done" }
    header_filter_by_lua_block { ngx.header["X-Text"] = text_of_phase() }
  }
  location /upstream {
    set_by_lua_block $authorization {
      return require("kong.vault").interpolate "Bearer {vault://hcv/token/value}" or ""
    }
    proxy_set_header Authorization $authorization;
    proxy_pass http://127.0.0.1:{{port}}/_seen;
  }
  location = /_seen { return 200 "$http_authorization"; }
]]

local INIT = [[
  vault = require "kong.vault"
  function text_of_phase()
    local text, err = vault.interpolate("<{vault://hcv/" .. ngx.var.arg_name .. "/value}>")
    local view = vault.table({ deep = { text = "({vault://hcv/" .. ngx.var.arg_name .. "/value})" } })
    return (text or err) .. " " .. tostring(view.deep.text)
  end
]]

describe("texts and views in nginx", function()
  local server, vault

  setup(function()
    vault = fake.start()
    vault:route("/v1/secret/absent", { status = 404, body = '{"errors":[]}' })
    server = nginx.start({
      env = { KONG_VAULT_HCV_PORT = vault.port },
      http = "lua_shared_dict kong_secrets 5m;",
      server = SERVER,
      init = INIT,
      init_worker = [[ assert(vault.warmup({ "{vault://hcv/token/value}" })) ]],
    })
  end)

  teardown(cleanup.run)

  it("fetches the references of a text side by side, each once", function()
    vault:route("/v1/secret/one", { gate = "both" })
    vault:route("/v1/secret/two", { gate = "both" })
    local request =
      server:begin [[return vault.interpolate "{vault://hcv/one/value}, {vault://hcv/two/value}, {vault://hcv/one/count}"]]
    wait.eventually("both are asked for", function()
      return vault:count "/v1/secret/one" + vault:count "/v1/secret/two" == 2
    end)
    vault:open "both"
    assert.equal("value of one, value of two, 1", (request.read()))
  end)

  it("says which reference has no value, and shows no value of the others", function()
    local text, err = server:eval [[return vault.interpolate "{vault://hcv/one/value} {vault://hcv/absent/value}"]]
    assert.is_nil(text)
    assert.matches("there is no secret/absent", err, 1, true)
    assert.is_nil(err:find("value of one", 1, true))
    text, err = server:eval [[return vault.interpolate "{vault://hcv/one/value} {vault://hcv/one"]]
    assert.is_nil(text)
    assert.equal('the reference at character 25 does not end: add a "}"', err)
  end)

  for place, path in pairs({ set = "/set", header_filter = "/filtered" }) do
    it("does not wait in " .. place .. ", and has the value later", function()
      local name = "late-" .. place:gsub("_", "-")
      local function seen()
        local answer = server:get(path .. "?name=" .. name)
        return place == "set" and answer.body or answer.headers["x-text"]
      end
      vault:route("/v1/secret/" .. name, { gate = name })
      assert.matches("would block.* nil$", seen())
      vault:open(name)
      wait.eventually("the value of a background fetch is there", function()
        return seen() == ("<value of %s> (value of %s)"):format(name, name)
      end)
      assert.equal(1, vault:count("/v1/secret/" .. name))
      assert.equal(1, server:logged("error updating secret reference {vault://hcv/" .. name), "one warning")
    end)
  end

  it("waits where a field of a view is read, in nested tables and arrays, too", function()
    local values = server:eval [[
      local view = vault.table({
        user = "{vault://hcv/view-user/value}",
        port = 5432,
        list = { "plain", "Basic {vault://hcv/view-list/value}", { deep = "{vault://hcv/view-deep/value}" } },
      })
      return { view.list[3].deep, view.list[2], view.list[1], view.user, view.port, tostring(view.none) }
    ]]
    assert.same(
      { "value of view-deep", "Basic value of view-list", "plain", "value of view-user", 5432, "nil" },
      values
    )
  end)

  it("returns a message where a view is called, and writes a warning where it is read", function()
    local value, err = server:eval [[return vault.table({ x = "a {vault://hcv/absent/value}" }) "x"]]
    assert.is_nil(value)
    assert.matches("there is no secret/absent", err, 1, true)
    for _ = 1, 3 do
      assert.is_nil((server:eval [[return vault.table({ x = "a {vault://hcv/absent/value}" }).x]]))
    end
    assert.equal(1, server:logged "error updating secret reference {vault://hcv/absent/value}")
  end)

  it("lets nobody write to a view", function()
    local done, err = server:eval [[return pcall(function() vault.table({ x = 1 }).x = 2 end)]]
    assert.is_false(done)
    assert.matches("field x cannot be set: this is a read-only view", err, 1, true)
    assert.is_false((server:eval [[return pcall(setmetatable, vault.table({}), {})]]))
  end)

  it("is iterated over where LuaJIT asks a table how, and is empty elsewhere", function()
    local asks, length, pairs_of, ipairs_of, following, encoded = server:eval [[
      local view = vault.table({ "{vault://hcv/one/value}", "plain" })
      local all, list = {}, {}
      for key, value in pairs(view) do all[key] = value end
      for place, value in ipairs(view) do list[place] = value end
      local asks = #setmetatable({}, { __len = function() return 7 end }) == 7
      return asks, #view, all, list, tostring(next(view)), require("cjson").encode(view)
    ]]
    local expected = asks and { "value of one", "plain" } or {}
    assert.same({ #expected, expected, expected }, { length, pairs_of, ipairs_of })
    assert.same({ "nil", "{}" }, { following, encoded })
  end)

  it("returns the value that `get` returns, also once it was rotated", function()
    local function all()
      return server:eval [[
        view = view or vault.table({ x = "{vault://hcv/rotated/count?ttl=0.1}" })
        return vault.get "{vault://hcv/rotated/count?ttl=0.1}", vault.interpolate "{vault://hcv/rotated/count?ttl=0.1}", view.x
      ]]
    end
    local last
    wait.eventually("the value was rotated twice", function()
      local value, text, field = all()
      assert.same({ value, value }, { text, field })
      last = tonumber(value)
      return last > 2
    end)
  end)

  it("sends a secret to an upstream by a variable", function()
    assert.equal("Bearer value of token", server:get("/upstream").body)
  end)

  it("leaves no value in the log", function()
    assert.equal(0, server:stop "QUIT")
    assert.same({}, server:flaws({ "value of " }))
  end)
end)

describe("a text with several references in nginx", function()
  teardown(cleanup.run)

  -- A second wait for the same failure would be twice the control.
  it("waits for a vault that does not answer once, however many references there are", function()
    local vault = fake.start()
    local server = nginx.start({
      env = { KONG_VAULT_HCV_PORT = vault.port, KONG_VAULT_FETCH_TIMEOUT = "0.5" },
      init = [[vault = require "kong.vault"]],
    })
    for _, name in ipairs({ "hung-1", "hung-2", "hung-3" }) do
      vault:route("/v1/secret/" .. name, { gate = "never" })
    end
    local function seconds(lua)
      local from = socket.gettime()
      local value, err = server:eval(lua)
      assert.is_nil(value)
      assert.is_string(err)
      return socket.gettime() - from
    end
    local control = seconds [[return vault.get "{vault://hcv/hung-1/value}"]]
    local taken = seconds [[return vault.interpolate "{vault://hcv/hung-2/value} {vault://hcv/hung-3/value}"]]
    assert.is_true(taken < 1.6 * control, ("%.2f s, and %.2f s for one"):format(taken, control))
  end)
end)
