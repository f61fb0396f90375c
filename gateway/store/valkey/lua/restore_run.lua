-- Puts back a run as it was, parents before their sub-runs, with what is left of its carve. One that is known is left alone.
--
-- ARGV: 2 id, 3 path (msgpack), 4 org, 5 agent, 6 limits (JSON), 7 their depth, 8 children, 9 opened, 10 closes, 11 ends (seconds),
-- 12 carve, 13 state, 14 reason, 15 the carve's via, 16 its body, 17 its windows' time (microseconds), 18 spent of it, 19 the claim
-- on the carve (msgpack). OK.

local ID, CARVE, STATE = ARGV[2], ARGV[12], ARGV[13]
local key = PREFIX .. 'run:' .. ID
if call('EXISTS', key) == 1 then
  return answer('OK')
end
local path = cmsgpack.unpack(ARGV[3])
call('HSET', key, 'path', ARGV[3], 'org', ARGV[4], 'agent', ARGV[5], 'limits', ARGV[6], 'depth', ARGV[7], 'children', ARGV[8],
  'opened', ARGV[9], 'closes', ARGV[10], 'ends', ARGV[11], 'carve', CARVE, 'state', STATE, 'reason', ARGV[14], 'sub_runs', '0')
call('ZADD', PREFIX .. 'runs', string.format('%.0f', ARGV[9] * 1000000), ID)
if STATE ~= 'closed' then
  call('ZADD', PREFIX .. 'ends', ARGV[10], ID)
end
if #path > 1 then
  call('HINCRBY', PREFIX .. 'run:' .. path[2], 'sub_runs', 1)
  call('SADD', PREFIX .. 'kids:' .. path[2], ID)
end
if CARVE ~= '0' then
  local left = text(math.max(0, CARVE - ARGV[18]))
  for _, claim in ipairs(claims_of(ARGV[16])) do
    add(PREFIX .. 'c:' .. claim[KEY], 'room', minus(left))
  end
  make(cmsgpack.unpack(ARGV[19]), ARGV[18])
  call('HSET', PREFIX .. 'r:carve:' .. ID, 'state', 'pending', 'at', string.format('%.0f', ARGV[9] * 1000000), 'window', ARGV[17],
    'owner', '', 'via', ARGV[15], 'body', ARGV[16], 'amount', CARVE, 'left', left, 'spent', ARGV[18],
    'closed', STATE == 'closed' and '1' or '0', 'purse', 'k|' .. ID, 'metered', '0')
  call('SADD', PREFIX .. 'o:', 'carve:' .. ID)
end
return answer('OK')
