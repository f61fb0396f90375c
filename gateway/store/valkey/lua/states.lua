-- Counters as people see them: arrays of key, unit, scope, limit, posted and room.

local function state_of(key)
  local counter = PREFIX .. 'c:' .. key
  local have = call('HMGET', counter, 'unit', 'scope', 'limit', 'posted', 'room', 'bucket', 'first')
  if not have[1] then
    return nil
  end
  if have[6] then
    roll(counter, tonumber(have[6]), tonumber(have[7]))
    have = call('HMGET', counter, 'unit', 'scope', 'limit', 'posted', 'room')
  end
  return { key, have[1], have[2], have[3], have[4], have[5] }
end
