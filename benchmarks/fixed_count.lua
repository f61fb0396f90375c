-- A fixed number of requests with wrk, none left unanswered. One thread (-t1).
-- Arguments: requests, file with the body, key.
--
-- wrk asks `delay` before each request of a connection. Once as many as wanted have been let through, the answer is an
-- hour: the connection rests. `response` sees the last answer, tells the seconds since the first request on standard
-- error, and stops the thread. (wrk's own clock starts after its threads do.)

local ffi = require("ffi")
ffi.cdef[[
  typedef struct { long seconds; long nanoseconds; } farebox_time;
  int clock_gettime(int clock, farebox_time *time);
]]
local time = ffi.new("farebox_time")
local began

local function now()
  ffi.C.clock_gettime(1, time)  -- CLOCK_MONOTONIC
  return tonumber(time.seconds) + tonumber(time.nanoseconds) / 1e9
end

local wanted, allowed, answered, wrong = 0, 0, 0, 0
local message

function init(args)
  wanted = tonumber(args[1])
  local file = assert(io.open(args[2], "rb"))
  local body = file:read("*a")
  file:close()
  message = wrk.format("POST", nil, {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. args[3],
  }, body)
end

function delay()
  if allowed >= wanted then return 3600000 end
  began = began or now()
  allowed = allowed + 1
  return 0
end

function request()
  return message
end

function response(status, headers, body)
  answered = answered + 1
  if status ~= 200 then
    wrong = wrong + 1
    if wrong == 1 then io.stderr:write("status ", status, ": ", body, "\n") end
  end
  if answered == wanted then
    io.stderr:write(string.format("drained %.6f\n", now() - began))
    wrk.thread:stop()
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  local histogram = {}
  for i = 1, #latency do
    local value, count = latency(i)
    histogram[i] = string.format('"%d": %d', value, count)
  end
  io.write(string.format(
    '\n{"requests": %d, "errors": %d, "microseconds": %d, "histogram": {%s}}\n',
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout, summary.duration,
    table.concat(histogram, ", ")))
end
