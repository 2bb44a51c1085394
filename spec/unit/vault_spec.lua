local fresh = require "spec.support.fresh"

local NO_VALUE = "could not get value from external vault (no value found ("

local function starts_with(text, start)
  assert.equal(start, (text or ""):sub(1, #start))
end

describe("get from the environment", function()
  local vault = fresh()

  for reference, expected in pairs({
    ["{vault://env/unit-secret}"] = "from the environment",
    ["{vault://env/UNIT_secret#1}"] = "from the environment",
    ["{vault://env/unit-secret#2}"] = "from before",
    ["{vault://env/unit-empty}"] = "",
    ["{vault://env/secret?prefix=unit-}"] = "from the environment",
    ["{vault://env/unit-json/user}"] = "kong",
    ["{vault://env/unit-json/empty}"] = "",
    ["{vault://env/unit-base64?base64_decode=true}"] = "hello",
    ["{vault://env/unit-base64?decode_base64=true}"] = "hello",
    ["{vault://env/unit-base64?base64_decode=false}"] = "aGVsbG8=",
    ["{vault://env/unit-base64-field/key?base64_decode=true}"] = "hello",
  }) do
    it("reads " .. reference, function()
      local value, err = vault.get(reference)
      assert.is_nil(err)
      assert.equal(expected, value)
      assert.equal(expected, vault.get(reference))
    end)
  end

  for reference, reason in pairs({
    ["{vault://env/unit-missing}"] = "env vault %(env%) has no environment variable UNIT_MISSING: set it before nginx starts",
    ["{vault://env/unit-secret#3}"] = "has no version 3",
    ["{vault://env/unit-json/nope}"] = "subfield nope not found in JSON secret",
    ["{vault://env/unit-json/port}"] = "unexpected number value in JSON secret for subfield port",
    ["{vault://env/unit-json/on}"] = "unexpected boolean value in JSON secret for subfield on",
    ["{vault://env/unit-json/nested}"] = "unexpected table value in JSON secret for subfield nested",
    ["{vault://env/unit-secret/key}"] = "unable to json decode value",
    ["{vault://env/unit-bad-base64?base64_decode=true}"] = "unable to base64 decode value",
    ["{vault://env/unit-secret?nope=1}"] = "nope",
    ["{vault://env/unit-secret?ttl=soon}"] = "ttl",
    ["{vault://env/\0}"] = "no environment variable",
    ["{vault://env/\255}"] = "utf%-8",
  }) do
    it(("says why %q has no value"):format(reference), function()
      local value, err = vault.get(reference)
      assert.is_nil(value)
      assert.matches(reason, err)
      assert.is_nil(err:find("from the environment", 1, true))
    end)
  end

  it("returns a value alone", function()
    assert.equal(1, select("#", vault.get "{vault://env/unit-secret}"))
    assert.equal(1, select("#", fresh().get "{vault://env/unit-secret}"))
  end)

  it("wraps the reason as Kong does", function()
    local _, err = vault.get "{vault://env/unit-missing}"
    starts_with(err, NO_VALUE)
    assert.equal("))", err:sub(-2))
  end)

  it("knows vaults that aren't there, and references that aren't any", function()
    assert.same({ nil, "could not find vault (nope)" }, { vault.get "{vault://nope/x}" })
    assert.same({ nil, "not a reference [x]" }, { vault.get "x" })
  end)

  it("raises on what is no string", function()
    for _, value in ipairs({ 1, true, {} }) do
      assert.has_error(function()
        vault.get(value)
      end, "bad argument #1 to 'get' (string expected, got " .. type(value) .. ")")
    end
    assert.has_error(function()
      vault.get()
    end, "bad argument #1 to 'get' (string expected, got nil)")
  end)
end)

describe("configure", function()
  it("takes the keys of kong.conf, as text or as Lua's own types", function()
    local vault = fresh()
    assert.is_true(vault.configure({ vault_env_prefix = "UNIT_", vault_cache_size = 10, vaults = { "env", "aws" } }))
    assert.equal("from the environment", vault.get "{vault://env/secret}")
    assert.equal("with another prefix", vault.get "{vault://env/secret?prefix=OTHER_}")
    assert.equal("could not find vault (hcv)", select(2, vault.get "{vault://hcv/x/y}"))
  end)

  for key, value in pairs({
    vault_env_nope = "1",
    vault_nope_prefix = "1",
    vault_cache_size = "many",
    vault_fetch_timeout = "-1",
    vault_aws_ttl = "soon",
    vaults = "bundled,nope",
    vault_hcv_kv = "v3",
    nope = "1",
  }) do
    it("names the key " .. key .. " where it is wrong", function()
      local ok, err = fresh().configure({ [key] = value })
      assert.is_nil(ok)
      assert.matches(key, err, 1, true)
    end)
  end

  it("refuses values of other types, and a second call", function()
    local vault = fresh()
    assert.matches("vault_env_prefix", select(2, vault.configure({ vault_env_prefix = print })))
    assert.is_true(vault.configure({}))
    assert.matches("configured already", select(2, vault.configure({})))
    assert.has_error(function()
      vault.configure "x"
    end)
  end)

  it("switches every backend off", function()
    local vault = fresh()
    assert.is_true(vault.configure({ vaults = "off" }))
    assert.equal("could not find vault (env)", select(2, vault.get "{vault://env/unit-secret}"))
  end)
end)

describe("warmup", function()
  it("resolves every reference among keys and values, at any depth, once", function()
    local vault = fresh()
    local input =
      { a = { { ["{vault://env/unit-secret}"] = "{vault://env/unit-base64}" } }, "{vault://env/unit-secret}" }
    input.self = input
    assert.is_true(vault.warmup(input))
    assert.equal(2, vault.stats().entries)
  end)

  it("says how many have no value and why", function()
    local ok, err = fresh().warmup({ "{vault://env/unit-secret}", "{vault://env/unit-missing}" })
    assert.is_nil(ok)
    assert.matches("^1 of 2 references have no value, the first: .*UNIT_MISSING", err)
  end)
end)

describe("flush and stats", function()
  it("drops what is cached", function()
    local vault = fresh()
    vault.get "{vault://env/unit-json/user}"
    vault.get "{vault://env/unit-json/empty}"
    local stats = vault.stats()
    assert.equal(1, stats.entries)
    assert.is_true(stats.bytes > 100)
    assert.is_true(vault.flush())
    assert.equal(0, vault.stats().entries)
    assert.equal(0, vault.stats().bytes)
  end)
end)

describe("install", function()
  it("creates kong.vault, or takes Kong's own over in place", function()
    local vault = fresh()
    local kong = vault.install({})
    assert.equal(vault.get, kong.vault.get)
    local pdk = { get = print, other = 1 }
    assert.equal(pdk, vault.install({ vault = pdk }).vault)
    assert.equal(vault.get, pdk.get)
    assert.equal(1, pdk.other)
  end)
end)
