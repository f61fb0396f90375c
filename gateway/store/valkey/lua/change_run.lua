-- Closes, pauses or resumes a run; one that is in no state for it stays as it is.
--
-- ARGV: 2 id, 3 `close`, `pause` or `resume`, 4 reason. RUN: JSON. NONE: no such run.

local ID, ACTION, REASON = ARGV[2], ARGV[3], ARGV[4]
local KEY_OF_RUN = PREFIX .. 'run:' .. ID

end_due()
local state = call('HGET', KEY_OF_RUN, 'state')
if not state then
  return answer('NONE')
end
if ACTION == 'close' then
  close_tree(ID, REASON)
elseif ACTION == 'pause' and state == 'open' then
  call('HSET', KEY_OF_RUN, 'state', 'paused', 'reason', REASON)
  told(ID)
elseif ACTION == 'resume' and state == 'paused' then
  call('HSET', KEY_OF_RUN, 'state', 'open', 'reason', '')
  told(ID)
end
return answer('RUN', show(ID))
