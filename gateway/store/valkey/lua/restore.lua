-- Puts back a pending reservation of an attempt, whatever the limits say now. One that is known is left alone.
--
-- ARGV: 2 owner, 3 id, 4 via, 5 reserved at, 6 its windows' time (microseconds), 7 body, 8 rates, 9 tokens counted by rates,
-- strict money, tokens, calibrated money, tokens (10 to 13), 14 '1' when it is orphaned: charged in full, no more pending, but
-- a late settlement may correct it. OK.
-- Counters that exist reserve it at once, others when they are seeded.

local OWNER, ID = ARGV[2], ARGV[3]
local key = PREFIX .. 'r:' .. ID
if call('EXISTS', key) == 1 then
  return answer('OK')
end
local orphaned = ARGV[14] == '1'
local metered = false
for _, claim in ipairs(claims_of(ARGV[7])) do
  metered = metered or claim[CALIBRATED]
  if not orphaned then
    add(PREFIX .. 'c:' .. claim[KEY], 'room', minus(share(claim, ARGV[10], ARGV[11], ARGV[12], ARGV[13])))
  end
end
call('HSET', key, 'state', 'pending', 'at', ARGV[5], 'window', ARGV[6], 'owner', OWNER, 'via', ARGV[4], 'body', ARGV[7],
  'rates', ARGV[8], 'counted', ARGV[9], 'sm', ARGV[10], 'st', ARGV[11], 'cm', ARGV[12], 'ct', ARGV[13],
  'metered', metered and '1' or '0', 'reply', '')
if orphaned then
  call('HSET', key, 'state', 'orphaned', 'money', ARGV[metered and 12 or 10], 'tokens', ARGV[metered and 13 or 11])
  call('PEXPIRE', key, ORPHANED_MS)
  call('ZADD', PREFIX .. 'orphaned', NOW, ID)
  return answer('OK')
end
call('SADD', PREFIX .. 'o:' .. OWNER, ID)
call('ZADD', PREFIX .. 'owners', 'NX', NOW, OWNER)
return answer('OK')
