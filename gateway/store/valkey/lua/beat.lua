-- A gateway lives. What belongs to gateways that were not heard of for a while is charged in full, so much at a time.
--
-- ARGV: 2 owner, 3 how many reservations at most, 4 that while (microseconds). OK: how many were orphaned, how many runs
-- were closed.

local OWNER, MOST, LOST_US = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local FORGET_US = 86400000000
local OWNERS = PREFIX .. 'owners'

call('ZADD', OWNERS, NOW, OWNER)
local orphaned = 0
for _, owner in ipairs(call('ZRANGEBYSCORE', OWNERS, '-inf', string.format('(%.0f', now_us - LOST_US))) do
  local ids = orphaned < MOST and call('SRANDMEMBER', PREFIX .. 'o:' .. owner, MOST - orphaned) or {}
  for _, id in ipairs(ids) do
    local found = find(id)
    if found and found.state == 'pending' then
      orphan(found)
      orphaned = orphaned + 1
    else
      call('SREM', PREFIX .. 'o:' .. owner, id)
    end
  end
end
call('ZREMRANGEBYSCORE', PREFIX .. 'orphaned', '-inf', string.format('%.0f', now_us - ORPHANED_MS * 1000))
-- One that has been gone for a day, and left nothing, will not come back.
for _, owner in ipairs(call('ZRANGEBYSCORE', OWNERS, '-inf', string.format('%.0f', now_us - FORGET_US))) do
  if call('EXISTS', PREFIX .. 'o:' .. owner) == 0 then
    call('ZREM', OWNERS, owner)
  end
end
return answer('OK', orphaned .. ' ' .. end_due())
