-- Opens a run, or finds it.
--
-- ARGV: 2 id, 3 parent, 4 org, 5 agent, 6 limits (JSON), 7 their depth, 8 children, 9 wall_s ('' for none), 10 time to live in
-- seconds, 11 carve, 12 the carve's via, 13 its body, 14 its limits as text (as for admissions), 15 '1' when the body has an
-- origin, 16 claims on the run's own counters (msgpack), 17 how many runs may be open ('' for any number).
-- RUN: JSON. REFUSED: msgpack, cause, scope and limit. MISSING, OUTSIDE: as for admissions, of the carve's claims.
--
-- A run is a hash: path (msgpack), org, agent, limits, depth, children (as limits), opened, closes, ends (seconds), carve,
-- state, reason, sub_runs (how many were ever opened).

local ID, PARENT, ORG, CARVE, VIA, BODY = ARGV[2], ARGV[3], ARGV[4], ARGV[11], ARGV[12], ARGV[13]
local KEY_OF_RUN = PREFIX .. 'run:' .. ID

local function refuse(cause, scope, limit)
  undo()
  return answer('REFUSED', cmsgpack.pack({ cause, scope, limit or '0' }))
end

local function known(have)
  if have[1] ~= ORG then
    return refuse('other_org', 'run:' .. ID)
  elseif PARENT ~= '' and cmsgpack.unpack(have[2])[2] ~= PARENT then
    return refuse('parent_differs', 'run:' .. ID)
  end
  return answer('RUN', show(ID))
end

-- Why the parent does not let it be opened: cause, scope, limit.
local function barred(parent)
  local scope = 'run:' .. PARENT
  if not parent[1] then
    return 'parent_unknown', scope
  elseif parent[1] ~= ORG then
    return 'other_org', scope
  elseif cause_of(PARENT) then
    return 'parent_closed', scope
  end
  local path = cmsgpack.unpack(parent[2])
  for generation, ancestor in ipairs(path) do
    local depth = call('HGET', PREFIX .. 'run:' .. ancestor, 'depth')
    if depth and depth ~= '' and generation > tonumber(depth) then
      return 'depth', 'run:' .. ancestor, depth
    end
  end
  if parent[3] ~= '' and tonumber(parent[4]) >= tonumber(parent[3]) then
    return 'children', scope, parent[3]
  end
end

local function look_at_carve(claims)
  local missing = {}
  for index, claim in ipairs(claims) do
    if now_s < claim[START] or now_s >= claim[END] then
      return 'OUTSIDE'
    end
    local room = room_of(claim)
    if not room then
      missing[#missing + 1] = index
    elseif claim[ENFORCED] and less(room, CARVE) then
      return 'carve', claim
    end
  end
  return #missing > 0 and 'MISSING' or nil, missing
end

local function carve_out(claims)
  for _, claim in ipairs(claims) do
    add(PREFIX .. 'c:' .. claim[KEY], 'room', minus(CARVE))
  end
  local window = VIA ~= '' and call('HGET', PREFIX .. 'r:' .. VIA, 'window') or NOW
  call('HSET', PREFIX .. 'r:carve:' .. ID, 'state', 'pending', 'at', NOW, 'window', window, 'owner', '', 'via', VIA,
    'body', BODY, 'limits', ARGV[14], 'amount', CARVE, 'left', CARVE, 'spent', '0', 'closed', '0', 'purse', 'k|' .. ID,
    'metered', '0')
  call('SADD', PREFIX .. 'o:', 'carve:' .. ID)
  event('admit', 'i', 'carve:' .. ID, 'o', '', 'n', table.concat({ NOW, CARVE, 0, CARVE, 0, window }, ' '), 'b', BODY)
end

local function write(path, closes)
  local ends = ARGV[9] ~= '' and math.min(closes, now_s + tonumber(ARGV[9])) or closes
  local opened = string.format('%.17g', now_s)
  local text_of_closes = string.format('%.17g', closes)
  call('HSET', KEY_OF_RUN, 'path', cmsgpack.pack(path), 'org', ORG, 'agent', ARGV[5], 'limits', ARGV[6], 'depth', ARGV[7],
    'children', ARGV[8], 'opened', opened, 'closes', text_of_closes, 'ends', string.format('%.17g', ends), 'carve', CARVE,
    'state', 'open', 'reason', '', 'sub_runs', '0')
  call('ZADD', PREFIX .. 'runs', NOW, ID)
  call('ZADD', PREFIX .. 'ends', text_of_closes, ID)
  if #path > 1 then
    call('HINCRBY', PREFIX .. 'run:' .. path[2], 'sub_runs', 1)
    call('SADD', PREFIX .. 'kids:' .. path[2], ID)
  end
  local keep_ms = string.format('%.0f', closes * 1000 + 3 * DAY_MS)
  for _, claim in ipairs(cmsgpack.unpack(ARGV[16])) do
    make(claim, '0')
    call('PEXPIREAT', PREFIX .. 'c:' .. claim[KEY], keep_ms)
  end
  for _, kind in ipairs({ 'run:', 'r:carve:', 'kids:' }) do
    call('PEXPIREAT', PREFIX .. kind .. ID, keep_ms)
  end
  call('PEXPIREAT', PREFIX .. 'kids:' .. (path[2] or ''), keep_ms, 'GT')
end

end_due()
local have = call('HMGET', KEY_OF_RUN, 'org', 'path')
if have[1] then
  return known(have)
end
local path, closes = { ID }, now_s + tonumber(ARGV[10])
if PARENT ~= '' then
  local parent = call('HMGET', PREFIX .. 'run:' .. PARENT, 'org', 'path', 'children', 'sub_runs', 'closes')
  local cause, scope, limit = barred(parent)
  if cause then
    return refuse(cause, scope, limit)
  end
  for _, ancestor in ipairs(cmsgpack.unpack(parent[2])) do
    path[#path + 1] = ancestor
  end
  closes = math.min(closes, tonumber(parent[5]))
end
if ARGV[17] ~= '' and call('ZCOUNT', PREFIX .. 'ends', string.format('(%.17g', now_s), '+inf') >= tonumber(ARGV[17]) then
  return refuse('too_many', '', ARGV[17])
end
if CARVE ~= '0' then
  if VIA ~= '' and call('EXISTS', PREFIX .. 'r:' .. VIA) == 0 then
    return refuse('carve', VIA)
  end
  local claims = claims_of(BODY, ARGV[14])
  local verdict, detail = look_at_carve(claims)
  if verdict == 'carve' then
    return refuse('carve', detail[SCOPE], call('HGET', PREFIX .. 'c:' .. detail[KEY], 'limit'))
  elseif verdict then
    undo()
    return answer(verdict, verdict == 'MISSING' and table.concat(detail, ' ') or '')
  end
  carve_out(claims)
end
write(path, closes)
told(ID)
return answer('RUN', show(ID))
