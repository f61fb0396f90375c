-- Reserves the first bid that fits.
--
-- ARGV: 2 owner, 3 id, 4 via, 5 runs (msgpack, '' for none), then for each bid: body (msgpack: claims, origin, ...), limits
-- ('' unless one is above 2^53), rates (msgpack, '' for none), strict, calibrated and least amounts (money and tokens
-- each), tokens for rates.
-- GRANTED: `bid at_us`, strict and calibrated amounts, `tightest room`, the number of claims over their limit, those, and
-- every rate's tat. REFUSED: msgpack, what refuses each bid. MISSING: the bid, then its claims that have no counter.
-- BLOCKED: `cause run` for each run that is not open. OUTSIDE: a claim's window is not now. RESOLVED: the id is not pending any more. GONE: the id or its carve was let go.

local OWNER, ID, VIA = ARGV[2], ARGV[3], ARGV[4]
local RESERVATION = PREFIX .. 'r:' .. ID
local BID = 10

-- What stands in the way of an attempt in these runs, as `cause index` for each.
local function blocked(runs)
  local causes = {}
  for index, run in ipairs(runs) do
    local cause = cause_of(run)
    if cause then
      causes[#causes + 1] = cause .. ' ' .. index
    end
  end
  return #causes > 0 and table.concat(causes, ' ')
end

-- Looks whether the claims fit, and lowers `strict` and `calibrated` where less does.
local function weigh(claims, strict, calibrated, least)
  local sm, st, cm, ct = strict[MONEY], strict[TOKENS], calibrated[MONEY], calibrated[TOKENS]
  local missing, failed, over = {}, {}, {}
  for index, claim in ipairs(claims) do
    if now_s < claim[START] or now_s >= claim[END] then
      return 'OUTSIDE'
    end
    local room, starved = room_of(claim)
    starved = starved and claim[ENFORCED]
    local want = share(claim, sm, st, cm, ct)
    local unit = claim[UNIT]
    if not room then
      missing[#missing + 1] = index
    elseif starved or less(room, want) then
      local bar = unit <= TOKENS and less(least[unit], want) and least[unit] or want
      if not claim[ENFORCED] then
        over[#over + 1] = index
      elseif starved or less(room, bar) then
        local now = call('HMGET', PREFIX .. 'c:' .. claim[KEY], 'limit', 'posted')
        failed[#failed + 1] = { 'claim', index, now[1], now[2], room, bar }
      else
        local granted = claim[CALIBRATED] and calibrated or strict
        granted[unit] = less(room, granted[unit]) and room or granted[unit]
      end
    end
  end
  for unit = MONEY, TOKENS do
    if less(strict[unit], calibrated[unit]) then
      calibrated[unit] = strict[unit]
    end
  end
  return #missing > 0 and 'MISSING' or nil, missing, failed, over
end

local function judge(at)
  local claims = claims_of(ARGV[at], ARGV[at + 1])
  local strict = { [MONEY] = ARGV[at + 3], [TOKENS] = ARGV[at + 4] }
  local calibrated = { [MONEY] = ARGV[at + 5], [TOKENS] = ARGV[at + 6] }
  local least = { [MONEY] = ARGV[at + 7], [TOKENS] = ARGV[at + 8] }
  local verdict, missing, failed, over = weigh(claims, strict, calibrated, least)
  if verdict then
    return verdict, missing
  end
  local rates = ARGV[at + 2] ~= '' and cmsgpack.unpack(ARGV[at + 2]) or {}
  local tats = {}
  for index, rate in ipairs(rates) do
    local after, wait = ask(tat_of(rate), rate[R_UNIT] == TOKENS and tonumber(ARGV[at + 9]) or 1, rate)
    tats[index] = after
    if wait > 0 and rate[R_ENFORCED] then
      failed[#failed + 1] = { 'rate', index, string.format('%.17g', wait) }
    end
  end
  if #failed > 0 then
    return 'REFUSED', failed
  end
  return 'GRANTED', { claims, rates, tats, over, strict, calibrated }
end

-- Sets the amounts aside. The money claim with the least room left, whether a claim is calibrated, and that room.
local function take(claims, sm, st, cm, ct)
  local tightest, least, metered = 0, 0, false
  for index, claim in ipairs(claims) do
    local counter = PREFIX .. 'c:' .. claim[KEY]
    local left = call('HINCRBY', counter, 'room', minus(share(claim, sm, st, cm, ct)))
    metered = metered or claim[CALIBRATED]
    if claim[UNIT] == MONEY and claim[ENFORCED] and (tightest == 0 or left < least) then
      tightest, least = index, left
    end
    local kind = string.sub(claim[KEY], 1, 2)
    if kind == 'c|' or kind == 'v|' then
      call('PEXPIRE', counter, string.format('%.0f', DAY_MS + (BUCKETS + 1) * 1000 * claim[BUCKET]))
    end
  end
  return tightest, metered, string.format('%.0f', least)
end

local function grant(number, at, plan)
  local claims, rates, tats, over, strict, calibrated = unpack(plan)
  local sm, st, cm, ct = strict[MONEY], strict[TOKENS], calibrated[MONEY], calibrated[TOKENS]
  local tightest, metered, room = take(claims, sm, st, cm, ct)
  local reply = { number, NOW, sm, st, cm, ct, tightest, room, #over }
  for _, index in ipairs(over) do
    reply[#reply + 1] = index
  end
  for index, rate in ipairs(rates) do
    keep(rate, tats[index])
    reply[#reply + 1] = string.format('%.17g', tats[index])
  end
  local payload = table.concat(reply, ' ')
  local window = VIA ~= '' and call('HGET', PREFIX .. 'r:' .. VIA, 'window') or NOW
  call('HSET', RESERVATION, 'state', 'pending', 'at', NOW, 'window', window, 'owner', OWNER, 'via', VIA,
    'body', ARGV[at], 'rates', ARGV[at + 2], 'counted', ARGV[at + 9],
    'sm', sm, 'st', st, 'cm', cm, 'ct', ct, 'metered', metered and '1' or '0', 'reply', payload)
  call('SADD', PREFIX .. 'o:' .. OWNER, ID)
  event('admit', 'i', ID, 'o', OWNER, 'n', table.concat({ NOW, sm, st, cm, ct, window }, ' '), 'b', ARGV[at])
  return answer('GRANTED', payload)
end

local had = call('HMGET', RESERVATION, 'state', 'reply')
if had[1] then
  if had[1] == 'pending' and had[2] ~= '' then
    return answer('GRANTED', had[2])
  end
  return answer('RESOLVED')
end
local causes = ARGV[5] ~= '' and blocked(cmsgpack.unpack(ARGV[5]))
if causes then
  return answer('BLOCKED', causes)
end
if VIA ~= '' and call('EXISTS', PREFIX .. 'r:' .. VIA) == 0 then
  return answer('GONE')
end
local refusals = {}
for at = 6, #ARGV, BID do
  local number = (at - 6) / BID
  local verdict, detail = judge(at)
  if verdict == 'GRANTED' then
    return grant(number, at, detail)
  end
  undo()
  if verdict == 'REFUSED' then
    refusals[#refusals + 1] = detail
  elseif verdict == 'MISSING' then
    return answer('MISSING', number .. ' ' .. table.concat(detail, ' '))
  else
    return answer(verdict)
  end
end
return answer('REFUSED', cmsgpack.pack(refusals))
