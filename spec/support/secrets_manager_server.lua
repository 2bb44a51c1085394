-- What `secrets_manager.lua` runs inside nginx. There is one worker, so the state is in plain tables.

local cjson = require "cjson"

-- The most secrets of one batch.
local LIMIT = 20

local ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"

local HANG = 60

local options = { delay = 0, batches = "yes" }
local counts, reads = {}, {}

local function reset()
  counts = { single = 0, batch = 0, read = 0, largest = 0 }
end
reset()

local function refuse(status, name, message)
  ngx.status = status
  ngx.header.content_type = "application/x-amz-json-1.1"
  ngx.print(cjson.encode({ __type = name, Message = message or "refused" }))
end

-- Returns the name that is meant by a name, an ARN, or an ARN without its end.
local function name_of(id)
  local rest = id:sub(1, #ARN) == ARN and id:sub(#ARN + 1)
  return rest and rest:gsub("%-AbCdEf$", "") or id
end

local function error_of(name)
  if name:find("missing-", 1, true) == 1 then
    return "ResourceNotFoundException", "Secrets Manager can't find the specified secret."
  elseif name:find("deleted-", 1, true) == 1 then
    return "InvalidRequestException",
      "You can't perform this operation on the secret because it was marked for deletion."
  elseif name:find("denied-", 1, true) == 1 then
    return "AccessDeniedException", "User is not authorized to perform: secretsmanager:GetSecretValue"
  end
end

local function secret(name)
  reads[name] = (reads[name] or 0) + 1
  counts.read = counts.read + 1
  return {
    ARN = ARN .. name .. "-AbCdEf",
    Name = name,
    VersionId = "00000000-0000-4000-8000-000000000001",
    SecretString = cjson.encode({ value = "value of " .. name, count = tostring(reads[name]) }),
    VersionStages = { "AWSCURRENT" },
    CreatedDate = 1700000000.5,
  }
end

local function single(request)
  counts.single = counts.single + 1
  local name = name_of(request.SecretId)
  local code, message = error_of(name)
  if code then
    return refuse(400, code, message)
  end
  ngx.print(cjson.encode(secret(name)))
end

local refusals = {
  denied = { 400, "AccessDeniedException", "User is not authorized to perform: secretsmanager:BatchGetSecretValue" },
  unknown = { 400, "UnknownOperationException" },
  throttled = { 400, "ThrottlingException", "Rate exceeded" },
  broken = { 500, "InternalServiceError" },
}

local function batch(request)
  counts.batch = counts.batch + 1
  local ids = request.SecretIdList
  counts.largest = math.max(counts.largest, #ids)
  if options.batches == "silent" then
    ngx.sleep(HANG)
  end
  local refusal = refusals[options.batches]
  if refusal then
    return refuse(unpack(refusal))
  elseif type(ids) ~= "table" or #ids < 1 or #ids > LIMIT or request.Filters then
    return refuse(400, "InvalidParameterException")
  end
  local first = tonumber(request.NextToken) or 1
  local last = math.min(#ids, first + (options.page or LIMIT) - 1)
  local answer = { SecretValues = {}, Errors = {}, NextToken = last < #ids and tostring(last + 1) or nil }
  -- No order is promised.
  for i = last, first, -1 do
    local name = name_of(ids[i])
    local code, message = error_of(name)
    if code then
      table.insert(answer.Errors, { SecretId = ids[i], ErrorCode = code, Message = message })
    else
      table.insert(answer.SecretValues, secret(name))
    end
  end
  local text = cjson.encode(answer):gsub('"SecretValues":{}', '"SecretValues":[]'):gsub('"Errors":{}', '"Errors":[]')
  ngx.print(text)
end

local operations = {
  ["secretsmanager.GetSecretValue"] = single,
  ["secretsmanager.BatchGetSecretValue"] = batch,
}

local function body()
  ngx.req.read_body()
  local file = ngx.req.get_body_file()
  return cjson.decode(ngx.req.get_body_data() or io.open(file, "rb"):read "*a")
end

local _M = {}

function _M.serve()
  local request = body()
  ngx.sleep(options.delay)
  local signature = ngx.var.http_authorization or ""
  if not signature:find("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/", 1, true) then
    return refuse(400, "MissingAuthenticationTokenException")
  end
  local operation = operations[ngx.var.http_x_amz_target]
  if not operation then
    return refuse(400, "UnknownOperationException")
  end
  operation(request)
end

function _M.control()
  local command = body()
  for name, value in pairs(command.set or {}) do
    options[name] = value
  end
  if command.reset then
    reset()
  end
  ngx.print(cjson.encode({ counts = counts }))
end

return _M
