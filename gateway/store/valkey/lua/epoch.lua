-- Begins an epoch: from now on everybody who believes in the one before is refused.
--
-- KEYS[1] is `{installation}:meta`. ARGV: 1 the epoch that should be there ('' for none), 2 the new one, 3 the server's run id,
-- 4 the latest time (microseconds) that the journal knows of: a clock that is behind it has gone back.
-- OK, or EPOCH with the epoch that is there instead.

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'now')
local clock = redis.call('TIME')
local now_us = math.max(clock[1] * 1000000 + clock[2], tonumber(meta[3] or '0'), tonumber(ARGV[4] or '0'))
if (meta[1] or '') ~= ARGV[1] then
  return { 'EPOCH', tonumber(meta[2] or '0'), now_us, meta[1] or '' }
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'seq', '1', 'now', string.format('%.0f', now_us), 'run_id', ARGV[3])
redis.call('XADD', string.sub(KEYS[1], 1, -5) .. 'events', ARGV[2] .. '-1', 'k', 'epoch', 'n', ARGV[2])
return { 'OK', 1, now_us, '' }
