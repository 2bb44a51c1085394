-- `vault_references = everywhere`, with a small model of Kong's schema code (kong_schema.lua). spec/commands/kong_fields_spec.lua
-- tries Kong itself, where one is at hand.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local files = require "spec.support.files"
local in_kong = require "spec.support.in_kong"
local occurrences = require("spec.support.text").occurrences
local wait = require "spec.support.wait"

-- Kong loads plugins in any order: `before` and the one of kong-vault, then the others.
local LOAD = [[
  conf = getmetatable(kong.configuration).__index
  conf.vault_references, conf.vault_hcv_ttl = "{{mode}}", "0.2"
  Schema = require "spec.support.kong_schema"
  package.loaded["kong.db.schema"] = Schema
  local any = { type = "string" }
  package.loaded["kong.db.schema.typedefs"] = {
    protocols = function() return { type = "set", elements = { type = "string" } } end,
    no_consumer = any, no_route = any, no_service = any,
    lua_code = { type = "map", keys = any, values = { type = "string", custom_validator = function() return true end } },
  }
  {{change}}
  plugins = Schema.new({ name = "plugins", subschema_key = "name", fields = {
    { name = { type = "string" } }, { protocols = { type = "set", elements = { type = "string" } } },
    { config = { type = "record", fields = {} } },
  } })
  local function load(name, fields, more)
    local config = { type = "record", fields = fields }
    for key, value in pairs(more or {}) do
      config[key] = value
    end
    assert(plugins:new_subschema(name, { fields = { { config = config } }, entity_checks = more and more.checks }))
  end
  local text = { type = "string" }
  local headers = { type = "array", elements = { type = "string", match = "^[^:]+:.*$" } }
  load("before", { { text = text } })
  plugins:new_subschema("kong-vault", require "kong.plugins.kong-vault.schema")
  load("trial", {
    { text = text }, { another = text },
    { own = { type = "string", referenceable = true, one_of = { "a", "b" } } },
    { never = { type = "string", referenceable = false } },
    { number = { type = "number" } },
    { choice = { type = "string", one_of = { "local", "value of rule" } } },
    { add = { type = "record", fields = { { headers = headers } } } },
    { replace = { type = "record", fields = { { headers = headers } } } },
    { set = { type = "set", elements = { type = "string" } } },
    { map = { type = "map", keys = text, values = { type = "string" } } },
    { list = { type = "array", elements = { type = "record", fields = { { text = text } } } } },
    { code = { type = "map", keys = text, values = package.loaded["kong.db.schema.typedefs"].lua_code.values } },
  }, {
    custom_validator = function(config)
      if config.another and config.another ~= "known" and config.another ~= "unknown" then
        return nil, "there is no " .. config.another
      end
      return not (config.text and config.number) or nil, "text and number exclude each other"
    end,
    checks = { { conditional = { if_field = "config.choice", if_match = { one_of = { "local" } },
      field = { type = "string", referenceable = true, vault_references = function() return {} end },
      then_field = "config.number" } } },
  })
  load("request-transformer", { { add = { type = "record", fields = { { headers = headers } } } } })
  load("pre-function", { { access = { type = "array", elements = { type = "string" } } } })
  function valid(name, config)
    return plugins:validate({ name = name, config = config })
  end
  function selected(name, config, nulls)
    return plugins:process_auto_fields({ name = name, config = config }, "select", nulls).config
  end
  handler = require "kong.plugins.kong-vault.handler"
]]

local WORKER = [[
  kong.vault.init_worker()
  handler.init_worker()
]]

describe("vault_references = everywhere", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local function start(mode, change)
    local load = LOAD:gsub("{{(%l+)}}", { mode = mode or "everywhere", change = change or "" })
    return in_kong.start(vault, load, { init_worker = WORKER })
  end

  local A, B = "{vault://hcv/a/value}", "{vault://hcv/b/value}"
  local server

  setup(function()
    server = start()
  end)

  local function valid(name, config)
    return server:eval("return valid(...)", name, config)
  end

  for what, config in pairs({
    ["a field"] = { text = A },
    ["a text with a reference inside"] = { text = "Bearer " .. A },
    ["several references in one text"] = { text = A .. " and " .. B },
    ["the items of arrays, whatever their rules are"] = { add = { headers = { "Authorization:Bearer " .. A, A } } },
    ["the items of sets"] = { set = { "plain", A, "x" .. A } },
    ["the values of maps"] = { map = { a = A, b = B .. "!" } },
    ["records in arrays"] = { list = { { text = A } } },
    ["a field with a list of what it may be"] = { choice = A },
    ["a field that Kong itself takes references in"] = { own = A },
    ["a text in such a field"] = { own = "a" .. A },
    ["a field whose value a check of the plugin asks for"] = { another = A },
    ["a field on which another one depends"] = { choice = "lo" .. A },
  }) do
    it("takes references in " .. what, function()
      assert.is_true(valid("trial", config))
    end)
  end

  it("takes them in plugins that Kong has loaded before", function()
    assert.is_true(valid("before", { text = A }))
    assert.equal("value of a", server:eval("return selected(...).text", "before", { text = A }))
  end)

  for what, case in pairs({
    ["a reference that does not end"] = { { text = "x {vault://hcv/a" }, "the reference at character 3 does not end" },
    ["a reference that names no secret"] = { { text = "{vault://hcv}" }, "reference 1 cannot be read" },
    ["the second reference of a text"] = { { text = A .. "{vault://}" }, "reference 2 cannot be read" },
    ["a plain text that breaks a rule"] = { { choice = "other" }, "expected one of" },
    ["a reference in a number"] = { { number = A }, "expected a number" },
    ["a field that wants no references"] = nil,
    ["what a check of several fields refuses in any case"] = { { text = A, number = 1 }, "exclude each other" },
    ["a plain text that such a check refuses"] = { { another = "x" }, "there is no x" },
    ["a missing field that a plain text asks for"] = { { choice = "local" }, "failed conditional" },
  }) do
    it("refuses " .. what, function()
      local ok, err = valid("trial", case[1])
      assert.is_nil(ok)
      assert.matches(case[2], err, 1, true)
    end)
  end

  it("gives fields their values, and keeps the references in $refs", function()
    local config = server:eval("return selected(...)", "trial", {
      text = "Bearer " .. A,
      add = { headers = { "X:" .. A, "plain:1" } },
      replace = { headers = { "Y:" .. B } },
      map = { a = A, b = B .. "-" .. A, c = "plain" },
      list = { { text = A .. B } },
      number = 1,
    })
    assert.equal("Bearer value of a", config.text)
    assert.same({ "X:value of a", "plain:1" }, config.add.headers)
    assert.same({ "Y:value of b" }, config.replace.headers)
    assert.same({ a = "value of a", b = "value of b-value of a", c = "plain" }, config.map)
    assert.equal("value of avalue of b", config.list[1].text)
    assert.equal("Bearer " .. A, config["$refs"].text)
    assert.same({ "X:" .. A }, config.add["$refs"].headers)
    assert.same({ a = A, b = B .. "-" .. A }, config["$refs"].map)
    assert.equal(1, config.number)
  end)

  it("has a set know its values, each once", function()
    assert.same(
      { 2, true, false },
      server:eval(
        "local set = selected('trial', { set = { ... } }).set return { #set, set['value of a'] == true, set.x == true }",
        A,
        "x" .. A,
        A
      )
    )
  end)

  it("leaves references as they are for the Admin API, and on a control plane", function()
    local shown = server:eval("return selected('trial', { text = ... }, true)", "x" .. A)
    assert.same({ text = "x" .. A }, shown)
    local exported = server:eval(
      [[
        conf.role = "control_plane"
        local config = selected("trial", { text = ... })
        conf.role = "traditional"
        return config
      ]],
      "x" .. A
    )
    assert.same({ text = "x" .. A }, exported)
  end)

  it("leaves code alone, which has references of its own, and fields that want none", function()
    local code = 'return kong.vault.get("' .. A .. '")'
    assert.same({ code }, server:eval("return selected('pre-function', { access = { ... } }).access", code))
    assert.same({ a = code }, server:eval("return selected('trial', { code = { a = ... } }).code", code))
    assert.equal("x" .. A, server:eval("return selected('trial', { never = ... }).never", "x" .. A))
  end)

  it("leaves code in templates alone", function()
    local template = "X:$(kong.vault.get('" .. A .. "'))"
    assert.is_true(valid("request-transformer", { add = { headers = { template } } }))
    assert.same(
      { template, "Y:value of a$(headers.z)" },
      server:eval(
        "return selected('request-transformer', { add = { headers = { ... } } }).add.headers",
        template,
        "Y:" .. A .. "$(headers.z)"
      )
    )
  end)

  it("has the name stay where a value is missing, in texts of a name and a value", function()
    vault:route("/v1/secret/gone", { status = 404 })
    local header = "Authorization:Bearer {vault://hcv/gone/value}"
    assert.same(
      { "Authorization:" },
      server:eval("return selected('request-transformer', { add = { headers = { ... } } }).add.headers", header)
    )
  end)

  it("resolves no reference that a value brings", function()
    vault:route("/v1/secret/nested", { body = '{"data":{"value":"' .. B .. '"}}' })
    local text = "{vault://hcv/nested/value}!"
    assert.equal(B .. "!", server:eval("local config = selected('trial', { text = ... }) return config.text", text))
    assert.equal(
      B .. "!",
      server:eval(
        [[
          local config = selected("trial", { text = ... })
          config = selected("trial", config)
          kong.vault.update(config)
          return config.text
        ]],
        text
      )
    )
  end)

  it("keeps values up to date by update, also those inside texts", function()
    vault:route("/v1/secret/moving", { body = '{"data":{"value":"first"}}' })
    server:eval(
      "config = selected('trial', { text = 'Bearer ' .. ..., add = { headers = { 'X:' .. ... } } })",
      "{vault://hcv/moving/value}"
    )
    assert.equal("Bearer first", server:eval "return config.text")
    vault:route("/v1/secret/moving", { body = '{"data":{"value":"second"}}' })
    wait.eventually("update finds the second value", function()
      return server:eval "return kong.vault.update(config).text" == "Bearer second"
    end)
    assert.equal("X:second", server:eval "return config.add.headers[1]")
  end)

  it("gives an empty field where a value breaks a rule, and says which, but not the value", function()
    assert.equal(
      "value of rule",
      server:eval("return selected('trial', { choice = ... }).choice", "{vault://hcv/rule/value}")
    )
    assert.equal(
      "",
      server:eval("return selected('trial', { choice = ... }).choice", "{vault://hcv/secret-word/value}")
    )
    assert.same({ "" }, server:eval("return selected('trial', { add = { headers = { ... } } }).add.headers", A))
    -- Kong checks no value in a field that it takes references in itself.
    assert.equal("value of a", server:eval("return selected('trial', { own = ... }).own", A))
    local log = server:log()
    local says = "kong.vault: the plugin trial has no value in config."
    assert.matches(says .. "choice: what its reference stands for breaks the field's rule `one_of`", log, 1, true)
    assert.matches(says .. "add.headers[]: what its reference stands for breaks the field's rule `match`", log, 1, true)
    assert.is_nil(log:find("value of", 1, true))
  end)

  it("gives an empty field where a rotated value breaks a rule", function()
    vault:route("/v1/secret/bent", { body = '{"data":{"value":"X:1"}}' })
    server:eval("bent = selected('trial', { add = { headers = { ... } } })", "{vault://hcv/bent/value}")
    assert.equal("X:1", server:eval "return bent.add.headers[1]")
    vault:route("/v1/secret/bent", { body = '{"data":{"value":"no header"}}' })
    wait.eventually("the field is empty", function()
      return server:eval "return kong.vault.update(bent).add.headers[1]" == ""
    end)
  end)

  it("gives an empty field for a text whose value is missing, and the value when there is one", function()
    vault:route("/v1/secret/late", { status = 404 })
    server:eval("late = selected('trial', { text = 'a ' .. ... })", "{vault://hcv/late/value}")
    assert.equal("", server:eval "return late.text")
    assert.matches(
      "kong.vault: the plugin trial has no value in config.text: {vault://hcv/late/value} has none:",
      server:log(),
      1,
      true
    )
    vault:route("/v1/secret/late", { body = '{"data":{"value":"there"}}' })
    wait.eventually("the value is there", function()
      return server:eval "return kong.vault.update(late).text" == "a there"
    end)
  end)

  it("has Kong's own functions know texts as well, with pdk = off", function()
    local server_off = start()
    server_off:eval(
      [[
        kong.finds = { [...] = "by Kong" }
        config = selected("trial", { text = "x " .. ..., another = ... })
        handler:configure({ { pdk = "off" } })
      ]],
      A
    )
    wait.eventually("Kong's own functions are back", function()
      return server_off:eval("return kong.vault.get(...)", A) == "by Kong"
    end)
    for _ = 1, 2 do
      assert.same(
        { "x by Kong", "by Kong" },
        server_off:eval "kong.vault.update(config) return { config.text, config.another }"
      )
      server_off:eval "handler:configure({}) handler:configure({ { pdk = 'off' } })"
      wait.eventually("Kong's own functions are back", function()
        return server_off:eval("return kong.vault.get(...)", A) == "by Kong"
      end)
    end
  end)

  it("is off unless it is set", function()
    local plain = start "schema"
    local ok, err = plain:eval("return valid('trial', { choice = ... })", A)
    assert.is_nil(ok)
    assert.matches("expected one of", err, 1, true)
    assert.equal("x" .. A, plain:eval("return selected('trial', { text = ... }).text", "x" .. A))
  end)

  it("says once that a Kong lacks what it needs, and stays with that Kong's schemas", function()
    local old = start("everywhere", "Schema.validators_order = nil; require('kong.plugins.kong-vault.schema')")
    local log = files.read(old.prefix .. "/error.log")
    local says = "`vault_references = everywhere` has no effect: this Kong has no kong.db.schema.validators_order"
    assert.equal(1, occurrences(log, says))
    assert.equal("x" .. A, old:eval("return selected('trial', { text = ... }).text", "x" .. A))
  end)
end)
