-- The strategies and the plugin in hosts with the facts of each Kong from 2.8 to 3.9.

local cleanup = require "spec.support.cleanup"
local fake = require "spec.support.fake"
local in_kong = require "spec.support.in_kong"
local kong_versions = require "spec.support.kong_versions"
local wait = require "spec.support.wait"

describe("in Kong", function()
  local vault

  setup(function()
    vault = fake.start()
  end)

  teardown(cleanup.run)

  local ROWS = [[
    rows = { plugins = {}, certificates = {
      { id = "one", cert = "{vault://hcv/%s-cert/count?ttl=1}", key = "a key" },
      { id = "two", cert = "a certificate", key = "a key" },
    } }
  ]]

  local MAKE = [[
    versions = require "spec.support.kong_versions"
    versions.make(kong, "%s", rows)
    before = kong.vault
    kongs = {}
    for name, value in pairs(kong.vault) do
      kongs[name] = value
    end

    -- Whether all of `kong.vault` are Kong's own functions, or none.
    function are_kongs(wanted)
      for name, value in pairs(kong.vault) do
        if (value == kongs[name]) ~= wanted then
          return false
        end
      end
      return true
    end
  ]]

  -- What Kong loads, in its order.
  local LOAD = [[
    schemas = {}
    for _, backend in ipairs({ "hcv", "aws", "gcp", "azure", "azure-certs", "conjur", "fs" }) do
      local strategy = require("kong.vaults." .. backend .. ".init")
      strategy.init()
      schemas[backend] = require("kong.vaults." .. backend .. ".schema")
    end
    package.preload["kong.db.schema.typedefs"] = function()
      return { protocols = function() return { type = "set" } end }
    end
    schemas.plugin = require "kong.plugins.kong-vault.schema"
    handler = require "kong.plugins.kong-vault.handler"
  ]]

  local WORKER = [[
    if kong.facts.pdk.init_worker then
      kong.vault.init_worker()
    end
    handler.init_worker()
    if kong.facts.configure then
      handler:configure(nil)
    end
  ]]

  -- `init`: Lua that runs before the host is made.
  local function serving(name, init)
    local dictionary = kong_versions.FACTS[name].dictionary
    return in_kong.start(vault, ROWS:format(name) .. (init or "") .. MAKE:format(name) .. LOAD, {
      init_worker = WORKER,
      http = dictionary and "lua_shared_dict kong_secrets 1m;" or "",
    })
  end

  for _, name in ipairs(kong_versions.NAMES) do
    local facts = kong_versions.FACTS[name]

    describe(name .. ",", function()
      local server

      setup(function()
        server = serving(name)
      end)

      it("schemas of strategies and plugin are such as Kong's schema code takes", function()
        server:eval [[
          local check = require("kong.db.schema.metaschema").MetaSubSchema
          for name, schema in pairs(schemas) do
            if name == "plugin" then
              schema = { fields = { schema.fields[#schema.fields] } }
            end
            assert(check:validate(schema), name)
          end
        ]]
      end)

      it("every documented spelling of an option is a field, or stands for one", function()
        for _, spelling in ipairs({
          "hcv.tls_verify ssl_verify",
          "hcv.skip_verify tls_skip_verify",
          "hcv.cacert ca_cert",
          "hcv.ssl_ca_cert ca_cert",
          "hcv.tls_client_cert client_cert",
          "hcv.decode_base64 base64_decode",
          "hcv.oauth2_role_name jwt_role",
          "aws.ca_bundle ca_cert",
          "aws.tls_verify ssl_verify",
          "gcp.ca_bundle ca_cert",
          "gcp.decode_base64 base64_decode",
          "fs.decode_base64 base64_decode",
          "azure.client_certificate_path client_certificate",
          "conjur.tls_verify ssl_verify",
        }) do
          local backend, alias, option = spelling:match "(%w+)%.(%S+) (%S+)"
          local found = server:eval(
            [[
            local backend, alias, option = ...
            local config = schemas[backend].fields[1].config
            for _, item in ipairs(config.shorthand_fields or {}) do
              if item[alias] then
                return item[alias].func("x")[option]
              end
            end
            local fields = {}
            for _, item in ipairs(config.fields) do
              local name, field = next(item)
              fields[name] = field
            end
            assert(fields[option] and fields[option].default == nil)
            return fields[alias] and "a field"
          ]],
            backend,
            alias,
            option
          )
          assert.equal(facts.drops and "a field" or "x", found, spelling)
        end
      end)

      it("plugins get values from backends and entities, and new ones when a secret is rotated", function()
        assert.is_true(server:eval "return before == kong.vault and kong.vault.get == require('kong.vault').get")
        for _, reference in ipairs({ "{vault://hcv/%s/count?ttl=1}", "{vault://mine/%s/count?ttl=1}" }) do
          reference = reference:format(name)
          assert.is_string((server:value(reference)))
          wait.eventually("the value is a later one", function()
            return tonumber((server:value(reference))) > 1
          end)
        end
        assert.equal("of a custom vault", (server:eval "return kong.vault.get '{vault://custom/x}'"))
      end)

      it("update, try, warmup and flush are there for plugins, whatever Kong has of them", function()
        local fields = server:eval [[
          local references = { a = "{vault://hcv/surface/value}", b = "{vault://custom/x}" }
          assert(kong.vault.warmup(references))
          local config = kong.vault.update({ a = "", b = "", ["$refs"] = references })
          assert(kong.vault.try(function(options) return options.a == config.a end, config))
          kong.vault.flush()
          return { config.a, config.b }
        ]]
        assert.same({ "value of surface", "of a custom vault" }, fields)
      end)

      it("a certificate whose secret is rotated is served anew", function()
        local function served()
          return server:eval [[ return require("kong.runloop.certificate").get_certificate({ id = "one" }).cert ]]
        end
        assert.is_string(served())
        local first = tonumber(served())
        wait.eventually("the next one is served", function()
          return tonumber(served()) > first
        end)
        assert.equal(
          "a certificate",
          server:eval [[ return require("kong.runloop.certificate").get_certificate({ id = "two" }).cert ]]
        )
      end)

      if facts.keeps then
        it("a certificate that another worker has renewed stays", function()
          local path = "/v1/secret/" .. name .. "-other"
          local function answers(value)
            vault:route(path, { body = ('{"data":{"value":"%s"}}'):format(value) })
          end
          answers "old"
          local row = server:eval(
            [[
            rows.certificates[3] = { id = "three", cert = ("{vault://hcv/%s-other/value?ttl=300}"):format(...), key = "a key" }
            kong.post("declarative." .. kong.facts.event)
            require("kong.runloop.certificate").get_certificate({ id = "three" })
            kept_as = kong.facts.remembers and "certificates:three" or kong.db.certificates:cache_key("three")
            return select(3, kong.core_cache:probe(kept_as))
          ]],
            name
          )
          assert.equal("old", row.cert)
          answers "new"
          server:eval [[
            local _, _, row = kong.core_cache:probe(kept_as)
            row.cert, kong.forgotten = "new", {}
            kong.core_cache:safe_set(kept_as, row)
          ]]
          wait.eventually("its value is asked for anew", function()
            return server:eval(
              [[ return require("kong.vault").get(("{vault://hcv/%s-other/value?ttl=300}"):format(...)) == "new" ]],
              name
            )
          end)
          local left =
            server:eval [[ return { select(3, kong.core_cache:probe(kept_as)).cert, kong.forgotten[kept_as] or false } ]]
          assert.same({ "new", false }, left)
        end)
      end

      it("a configuration that is replaced leaves no reference of it without a value", function()
        assert.same(
          { "value of pushed", "value of pushed" },
          server:eval [[
          local found = {}
          for i = 1, 2 do
            entities[1].prefix = "pushed" .. i
            found[i] = versions.replace(kong, rows, "hash " .. i, function()
              return kong.vault.get("{vault://pushed" .. i .. "/pushed/value}")
            end)
          end
          entities[1].prefix = "mine"
          versions.replace(kong, rows, "hash 3", function() end)
          return found
        ]]
        )
      end)

      it("`pdk = off` gives Kong its own functions, and `on` takes them back", function()
        local function switch(mode)
          server:eval(
            [[
            local mode = ...
            rows.plugins[1] = mode and { name = "kong-vault", config = { pdk = mode } }
            if kong.facts.configure then
              handler:configure(mode and { { pdk = mode } })
            else
              kong.post("crud.plugins", { entity = { name = "kong-vault" } })
            end
          ]],
            mode
          )
        end
        local function whose(kongs)
          wait.eventually("those serve that are wanted", function()
            return server:eval("return are_kongs(...)", kongs)
          end)
        end
        switch "off"
        whose(true)
        -- What was read while ours looked credentials up has none, but where the cache is the database it stays.
        assert.equal(not facts.remembers, server:eval "return kong.forgotten['vaults:mine'] ~= nil")
        assert.equal(facts.pdk.update or false, server:eval "return kong.vault.update ~= nil")
        switch "on"
        whose(false)
        switch "off"
        whose(true)
        switch(nil)
        whose(false)
      end)

      it("what this Kong can't do is said once", function()
        local log = server:log()
        local _, fields = log:gsub("plugins' fields get new values only after a reload", "")
        local _, dictionary = log:gsub("lua_shared_dict = kong_secrets", "")
        assert.same({ facts.pdk.update and 0 or 1, facts.dictionary and 0 or 1 }, { fields, dictionary })
      end)

      it("an entity that is changed in Kong's database is another at once", function()
        local postgres = serving(name, 'rows.database = "postgres"')
        assert.equal("value of x", (postgres:value "{vault://mine/x/value}"))
        postgres:eval [[
          entities[1].prefix = "renamed"
          kong.post("crud." .. (kong.facts.vaults or "vaults"))
        ]]
        assert.equal("value of x", (postgres:value "{vault://renamed/x/value}"))
        assert.same({ nil, "could not find vault (mine)" }, { postgres:value "{vault://mine/x/value}" })
      end)

      it("with the library missing Kong starts, takes its entities and says so in one line", function()
        local bare = serving(
          name,
          [[
          package.preload["kong.vault.native"] = function() error("no library", 0) end
        ]]
        )
        assert.equal("of a custom vault", (bare:eval "return kong.vault.get '{vault://custom/x}'"))
        bare:eval [[
          local check = require("kong.db.schema.metaschema").MetaSubSchema
          for _, backend in ipairs({ "hcv", "aws", "gcp", "azure", "azure-certs", "conjur", "fs" }) do
            assert(check:validate(schemas[backend]))
          end
          local fields = {}
          for _, item in ipairs(schemas.hcv.fields[1].config.fields) do
            local name, field = next(item)
            fields[name] = field.type
          end
          assert(fields.host == "string" and fields.port == "integer" and fields.tls_verify == "boolean")
        ]]
        local _, lines = bare:log():gsub("%d: %[lua%][^\n]*no library", "")
        assert.equal(1, lines)
      end)
    end)
  end

  it("the types that Kong is told without the library are those of the option tables", function()
    local server = in_kong.start(vault, "")
    server:eval [[
      local native, types = require "kong.vault.native", require "kong.vault.gateway.option_types"
      local TYPES = { text = "string", boolean = "boolean", integer = "integer", seconds = "number", list = "array" }
      for _, backend in ipairs(native.backends) do
        local listed = types[backend]
        for _, opt in ipairs(listed and native.options(backend) or {}) do
          for _, name in ipairs({ opt.name, unpack(opt.aliases) }) do
            assert(listed[name] == TYPES[opt.type], ("%s of %s: %s"):format(name, backend, TYPES[opt.type]))
            listed[name] = nil
          end
        end
        assert(not listed or next(listed) == nil, listed and next(listed))
      end
    ]]
  end)
end)
