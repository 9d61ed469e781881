-- Send the requests of a file, and say in a line of JSON what came of it.
--
--     wrk --script load.lua URL -- FILE STATUS again
--     wrk --script load.lua URL -- FILE STATUS once
--
-- A NUL stands between two requests. "once" ends with the last of them, if time does not before.

local ffi = require("ffi") -- Lua's own clock counts whole seconds
ffi.cdef("typedef struct { long seconds, microseconds; } moment; int gettimeofday(moment *, void *);")
local moment = ffi.new("moment")
local the_thread

local function now()
  ffi.C.gettimeofday(moment, nil)
  return tonumber(moment.seconds) + tonumber(moment.microseconds) / 1e6
end

function setup(thread)
  the_thread = thread
end

function init(args)
  requests = {}
  for one in io.open(args[1], "rb"):read("*a"):gmatch("%Z+") do
    requests[#requests + 1] = one
  end
  expected, once = tonumber(args[2]), args[3] == "once"
  -- wrk asks for the first request before it starts, to look at it, and does not send it.
  asked, answered, wrong, begun, ended = -1, 0, 0, 0, 0
end

function request()
  asked = asked + 1
  if asked == 1 then
    begun = now()
  end
  if once and asked >= #requests then
    wrk.thread:stop()
    return ""
  end
  return requests[asked % #requests + 1]
end

function response(status)
  answered, ended = answered + 1, now()
  if status ~= expected then
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  local answers = the_thread:get("answered")
  print(string.format(
    '{"answered": %d, "wrong": %d, "lost": %d, "rate": %f, "p50": %f, "p99": %f}',
    answers, the_thread:get("wrong"), lost,
    answers / math.max(the_thread:get("ended") - the_thread:get("begun"), 1e-6),
    latency:percentile(50) / 1000, latency:percentile(99) / 1000
  ))
end
