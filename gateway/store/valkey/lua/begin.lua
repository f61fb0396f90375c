-- Lets an epoch hold: the last step of a rebuild.
--
-- ARGV: 1 the epoch that was prepared, 2 the latest time (microseconds) that the journal knows of, 3 the server's run id.
-- 1, or 0 when another epoch is prepared by now.

local META, TARGET, LATEST = KEYS[1], ARGV[1], tonumber(ARGV[2])
if redis.call('HGET', META, 'preparing') ~= TARGET then
  return 0
end
local now = tonumber(redis.call('HGET', META, 'now') or '0')
redis.call('XADD', string.sub(META, 1, -5) .. 'events', TARGET .. '-1', 'k', 'epoch', 'n', TARGET)
redis.call('HSET', META, 'epoch', TARGET, 'seq', '1', 'run_id', ARGV[3],
  'now', string.format('%.0f', now > LATEST and now or LATEST))
redis.call('HDEL', META, 'preparing')
return 1
