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

local RUN_FIELDS = { 'path', 'org', 'agent', 'limits', 'opened', 'closes', 'carve', 'state', 'reason' }

-- A run as JSON: gateway.ledger.operations.Run, an array. Nil when there is none.
local function show(run)
  local have = call('HMGET', PREFIX .. 'run:' .. run, unpack(RUN_FIELDS))
  if not have[1] then
    return nil
  end
  local parts = { cjson.encode(run), cjson.encode(cmsgpack.unpack(have[1])), cjson.encode(have[2]), cjson.encode(have[3]),
    have[4], have[5], have[6], have[7], cjson.encode(have[8]), cjson.encode(have[9]) }
  return '[' .. table.concat(parts, ',') .. ']'
end

local function told(run)
  event('run', 'i', run, 'o', '', 'n', NOW, 'b', show(run))
end
