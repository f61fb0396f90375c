-- Runs: hashes `run:<agent/run>`. See open_run.lua for their fields.

-- Why a run admits nothing now; nil when it does.
local function cause_of(run)
  local have = call('HMGET', PREFIX .. 'run:' .. run, 'state', 'closes', 'ends')
  if not have[1] or have[1] == 'closed' or now_s >= tonumber(have[2]) then
    return 'closed'
  elseif have[1] == 'paused' then
    return 'paused'
  end
  return now_s >= tonumber(have[3]) and 'time' or nil
end
