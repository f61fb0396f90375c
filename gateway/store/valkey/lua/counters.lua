-- Counters: hashes `c:<key>` with limit, version, posted, room (= limit - posted - reserved), unit and scope.
-- Rolling ones also have bucket (its length in seconds), first (the oldest bucket that counts) and b<number> each. One in
-- which a stream's extension found no room has starved: until then (microseconds) nothing new is admitted there.

local BIG = 9007199254740992
local DAY_MS = 86400000
local FOREVER_S = 253370764800
local BUCKETS = 60
local MONEY, TOKENS, REQUESTS, SLOTS = 0, 1, 2, 3

-- Fields of a claim (gateway.ledger.operations.Claim).
local KEY, UNIT, LIMIT, VERSION, SCOPE, ENFORCED, CALIBRATED, BUCKET, START, END = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

-- Whether a < b, exactly, for integers as text of any size up to 64 bits.
local function less(a, b)
  local x, y = tonumber(a), tonumber(b)
  if (x < BIG and x > -BIG) or (y < BIG and y > -BIG) or (x < 0) ~= (y < 0) then
    return x < y
  end
  if #a ~= #b then
    return (#a < #b) ~= (x < 0)
  end
  if x < 0 then
    return b < a
  end
  return a < b
end

local function minus(a)
  if string.sub(a, 1, 1) == '-' then
    return string.sub(a, 2)
  end
  return a == '0' and a or '-' .. a
end

local function text(number)
  return type(number) == 'string' and number or string.format('%.0f', number)
end

-- Adds to a field of a counter that exists. False, and nothing changed, when it does not.
local function add(counter, field, amount)
  if amount == '0' then
    return true
  end
  local now = call('HINCRBY', counter, field, amount)
  if now == tonumber(amount) and call('HEXISTS', counter, 'limit') == 0 then
    call('DEL', counter)
    return false
  end
  return now
end

-- Room changes by `back` less `spent`, posted by `spent`. False when there is no such counter (any more).
local function move(counter, back, spent)
  local x, y = tonumber(back), tonumber(spent)
  local known
  if x < BIG and y < BIG and x > -BIG and y > -BIG then
    known = add(counter, 'room', string.format('%.0f', x - y))
  else
    known = add(counter, 'room', back) and add(counter, 'room', minus(spent))
  end
  return known and add(counter, 'posted', spent)
end

-- The number of the oldest bucket that counts now.
local function oldest(bucket_s)
  return math.floor(now_s / bucket_s) - BUCKETS
end

-- Forgets the buckets of a rolling counter that no longer count.
local function roll(counter, bucket_s, first)
  local now_first = oldest(bucket_s)
  if now_first <= first then
    return
  end
  for bucket = first, math.min(now_first - 1, first + BUCKETS) do
    local field = 'b' .. string.format('%.0f', bucket)
    local posted = call('HGET', counter, field)
    if posted then
      call('HDEL', counter, field)
      move(counter, '0', minus(posted))
    end
  end
  call('HSET', counter, 'first', string.format('%.0f', now_first))
end

-- Posts `spent` to one claim and gives `back` what it had reserved; `at_us` is the time of its reservation.
local function post(claim, back, spent, at_us)
  local counter = PREFIX .. 'c:' .. claim[KEY]
  if claim[BUCKET] > 0 and spent ~= '0' then
    local first = call('HGET', counter, 'first')
    if not first then
      return
    end
    local bucket = math.floor(at_us / 1000000 / claim[BUCKET])
    if bucket < tonumber(first) then
      spent = '0'
    else
      call('HINCRBY', counter, 'b' .. string.format('%.0f', bucket), spent)
    end
  end
  move(counter, back, spent)
end

-- What looking at a claim has changed: counters that were made, limits that were lowered or raised.
local changes = {}

local function make(claim, posted)
  local counter = PREFIX .. 'c:' .. claim[KEY]
  local limit = text(claim[LIMIT])
  call('HSET', counter, 'unit', claim[UNIT], 'scope', claim[SCOPE], 'limit', limit, 'version', text(claim[VERSION]),
    'posted', '0', 'room', limit)
  move(counter, '0', posted)
  if claim[BUCKET] > 0 then
    call('HSET', counter, 'bucket', claim[BUCKET], 'first', string.format('%.0f', oldest(claim[BUCKET])))
  end
  if claim[END] < FOREVER_S then
    call('PEXPIREAT', counter, string.format('%.0f', claim[END] * 1000 + 3 * DAY_MS))
  end
  call('SADD', PREFIX .. 'counters', claim[KEY])
  changes[#changes + 1] = { counter, claim[KEY] }
end

-- A counter of slots, of a run's velocity, or of a carve: one that is missing is certainly unused.
local function starts_at_zero(key)
  local kind = string.sub(key, 1, 2)
  return kind == 'c|' or kind == 'v|' or kind == 'k|'
end

local function relimit(counter, limit, version)
  local old = call('HGET', counter, 'limit')
  add(counter, 'room', limit)
  add(counter, 'room', minus(old))
  call('HSET', counter, 'limit', limit, 'version', version)
  return old
end

-- Takes back what looking at a bid has changed: one that is refused changes nothing.
local function undo()
  for index = #changes, 1, -1 do
    local counter, key, limit, version = unpack(changes[index])
    if limit then
      relimit(counter, limit, version)
    else
      call('DEL', counter)
      call('SREM', PREFIX .. 'counters', key)
    end
    changes[index] = nil
  end
end

-- The room of a claim's counter, as text, after bringing limit and buckets up to date, and whether it is for a stream
-- under way. Nil: it has to be seeded.
local function room_of(claim)
  local counter = PREFIX .. 'c:' .. claim[KEY]
  local have = call('HMGET', counter, 'room', 'version', 'first', 'starved')
  if not have[1] then
    if not starts_at_zero(claim[KEY]) then
      return nil
    end
    make(claim, '0')
    return text(claim[LIMIT])
  end
  local changed = false
  if claim[VERSION] > tonumber(have[2]) then
    local old = relimit(counter, text(claim[LIMIT]), text(claim[VERSION]))
    changes[#changes + 1] = { counter, claim[KEY], old, have[2] }
    changed = true
  end
  if have[3] and oldest(claim[BUCKET]) > tonumber(have[3]) then
    roll(counter, claim[BUCKET], tonumber(have[3]))
    changed = true
  end
  return changed and call('HGET', counter, 'room') or have[1], have[4] and now_us < tonumber(have[4])
end

-- What a claim wants, or has reserved, of these amounts.
local function share(claim, strict_money, strict_tokens, calibrated_money, calibrated_tokens)
  local unit = claim[UNIT]
  if unit == MONEY then
    return claim[CALIBRATED] and calibrated_money or strict_money
  elseif unit == TOKENS then
    return claim[CALIBRATED] and calibrated_tokens or strict_tokens
  end
  return '1'
end

-- The claims of a body (gateway.store.valkey.codec.Body): the first element of its array. `limits` tells theirs as text
-- when one is too large for a double.
local function claims_of(body, limits)
  local _, claims = cmsgpack.unpack_one(body, 1)
  if limits and limits ~= '' then
    local index = 0
    for limit in string.gmatch(limits, '%S+') do
      index = index + 1
      claims[index][LIMIT] = limit
    end
  end
  return claims
end
