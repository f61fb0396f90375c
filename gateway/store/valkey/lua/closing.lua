-- The end of runs, by somebody's hand or by time. What is left of a carve goes back.

local TIME_OVER = 'its time to live is over'
local DUE = 100

local function close_tree(run, reason)
  local key = PREFIX .. 'run:' .. run
  local state = call('HGET', key, 'state')
  if not state or state == 'closed' then
    return
  end
  for _, sub_run in ipairs(call('SMEMBERS', PREFIX .. 'kids:' .. run)) do
    close_tree(sub_run, reason)
  end
  call('HSET', key, 'state', 'closed', 'reason', reason)
  call('ZREM', PREFIX .. 'ends', run)
  told(run)
  local carve = 'carve:' .. run
  if call('HGET', PREFIX .. 'r:' .. carve, 'closed') == '0' then
    call('HSET', PREFIX .. 'r:' .. carve, 'closed', '1')
    pass_on(carve, '0')
  end
end

-- Closes the runs whose time to live is over; how many it found.
local function end_due()
  local due = call('ZRANGEBYSCORE', PREFIX .. 'ends', '-inf', string.format('%.17g', now_s), 'LIMIT', 0, DUE)
  for _, run in ipairs(due) do
    close_tree(run, TIME_OVER)
    call('ZREM', PREFIX .. 'ends', run)
  end
  return #due
end
