local vault = require "spec.support.fresh"()

describe("is_reference", function()
  for value, expected in pairs({
    ["{vault://;/xx-x}"] = true,
    ["{vault://env/test}"] = true,
    ["{vault://}"] = true,
    ["{vault:/x/y}"] = false,
    ["{vault://env/test"] = false,
    ["vault://env/test}"] = false,
    [" {vault://env/test}"] = false,
    ["{VAULT://env/test}"] = false,
    [""] = false,
    ["{vault://\0/\255}"] = true,
  }) do
    it(("says %s of %q"):format(expected, value), function()
      assert.equal(expected, vault.is_reference(value))
    end)
  end

  it("says false of what is no string", function()
    for _, value in ipairs({ 1, true, {}, print }) do
      assert.is_false(vault.is_reference(value))
    end
    assert.is_false(vault.is_reference(nil))
  end)
end)

describe("parse_reference", function()
  for reference, expected in pairs({
    ["{vault://env/test}"] = { name = "env", resource = "test" },
    ["{vault://aws/a/b/c}"] = { name = "aws", resource = "a/b", key = "c" },
    ["{vault://env/a/b/}"] = { name = "env", resource = "a/b" },
    ["{vault://env/a/}"] = { name = "env", resource = "a" },
    ["{vault://env////a////b}"] = { name = "env", resource = "a", key = "b" },
    ["{vault://aws/%2Fsecret/key}"] = { name = "aws", resource = "/secret", key = "key" },
    ["{vault://aws/a%2Fb/c%2Fd}"] = { name = "aws", resource = "a/b", key = "c/d" },
    ["{vault://aws/a%3Fb%23c}"] = { name = "aws", resource = "a?b#c" },
    ["{vault://my-vault/test/key?opt1=val1&opt2=val2}"] = {
      name = "my-vault",
      resource = "test",
      key = "key",
      config = { opt1 = "val1", opt2 = "val2" },
    },
    ["{vault://env/test?a=b+c%26d}"] = { name = "env", resource = "test", config = { a = "b c&d" } },
    ["{vault://env/test#2}"] = { name = "env", resource = "test", version = 2 },
    ["{vault://env/test/key/?a=b#1}"] = {
      name = "env",
      resource = "test/key",
      config = { a = "b" },
      version = 1,
    },
    ["{vault://env/\255\0x}"] = { name = "env", resource = "\255\0x" },
  }) do
    it(("reads %q"):format(reference), function()
      assert.same(expected, vault.parse_reference(reference))
    end)
  end

  for reference, expected in pairs({
    ["{vault://env}"] = "reference url is missing path [{vault://env}]",
    ["{vault://env/}"] = "reference url has empty path [{vault://env/}]",
    ["{vault://env/////}"] = "reference url has invalid path [{vault://env/////}]",
    ["{vault://env/test#x}"] = "reference url has invalid version [{vault://env/test#x}]",
    ["{vault://}"] = "reference url is missing host [{vault://}]",
    ["{vault:///a}"] = "reference url is missing host [{vault:///a}]",
    ["{vault://#1}"] = "reference url is missing host [{vault://#1}]",
    ["{vault://?}"] = "reference url is missing path [{vault://?}]",
    ["{vault:/x/y}"] = "not a reference [{vault:/x/y}]",
    ["test"] = "not a reference [test]",
    [""] = "not a reference []",
  }) do
    it(("refuses %q"):format(reference), function()
      local parsed, err = vault.parse_reference(reference)
      assert.is_nil(parsed)
      assert.equal(expected, err)
    end)
  end

  it("reads 64 KB and raises on what is no string", function()
    local long = ("x"):rep(65536)
    assert.equal(long, vault.parse_reference("{vault://env/" .. long .. "/key}").resource)
    assert.has_error(function()
      vault.parse_reference(1)
    end, "bad argument #1 to 'parse_reference' (string expected, got number)")
  end)
end)
