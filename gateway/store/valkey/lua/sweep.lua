-- Deletes what is left of earlier epochs, a part of the keyspace at a time.
--
-- ARGV: 1 the epoch that is prepared, 2 cursor. The next cursor (`0`: done), or false when another is prepared by now.

local META, TARGET, CURSOR = KEYS[1], ARGV[1], ARGV[2]
if redis.call('HGET', META, 'preparing') ~= TARGET then
  return false
end
local prefix = string.sub(META, 1, -5)
local found = redis.call('SCAN', CURSOR, 'MATCH', string.gsub(prefix, '[%*%?%[%]%^\\]', '\\%0') .. '*', 'COUNT', 1000)
for _, key in ipairs(found[2]) do
  if key ~= META then
    redis.call('UNLINK', key)
  end
end
return found[1]
