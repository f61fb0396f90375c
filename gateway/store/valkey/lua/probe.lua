-- Takes a probe's place in one breaker or more, all or none.
--
-- KEYS[1] is `{installation}:probes`; each breaker has a sorted set, `{installation}:probes:<breaker>`: who has a place,
-- by when it ends (microseconds). ARGV: 1 who wants it, then for each breaker 3: name, how many places there are, for
-- how long (milliseconds). Answers with 0, or with the number of the first breaker that has no place left.

local LENGTH = 3
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]

for at = 2, #ARGV, LENGTH do
  local key = KEYS[1] .. ':' .. ARGV[at]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now_us))
  if redis.call('ZCARD', key) >= tonumber(ARGV[at + 1]) then
    return (at - 2) / LENGTH + 1
  end
end
for at = 2, #ARGV, LENGTH do
  local key = KEYS[1] .. ':' .. ARGV[at]
  redis.call('ZADD', key, string.format('%.0f', now_us + ARGV[at + 2] * 1000), ARGV[1])
  redis.call('PEXPIRE', key, ARGV[at + 2])
end
return 0
