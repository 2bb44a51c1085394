-- A busted output handler: gtest's output, and at the end the counts in the file that TALLY names, as `passed failed
-- skipped`. Where busted dies before its end, there is no such file.

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.gtest"(options)

  busted.subscribe({ "pending" }, function(element, _, message)
    io.write("skipped ", handler.getFullName(element), ": ", tostring(message or "no reason given"), "\n")
    return nil, true
  end)

  busted.subscribe({ "exit" }, function()
    local file = assert(io.open(os.getenv "TALLY", "w"))
    file:write(
      ("%d %d %d\n"):format(handler.successesCount, handler.failuresCount + handler.errorsCount, handler.pendingsCount)
    )
    file:close()
    return nil, true
  end)

  return handler
end
