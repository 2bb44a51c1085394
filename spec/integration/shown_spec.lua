-- What is shown of secrets that stand where none should: in answers of the Admin API, in errors, and in nginx's log.

local admin = require "spec.support.admin"
local certs = require "spec.support.certs"
local cleanup = require "spec.support.cleanup"
local files = require "spec.support.files"
local process = require "spec.support.process"

local TOKEN = "hvs.CAESIHunter2MarkerHunter2Marker"

describe("of secrets in the place of something else,", function()
  local server, folder, given

  local function encoded(text)
    local path = files.folder() .. "/text"
    files.write(path, text)
    local status, output = process.run({ command = { "openssl", "base64", "-A", "-in", path } })
    assert(status == 0, output)
    return (output:gsub("%s", ""))
  end

  setup(function()
    folder = admin.folder()
    server = admin.start(folder, {})
    local authority = certs.authority "ours"
    local certificate, key = files.read(authority.certificate), files.read(authority.key)
    given = {
      certificate .. key,
      key .. certificate,
      encoded(certificate .. key),
      encoded(key .. certificate),
      TOKEN,
    }
    -- Any line of the key, and any part of the base64.
    given.parts = { TOKEN }
    for line in key:gmatch "[^\n]+" do
      if not line:find("-----", 1, true) then
        given.parts[#given.parts + 1] = line
      end
    end
    for _, text in ipairs({ given[3], given[4] }) do
      for at = 1, #text - 32, 32 do
        given.parts[#given.parts + 1] = text:sub(at, at + 31)
      end
    end
  end)

  teardown(cleanup.run)

  local function is_hidden(text, place)
    for _, part in ipairs(given.parts) do
      assert.is_nil(text:find(part, 1, true), place)
    end
  end

  -- What a worker says of an entity's secret, by `get`, `update` and `try`.
  local function said(prefix)
    return server:eval(
      [[
        local vault, reference = require "kong.vault", "{vault://" .. ... .. "/a/b}"
        local _, err = vault.get(reference)
        local refs = { ["$refs"] = { a = reference } }
        vault.update(refs)
        local _, tried = vault.try(function() return nil, "no" end, refs)
        return tostring(err) .. tostring(tried)
      ]],
      prefix
    )
  end

  for _, option in ipairs({
    "client_cert",
    "cert_auth_cert",
    "ca_cert",
    "oauth2_ca_cert",
    "token_file",
    "jwt_file",
    "approle_secret_id_file",
    "oauth2_token_endpoint",
    "namespace",
  }) do
    it("nothing shows what " .. option .. " holds", function()
      local prefix = option:gsub("_", "-")
      local function config(value)
        local methods = { cert_auth_cert = "cert", jwt_file = "jwt", approle_secret_id_file = "approle" }
        return {
          host = "127.0.0.1",
          port = 1,
          protocol = "https",
          auth_method = methods[option],
          approle_role_id = "a",
          [option] = value,
        }
      end
      for _, value in ipairs(given) do
        local status, answer = admin.json(server, "PUT", "/vaults/" .. prefix, { name = "hcv", config = config(value) })
        is_hidden(require("cjson").encode(answer), option)
        if status == 200 then
          assert.matches("********", answer.config[option], 1, true)
          -- What was shown comes back as what it stands for.
          answer.description = "changed"
          assert.equal(200, (admin.json(server, "PUT", "/vaults/" .. prefix, answer)))
          assert.equal(value, admin.stored(folder)[1].config[option])
          assert.equal(200, (admin.json(server, "PATCH", "/vaults/" .. prefix, { config = answer.config })))
          assert.equal(value, admin.stored(folder)[1].config[option])
          is_hidden(said(prefix), option)
          assert.equal(204, (admin.call(server, "DELETE", "/vaults/" .. prefix)))
        end
      end
      local url = "https://user:Hunter2@127.0.0.1/token?sig=Hunter2Query"
      local _, refused = admin.json(server, "PUT", "/vaults/" .. prefix, { name = "hcv", config = config(url) })
      assert.is_nil(require("cjson").encode(refused):find("Hunter2", 1, true))
      admin.call(server, "DELETE", "/vaults/" .. prefix)
      is_hidden(server:log(), option)
    end)
  end

  it("nothing shows what a reference's options hold", function()
    local errors = server:eval [[
        local vault, errors = require "kong.vault", {}
        for _, query in ipairs { "jwt=", "proxy=http://u:", "approle_role_id=", "tokn=", "client_cert=", "x%79=" } do
          for _, text in ipairs { "{vault://hcv/a/b?%s}", "{vault://env/a?%s#x}", "{vault:/env/a?%s}", "{vault://none/a?%s}" } do
            local reference = text:gsub("%%s", function() return query .. "Hunter2Marker" end)
            errors[#errors + 1] = tostring((select(2, vault.get(reference))))
            errors[#errors + 1] = tostring((select(2, vault.parse_reference(reference))))
            errors[#errors + 1] = tostring((select(2, vault.warmup({ reference }))))
            vault.update({ ["$refs"] = { a = reference } })
          end
        end
        return table.concat(errors, "\n")
      ]]
    assert.matches("[{vault://env/a?tokn=***]", errors, 1, true)
    assert.is_nil(errors:find("Hunter2", 1, true), errors)
    assert.is_nil(server:log():find("Hunter2", 1, true))
  end)
end)
