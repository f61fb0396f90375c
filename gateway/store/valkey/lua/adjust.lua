-- Posts an amount to a counter, once for each entry.
--
-- ARGV: 2 key, 3 amount, 4 the entry's id. COUNTERS: the counter, or none when there is no such counter.

local COUNTER_KEY, AMOUNT, ENTRY = ARGV[2], ARGV[3], ARGV[4]
local KEPT_MS = 30 * DAY_MS

local state = state_of(COUNTER_KEY)
if state and call('SET', PREFIX .. 'adjusted:' .. COUNTER_KEY .. '|' .. ENTRY, '1', 'NX', 'PX', string.format('%.0f', KEPT_MS)) then
  local bucket = call('HGET', PREFIX .. 'c:' .. COUNTER_KEY, 'bucket')
  post({ [KEY] = COUNTER_KEY, [BUCKET] = tonumber(bucket or '0') }, '0', AMOUNT, now_us)
  event('adjust', 'i', ENTRY, 'o', '', 'n', AMOUNT .. ' ' .. NOW, 'b', COUNTER_KEY)
  state = state_of(COUNTER_KEY)
end
return answer('COUNTERS', cmsgpack.pack({ state }))
