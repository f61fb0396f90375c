-- Changes the limit of a counter that exists, if no newer configuration has.
--
-- ARGV: 2 key, 3 limit, 4 version. OK.

local counter = PREFIX .. 'c:' .. ARGV[2]
local version = call('HGET', counter, 'version')
if version and tonumber(ARGV[4]) > tonumber(version) then
  relimit(counter, ARGV[3], ARGV[4])
end
return answer('OK')
