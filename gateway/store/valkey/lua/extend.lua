-- Adds to the calibrated claims of a pending reservation, all or nothing. Counters that have no room for it are starved:
-- nothing is admitted there until it is extended or over, for STARVED_US at the most.
--
-- ARGV: 2 id, 3 money, 4 tokens. EXTENDED, NO_ROOM or GONE.

local STARVED_US = 2000000
local ID, MORE_MONEY, MORE_TOKENS = ARGV[2], ARGV[3], ARGV[4]
local found = find(ID)
if not found or found.state ~= 'pending' then
  return answer('GONE')
end
for _, run in ipairs(cmsgpack.unpack(found.body)[4]) do
  if cause_of(run) == 'closed' then
    return answer('GONE')
  end
end
if found.metered ~= '1' then
  return answer('EXTENDED')
end
local counters, short = {}, {}
for _, claim in ipairs(claims_held(found)) do
  if claim[CALIBRATED] and claim[UNIT] <= TOKENS then
    local counter = PREFIX .. 'c:' .. claim[KEY]
    local amount = claim[UNIT] == MONEY and MORE_MONEY or MORE_TOKENS
    if claim[BUCKET] > 0 then
      roll(counter, claim[BUCKET], tonumber(call('HGET', counter, 'first') or 'inf'))
    end
    local room = call('HGET', counter, 'room')
    if claim[ENFORCED] and (not room or less(room, amount)) then
      short[counter] = room or 'none'
    elseif room then
      counters[counter] = amount
    end
  end
end
if found.starved then
  feed(found)
end
if next(short) then
  call('HSET', found.key, 'starved', '1')
  for counter, room in pairs(short) do
    if room ~= 'none' then
      call('HSET', counter, 'starved', string.format('%.0f', now_us + STARVED_US))
    end
  end
  return answer('NO_ROOM')
end
for counter, amount in pairs(counters) do
  add(counter, 'room', minus(amount))
end
local cm = call('HINCRBY', found.key, 'cm', MORE_MONEY)
local ct = call('HINCRBY', found.key, 'ct', MORE_TOKENS)
event('extend', 'i', ID, 'o', found.owner, 'n', table.concat({ found.sm, found.st, text(cm), text(ct) }, ' '))
return answer('EXTENDED')
