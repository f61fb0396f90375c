-- Tells what a gateway knows of breakers, and hears what all of them know.
--
-- KEYS[1] is `{installation}:breakers`, a hash: breaker -> `version changed_us state until_us openings parked_us`, and
-- '' -> a number that changes with every change. ARGV: 1 the number that the caller has seen; then for each of its
-- breakers 7: name, version, changed_us, state, until_us, openings, parked_us.
--
-- Of two states the larger by version, changed_us and state wins; the later park does, but for one that is older than
-- an operator's closing. Answers with {number, now_us, all of the hash, or nothing where the number is the caller's}.

local KEY = KEYS[1]
local LENGTH = 7
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]

local function split(text)
  local version, changed, state, until_us, openings, parked = string.match(text, '^(%d+) (%d+) (%S+) (%d+) (%d+) (%d+)$')
  return { version, changed, state, until_us, openings, parked }
end

local function is_newer(mine, theirs)
  for at = 1, 2 do
    local a, b = tonumber(mine[at]), tonumber(theirs[at])
    if a ~= b then
      return a > b
    end
  end
  return mine[3] > theirs[3]
end

local number = redis.call('HGET', KEY, '') or ''
local changed = false
for at = 2, #ARGV, LENGTH do
  local name = ARGV[at]
  local mine = { unpack(ARGV, at + 1, at + LENGTH - 1) }
  local text = redis.call('HGET', KEY, name)
  local theirs = text and split(text)
  local won = mine
  if theirs and theirs[1] then
    local newer = is_newer(mine, theirs)
    won = newer and mine or theirs
    local closing = newer and mine[3] == 'forced_closed'
    if tonumber(mine[6]) > tonumber(theirs[6]) or closing then
      won[6] = mine[6]
    else
      won[6] = theirs[6]
    end
  end
  local now = table.concat(won, ' ')
  if now ~= text then
    redis.call('HSET', KEY, name, now)
    changed = true
  end
end
if changed then
  number = string.format('%.0f', math.max(now_us, (tonumber(number) or 0) + 1))
  redis.call('HSET', KEY, '', number)
end
if number == ARGV[1] then
  return { number, now_us, {} }
end
return { number, now_us, redis.call('HGETALL', KEY) }
