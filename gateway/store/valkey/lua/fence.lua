-- Ends whatever epoch holds: its operations fail from now on. The first step of a rebuild (gateway/store/valkey/rebuild.py).
--
-- ARGV: 1 the epoch that is prepared. 1, or 0 when a later one holds or is prepared.

local META, TARGET = KEYS[1], ARGV[1]
local have = redis.call('HMGET', META, 'epoch', 'preparing')
if tonumber(have[1] or '0') >= tonumber(TARGET) or tonumber(have[2] or '0') > tonumber(TARGET) then
  return 0
end
redis.call('HDEL', META, 'epoch')
redis.call('HSET', META, 'preparing', TARGET)
return 1
