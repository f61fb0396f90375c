-- What ends a reservation: hashes `r:<id>`, listed under their owner in `o:<owner>` while they are pending, and in `orphaned`
-- while a late settlement may still correct them.

local FINISHED_MS = 3600000
local ORPHANED_MS = 7 * DAY_MS

local FIELDS = { 'state', 'at', 'window', 'owner', 'via', 'body', 'rates', 'counted', 'sm', 'st', 'cm', 'ct', 'metered',
  'money', 'tokens', 'more', 'amount', 'left', 'starved' }

local function find(id)
  local have = call('HMGET', PREFIX .. 'r:' .. id, unpack(FIELDS))
  if not have[1] then
    return nil
  end
  local found = { id = id, key = PREFIX .. 'r:' .. id }
  for index, name in ipairs(FIELDS) do
    found[name] = have[index]
  end
  return found
end

-- Its claims, those too that it got when counters were seeded later.
local function claims_held(found)
  local claims = claims_of(found.body)
  for _, claim in ipairs(found.more and cmsgpack.unpack(found.more) or {}) do
    claims[#claims + 1] = claim
  end
  return claims
end

-- Money and tokens that it had set aside in the end: what it is charged when nobody tells.
local function held(found)
  if found.metered == '1' then
    return found.cm, found.ct
  end
  return found.sm, found.st
end

local function spent_of(claim, money, tokens, requests)
  local unit = claim[UNIT]
  if unit == MONEY then
    return money
  elseif unit == TOKENS then
    return tokens
  end
  return unit == REQUESTS and requests or '0'
end

-- Passes on what an attempt spent (0: nothing; below 0: a correction) to the scopes that its run carved from. A carve's
-- hash `r:carve:<run>` has amount, spent and left (still reserved there), and closed.
local function pass_on(via, money)
  while via ~= '' do
    local key = PREFIX .. 'r:' .. via
    local have = call('HMGET', key, 'amount', 'spent', 'left', 'closed', 'at', 'body', 'via', 'purse', 'state', 'more')
    if not have[1] then
      return
    end
    local spent = tonumber(have[2]) + tonumber(money)
    local left = math.max(0, tonumber(have[1]) - spent)
    if have[4] == '1' then
      local purse = call('HMGET', PREFIX .. 'c:' .. have[8], 'limit', 'posted', 'room')
      left = math.min(left, purse[1] and purse[1] - purse[2] - purse[3] or 0)
    end
    local back = text(tonumber(have[3]) - left)
    for _, claim in ipairs(claims_held({ body = have[6], more = have[10] })) do
      post(claim, back, money, tonumber(have[5]))
    end
    call('HSET', key, 'spent', text(spent), 'left', text(left))
    if have[4] == '1' and left == 0 and have[9] == 'pending' then
      call('HSET', key, 'state', 'settled')
      call('SREM', PREFIX .. 'o:', via)
      event('release', 'i', via, 'o', '', 'n', '', 'b', '')
    end
    via = have[7]
  end
end

-- Ends the numbers of an event: when it was reserved itself, where its carve's windows are of another time.
local function own(found)
  return found.at ~= found.window and ' ' .. found.at or ''
end

-- Its extension found no room before: it is starved no more. Others that are in the same counters say so again when they
-- ask again.
local function feed(found)
  call('HDEL', found.key, 'starved')
  for _, claim in ipairs(claims_held(found)) do
    if claim[CALIBRATED] then
      call('HDEL', PREFIX .. 'c:' .. claim[KEY], 'starved')
    end
  end
end

-- The end of a pending reservation: reserved amounts go back, what was spent is posted.
-- Whether any of its counters is one of money.
local function finish(found, state, money, tokens, requests)
  local at_us = tonumber(found.at)
  local governed = false
  if found.starved then
    feed(found)
  end
  for _, claim in ipairs(claims_held(found)) do
    governed = governed or claim[UNIT] == MONEY
    local back = share(claim, found.sm, found.st, found.cm, found.ct)
    post(claim, back, spent_of(claim, money, tokens, requests), at_us)
  end
  call('HSET', found.key, 'state', state, 'money', money, 'tokens', tokens)
  call('PEXPIRE', found.key, state == 'orphaned' and ORPHANED_MS or FINISHED_MS)
  call('SREM', PREFIX .. 'o:' .. found.owner, found.id)
  pass_on(found.via, money)
  return governed
end

local function orphan(found)
  local money, tokens = held(found)
  finish(found, 'orphaned', money, tokens, '1')
  call('ZADD', PREFIX .. 'orphaned', NOW, found.id)
  event('orphan', 'i', found.id, 'o', found.owner, 'n', table.concat({ found.window, money, tokens, NOW }, ' ') .. own(found),
    'b', found.body, 'm', money .. ' ' .. tokens .. ' 1')
end
