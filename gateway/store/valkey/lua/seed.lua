-- Makes counters that are missing: what the journal says is posted, what the stream's later events posted, what is
-- reserved by reservations that are pending. Those that exist are left alone.
--
-- ARGV: 2 upto (the last entry of the stream that the journal's sums count, `0-0` for none), 3 claims (msgpack), 4 their limits
-- as text (as for admissions), then for each: what is posted (rolling: `bucket amount ...`), and the entries of adjustments
-- that are counted in it, separated by spaces. OK, or BEHIND: too much is not in the journal yet, or what was is trimmed.
--
-- Ahead of this file, from ChargePosted and Origin: CHARGE and ORIGIN, the places of their fields.

local MOST_EVENTS = 5000
local PARENTS = { global = true, org = true, team = true, agent = true, run = true }

local claims = cmsgpack.unpack(ARGV[3])
local fresh = {}

local function kind_of(scope)
  return scope == 'global' and scope or string.match(scope, '^(%a+):')
end

local function value_of(labels, kind, name)
  if kind ~= 'tag' then
    return labels[kind]
  end
  for _, tag in ipairs(labels.tags) do
    if tag[1] == name then
      return tag[2]
    end
  end
end

-- As gateway.ledger.scopes.Scope: whether a scope, as `describe` names it, is that of a request.
local function is_in(scope, labels)
  if scope == 'global' then
    return true
  end
  local kind, value = string.match(scope, '^(%a+):(.*)$')
  if kind == 'run' then
    local any = false
    for run in string.gmatch(labels.run_path, '[^>]+') do
      any = true
      if run == value then
        return true
      end
    end
    return not any and value == '(none)'
  end
  local name
  if kind == 'tag' then
    name, value = string.match(value, '^(.-)=(.*)$')
  end
  local found = value_of(labels, kind, name)
  if not found or found == cjson.null or found == '' then
    return value == '(none)'
  end
  return found == value
end

local function labelled(fields, places)
  local labels = {}
  for name, place in pairs(places) do
    labels[name] = fields[place]
  end
  return labels
end

local function post_more(claim, amount, at_us)
  if at_us / 1000000 >= claim[START] and at_us / 1000000 < claim[END] then
    post(claim, '0', amount, at_us)
  end
end

local function post_by_key(held, entry, money)
  for _, claim in ipairs(fresh) do
    if held[1][KEY] == claim[KEY] then
      post_more(claim, money, tonumber(string.match(entry.n, '^%S+')))
    end
  end
end

-- When the money was reserved in a scope, for an attempt that spends a carve: scopes of the run's parents go by their
-- carve, the run that carved and those below it, and whatever is no parent, by the attempt itself.
local function moment_of(claim, window, at, via)
  local kind = kind_of(claim[SCOPE])
  if not at or (PARENTS[kind] and kind ~= 'run') then
    return window
  end
  while kind == 'run' and via ~= '' do
    local have = call('HMGET', PREFIX .. 'r:' .. via, 'body', 'via', 'at')
    local origin = have[1] and cmsgpack.unpack(have[1])[2]
    if not origin or not is_in(claim[SCOPE], labelled(origin, ORIGIN)) then
      return at
    end
    at, via = tonumber(have[3]), have[2] or ''
  end
  return at
end

local OWN = { settle = 3, correct = 5, orphan = 5, void = 5 }

-- Counts in an event that the journal does not know yet.
local function replay(fields)
  local entry = {}
  for index = 1, #fields, 2 do
    entry[fields[index]] = fields[index + 1]
  end
  if not entry.m then
    return
  end
  local money, tokens, requests = string.match(entry.m, '^(%S+) (%S+) (%S+)$')
  local labels
  if entry.k == 'orphan' or entry.k == 'void' then
    local body = cmsgpack.unpack(entry.b)
    if not body[2] then -- a gateway's allowance: nobody's attempt
      return post_by_key(body[1], entry, money)
    end
    labels = labelled(body[2], ORIGIN)
  elseif entry.k ~= 'release' then
    labels = labelled(cjson.decode(entry.b), CHARGE)
  else
    return
  end
  local numbers = {}
  for number in string.gmatch(entry.n, '%S+') do
    numbers[#numbers + 1] = tonumber(number)
  end
  local at = numbers[OWN[entry.k]]
  local via = at and call('HGET', PREFIX .. 'r:' .. entry.i, 'via') or ''
  for _, claim in ipairs(fresh) do
    if is_in(claim[SCOPE], labels) then
      post_more(claim, spent_of(claim, money, tokens, requests), moment_of(claim, numbers[1], at, via))
    end
  end
end

-- Whether a carve on the way holds the money in this scope: then an attempt that spends it does not.
local function carved(claim, via)
  while claim[UNIT] == MONEY and PARENTS[kind_of(claim[SCOPE])] and via ~= '' do
    local have = call('HMGET', PREFIX .. 'r:' .. via, 'body', 'via')
    local origin = have[1] and cmsgpack.unpack(have[1])[2]
    if origin and is_in(claim[SCOPE], labelled(origin, ORIGIN)) then
      return true
    end
    via = have[2] or ''
  end
  return false
end

-- Whether a pending reservation without this claim would have it, had it been admitted today.
local function belongs(claim, found, origin, is_carve)
  local at_s = tonumber(found.at) / 1000000 -- what a carve holds does not belong: its windows do not matter
  if not origin or at_s < claim[START] or at_s >= claim[END] or not is_in(claim[SCOPE], labelled(origin, ORIGIN)) then
    return false
  elseif is_carve and (claim[UNIT] ~= MONEY or not PARENTS[kind_of(claim[SCOPE])]) then
    return false
  end
  return not carved(claim, found.via)
end

-- Reserves in the new counters what a pending reservation holds; one that does not have the claim gets it. So does an
-- orphaned one, for its correction.
local function attach(found)
  local has = {}
  for _, claim in ipairs(claims_held(found)) do
    has[claim[KEY]] = claim
  end
  local is_carve = found.amount ~= false
  local origin = cmsgpack.unpack(found.body)[2]
  local more = found.more and cmsgpack.unpack(found.more) or {}
  local count = #more
  for _, claim in ipairs(fresh) do
    local held_claim = has[claim[KEY]]
    if not held_claim and belongs(claim, found, origin, is_carve) then
      held_claim = { unpack(claim) }
      held_claim[LIMIT] = 0
      held_claim[CALIBRATED] = claim[CALIBRATED] and found.metered == '1'
      more[#more + 1] = held_claim
    end
    if held_claim and found.state == 'pending' then
      local amount = is_carve and found.left or share(held_claim, found.sm, found.st, found.cm, found.ct)
      add(PREFIX .. 'c:' .. claim[KEY], 'room', minus(amount))
    end
  end
  if #more > count then
    call('HSET', found.key, 'more', cmsgpack.pack(more))
  end
end

local function begin(claim, posted, entries)
  make(claim, '0')
  if claim[BUCKET] > 0 then
    for bucket, amount in string.gmatch(posted, '(%S+) (%S+)') do
      post(claim, '0', amount, (tonumber(bucket) + 0.5) * claim[BUCKET] * 1000000)
    end
  else
    post(claim, '0', posted, now_us)
  end
  for entry in string.gmatch(entries, '%S+') do
    call('SET', PREFIX .. 'adjusted:' .. claim[KEY] .. '|' .. entry, '1', 'PX', string.format('%.0f', 30 * DAY_MS))
  end
end

local index = 0
for limit in string.gmatch(ARGV[4], '%S+') do
  index = index + 1
  claims[index][LIMIT] = limit
end
local places = {}
for at, claim in ipairs(claims) do
  if call('EXISTS', PREFIX .. 'c:' .. claim[KEY]) == 0 then
    fresh[#fresh + 1] = claim
    places[#fresh] = at
  end
end
if #fresh == 0 then
  return answer('OK')
end
local epoch, number = string.match(ARGV[2], '^(%d+)-(%d+)$')
local later = seq - (epoch == EPOCH and tonumber(number) or 0)
if later > MOST_EVENTS then
  return answer('BEHIND')
end
local events = call('XRANGE', PREFIX .. 'events', '(' .. (epoch == EPOCH and ARGV[2] or EPOCH .. '-0'), '+')
if #events ~= later then
  return answer('BEHIND')
end
for at, claim in ipairs(fresh) do
  begin(claim, ARGV[3 + 2 * places[at]], ARGV[4 + 2 * places[at]])
end
for _, entry in ipairs(events) do
  replay(entry[2])
end
local owners = call('ZRANGE', PREFIX .. 'owners', 0, -1)
owners[#owners + 1] = '' -- of carves
for _, owner in ipairs(owners) do
  for _, id in ipairs(call('SMEMBERS', PREFIX .. 'o:' .. owner)) do
    local found = find(id)
    if found and found.state == 'pending' then
      attach(found)
    end
  end
end
for _, id in ipairs(call('ZRANGE', PREFIX .. 'orphaned', 0, -1)) do
  local found = find(id)
  if found and found.state == 'orphaned' then
    attach(found)
  end
end
return answer('OK')
