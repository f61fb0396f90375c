-- Writes part of an epoch that does not hold yet.
--
-- ARGV: 1 the epoch that is prepared, 2 commands (msgpack: arrays of name, key without the prefix, arguments).
-- 1, or 0 when another epoch is prepared by now.

local META, TARGET = KEYS[1], ARGV[1]
if redis.call('HGET', META, 'preparing') ~= TARGET then
  return 0
end
local prefix = string.sub(META, 1, -5)
for _, command in ipairs(cmsgpack.unpack(ARGV[2])) do
  command[2] = prefix .. command[2]
  redis.call(unpack(command))
end
return 1
