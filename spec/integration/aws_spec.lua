-- The `aws` vault in an nginx worker, against an AWS-API server that checks signatures.

local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local moto = require "spec.support.moto"
local nginx = require "spec.support.nginx"

local mime = require "mime"

local PROFILES = [[
[default]
aws_access_key_id = %s
aws_secret_access_key = %s
]]

describe("aws in nginx", function()
  if not moto.program() then
    return pending "TEST_MOTO does not name a moto_server program, and there is no .venv/bin/moto_server"
  end

  local aws, id, key, arn, powerless, batcher
  local servers = {}

  -- nginx with an environment of its own: credentials are captured at load.
  local function start(env)
    local all = {
      KONG_VAULT_AWS_REGION = moto.REGION,
      KONG_VAULT_AWS_ENDPOINT_URL = aws.url,
      HOME = "/nonexistent",
      AWS_EC2_METADATA_DISABLED = "true",
    }
    for name, value in pairs(env) do
      all[name] = value
    end
    local server = nginx.start({ env = all, init = [[require "kong.vault"]] })
    servers[#servers + 1] = server
    return server
  end

  local server

  setup(function()
    aws = moto.start()
    aws:secrets("CreateSecret", { Name = "plain", SecretString = "in plain text" })
    arn = aws:secrets("CreateSecret", { Name = "team/db", SecretString = '{"user":"kong","port":5432}' }).ARN
    aws:secrets("CreateSecret", { Name = "binary", SecretBinary = (mime.b64 "\0\255 bytes") })
    aws:secrets("CreateSecret", { Name = "encoded", SecretString = "aGVsbG8=" })
    aws:secrets("CreateSecret", { Name = "rotated", SecretString = '{"user":"old","word":"of old"}' })
    aws:secrets("PutSecretValue", { SecretId = "rotated", SecretString = '{"user":"new","word":"of new"}' })
    aws:secrets("CreateSecret", { Name = "going", SecretString = "x" })
    aws:secrets("DeleteSecret", { SecretId = "going" })
    id, key = aws:user("reader", "secretsmanager:GetSecretValue")
    powerless = { aws:user("powerless", "s3:ListBucket") }
    batcher = { aws:user("batcher", { "secretsmanager:BatchGetSecretValue", "secretsmanager:GetSecretValue" }) }
    aws:guard()
    server = start({ AWS_ACCESS_KEY_ID = id, AWS_SECRET_ACCESS_KEY = key })
  end)

  teardown(cleanup.run)

  for reference, expected in pairs({
    ["{vault://aws/plain}"] = "in plain text",
    ["{vault://aws/team/db/user}"] = "kong",
    ["{vault://aws/team/db/}"] = '{"user":"kong","port":5432}',
    ["{vault://aws/team%2Fdb/user}"] = "kong",
    ["{vault://aws/binary}"] = "\0\255 bytes",
    ["{vault://aws/encoded?base64_decode=true}"] = "hello",
    ["{vault://aws/rotated/user}"] = "new",
    ["{vault://aws/rotated/word}"] = "of new",
    ["{vault://aws/rotated/user#1}"] = "new",
    ["{vault://aws/rotated/user#2}"] = "old",
    ["{vault://aws/rotated/word#2}"] = "of old",
  }) do
    it("reads " .. reference, function()
      for _ = 1, 2 do
        assert.same({ expected, nil }, { server:value(reference) })
      end
    end)
  end

  it("reads by ARN", function()
    assert.equal("kong", (server:value(("{vault://aws/%s/user}"):format(arn))))
    assert.equal(
      "kong",
      (server:value(("{vault://aws/%s/user}"):format(arn:gsub("[:/]", { [":"] = "%3A", ["/"] = "%2F" }))))
    )
  end)

  for reference, reason in pairs({
    ["{vault://aws/nothing}"] = "no secret nothing in " .. moto.REGION,
    ["{vault://aws/team/db/word}"] = "subfield word not found in JSON secret",
    ["{vault://aws/team/db/port}"] = "unexpected number value in JSON secret for subfield port",
    ["{vault://aws/plain/field}"] = "unable to json decode value",
    ["{vault://aws/plain#2}"] = "previous version (AWSPREVIOUS)",
    ["{vault://aws/plain#3}"] = "has no version 3",
    ["{vault://aws/plain?region=us-west-2}"] = "no secret plain in us-west-2",
    ["{vault://aws/going}"] = "marked for deletion",
    ["{vault://aws/team/db/?base64_decode=true}"] = "unable to base64 decode value",
  }) do
    it("says why it can't read " .. reference, function()
      local value, err = server:value(reference)
      assert.is_nil(value)
      assert.matches(reason, err, 1, true)
    end)
  end

  for _, may_batch in ipairs({ true, false }) do
    it(may_batch and "reads many with one request" or "reads many singly without the right to batches", function()
      local user = may_batch and batcher or { id, key }
      local many = start({ AWS_ACCESS_KEY_ID = user[1], AWS_SECRET_ACCESS_KEY = user[2] })
      local err, values, batches, fetches = many:eval(
        [[
          local vault, values = require "kong.vault", {}
          local references = {...}
          local _, err = vault.warmup(references)
          for i, reference in ipairs(references) do
            values[i] = vault.get(reference) or "none"
          end
          return err, table.concat(values, ", "), vault.stats().batches, vault.stats().fetches
        ]],
        "{vault://aws/plain}",
        "{vault://aws/team/db/user}",
        ("{vault://aws/%s/user}"):format(arn),
        "{vault://aws/binary}",
        "{vault://aws/rotated/word}",
        "{vault://aws/rotated/word#2}",
        "{vault://aws/going}",
        "{vault://aws/nothing}"
      )
      assert.matches("2 of 8 references have no value", err, 1, true)
      assert.equal("in plain text, kong, kong, \0\255 bytes, of new, of old, none, none", values)
      -- Without the right, the first one is refused. What has no value was asked for twice.
      assert.same({ 1, 10 }, { batches, fetches })
    end)
  end

  local function refused(env, reason)
    local value, err = start(env):value "{vault://aws/plain}"
    assert.is_nil(value)
    assert.matches(reason, err, 1, true)
    for _, secret in ipairs({ key, powerless[2], id }) do
      assert.is_nil(err:find(secret, 1, true))
    end
  end

  it("is refused with a wrong secret key", function()
    refused({ AWS_ACCESS_KEY_ID = id, AWS_SECRET_ACCESS_KEY = powerless[2] }, "does not belong to its access key id")
  end)

  it("is refused with a key that nobody knows", function()
    refused({ AWS_ACCESS_KEY_ID = "AKIAUNKNOWN", AWS_SECRET_ACCESS_KEY = key }, "is not known")
  end)

  it("is refused where the user may not read secrets", function()
    refused(
      { AWS_ACCESS_KEY_ID = powerless[1], AWS_SECRET_ACCESS_KEY = powerless[2] },
      "allow secretsmanager:GetSecretValue"
    )
  end)

  it("says where it looked for credentials and found none", function()
    refused({}, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set")
  end)

  it("takes credentials from a profile's file", function()
    local credentials = files.write(files.folder() .. "/credentials", PROFILES:format(id, key))
    assert.equal("in plain text", (start({ AWS_SHARED_CREDENTIALS_FILE = credentials }):value "{vault://aws/plain}"))
  end)

  it("reads in init, where nothing may be left running", function()
    local env = { AWS_ACCESS_KEY_ID = id, AWS_SECRET_ACCESS_KEY = key }
    env.KONG_VAULT_AWS_REGION, env.KONG_VAULT_AWS_ENDPOINT_URL = moto.REGION, aws.url
    local early =
      nginx.start({ env = env, init = [[OF_INIT = assert(require("kong.vault").get "{vault://aws/plain}")]] })
    servers[#servers + 1] = early
    assert.equal("in plain text", early:eval "return OF_INIT")
  end)

  it("writes no key and no secret down", function()
    for _, each in ipairs(servers) do
      assert.equal(0, each:stop("QUIT", 10))
      assert.same({}, each:flaws({ key, powerless[2], "in plain text", "of old" }))
    end
  end)
end)
