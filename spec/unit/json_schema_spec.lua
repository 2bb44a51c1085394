-- The JSON schema by which APISIX checks secrets: it has the options of all backends.

local native = require "kong.vault.native"

describe("the schema of APISIX's secrets", function()
  local schema = require("kong.vault.gateway.json_schema").secret(native)

  it("has what APISIX adds to a secret, and nothing that nobody knows", function()
    for _, field in ipairs({ "id", "create_time", "update_time" }) do
      assert.truthy(schema.properties[field], field)
    end
    assert.is_false(schema.additionalProperties)
    assert.is_nil(schema.required)
  end)

  it("lets a secret be of one backend", function()
    local forbidden = {}
    for _, one in ipairs(schema.dependencies.hcv["not"].anyOf) do
      forbidden[one.required[1]] = true
    end
    assert.is_true(forbidden.aws)
    assert.is_nil(forbidden.hcv)
  end)

  for _, backend in ipairs(native.backends) do
    it("has each option of " .. backend .. " by all its names, but what is the operator's alone", function()
      local config, checked = schema.properties[backend], 0
      assert.is_false(config.additionalProperties)
      for _, opt in ipairs(native.options(backend)) do
        for _, name in ipairs({ opt.name, unpack(opt.aliases) }) do
          local property = config.properties[name]
          assert.equal(opt.operators, property == nil, name)
          if property then
            checked = checked + 1
            assert.is_nil(property.pattern, name .. ": the error would show the value")
            assert.same(opt.one_of, property.enum)
          end
        end
      end
      local known = 0
      for _ in pairs(config.properties) do
        known = known + 1
      end
      assert.equal(known, checked)
      assert.is_true(checked > 0)
    end)
  end

  it("has what options need of each other", function()
    local hcv = schema.properties.hcv
    assert.same({ "aws_secret_access_key" }, hcv.dependencies.aws_access_key_id)
    local found
    for _, check in ipairs(hcv.allOf) do
      if check["if"].properties.auth_method.enum[1] == "kubernetes" then
        found = check["then"].allOf
      end
    end
    assert.same({ { required = { "kube_role" } } }, found)
    assert.same({ { required = { "prefix" } } }, schema.properties.fs.allOf)
  end)
end)
