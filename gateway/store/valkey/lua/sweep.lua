-- Deletes what earlier epochs have left, a part of the keyspace at a time. For the one who has just begun an epoch.
--
-- ARGV: 2 cursor. OK: the next cursor, `0` at the end.

local KEPT = { [META] = true, [PREFIX .. 'events'] = true }
local pattern = string.gsub(PREFIX, '[%*%?%[%]%^\\]', '\\%0') .. '*'
local found = call('SCAN', ARGV[2], 'MATCH', pattern, 'COUNT', 1000)
for _, key in ipairs(found[2]) do
  if not KEPT[key] then
    call('UNLINK', key)
  end
end
return answer('OK', found[1])
