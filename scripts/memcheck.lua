-- Reads Valgrind's reports (XML) and prints the errors that a library has to do with, each once; see `memcheck`.
--
-- luajit scripts/memcheck.lua LIBRARY REPORT…

local library = table.remove(arg, 1)

local ENTITIES = { lt = "<", gt = ">", amp = "&", quot = '"', apos = "'" }

local function text(xml, tag)
  local found = xml:match("<" .. tag .. ">(.-)</" .. tag .. ">")
  return found and found:gsub("&(%w+);", ENTITIES)
end

local function frames(stack)
  local lines = {}
  for frame in stack:gmatch "<frame>(.-)</frame>" do
    local file, line = text(frame, "file"), text(frame, "line")
    local place = file and ("%s:%s"):format(file, line or "?") or text(frame, "obj") or "?"
    lines[#lines + 1] = ("    %s (%s)"):format(text(frame, "fn") or "???", place)
  end
  return table.concat(lines, "\n")
end

-- An error as text: what, and each stack after what it says about it. Process and thread are no part of it.
local function describe(error)
  local lines = { text(error, "kind") .. ": " .. (text(error, "what") or text(error, "text") or "") }
  for before, stack in error:gmatch "(.-)<stack>(.-)</stack>" do
    local about = text(before, "auxwhat")
    lines[#lines + 1] = about and ("  " .. about) or nil
    lines[#lines + 1] = frames(stack)
  end
  return table.concat(lines, "\n")
end

local function is_ours(error)
  for object in error:gmatch "<obj>(.-)</obj>" do
    if object == library then
      return true
    end
  end
  return false
end

local ours, others, whole = 0, 0, 0
local seen = {}
for _, path in ipairs(arg) do
  local file = assert(io.open(path))
  local xml = file:read "*a"
  file:close()
  -- One that was killed could not end its report; what it had found till then is in it.
  whole = whole + (xml:find("</valgrindoutput>", 1, true) and 1 or 0)
  for error in xml:gmatch "<error>(.-)</error>" do
    if not is_ours(error) then
      others = others + 1
    else
      ours = ours + 1
      local description = describe(error)
      if not seen[description] then
        seen[description] = true
        print(description)
      end
    end
  end
end

print(("%d processes, %d of them with a report to their end; %d errors of others"):format(#arg, whole, others))
print(("%d errors of ours"):format(ours))
-- Without reports nothing was looked at.
os.exit(ours == 0 and whole > 0 and 0 or 1)
