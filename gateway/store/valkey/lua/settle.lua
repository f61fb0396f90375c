-- Ends an attempt: posts what was spent and gives the rest back; after it was orphaned, posts the difference.
--
-- ARGV: 2 id, 3 money, 4 tokens, 5 requests (0: released, nothing was billed), 6 the charge (JSON, '' for none).
-- OK in any case: what was done before is not done again.

local ID, MONEY_SPENT, TOKENS_SPENT, COUNTED, CHARGE = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local RELEASED = COUNTED == '0'

-- Never admitted, or forgotten. An admission that is still on its way must find that it was called off.
local function unknown()
  local key = PREFIX .. 'r:' .. ID
  call('HSET', key, 'state', RELEASED and 'released' or 'settled')
  call('PEXPIRE', key, FINISHED_MS)
  if CHARGE ~= '' then
    event(RELEASED and 'release' or 'settle', 'i', ID, 'o', '', 'n', NOW .. ' 0', 'b', CHARGE,
      'm', table.concat({ MONEY_SPENT, TOKENS_SPENT, COUNTED }, ' '))
  end
end

local function resolve(found)
  local governed = finish(found, RELEASED and 'released' or 'settled', MONEY_SPENT, TOKENS_SPENT, COUNTED)
  correct(found.rates, tonumber(found.counted), tonumber(TOKENS_SPENT))
  event(RELEASED and 'release' or 'settle', 'i', ID, 'o', found.owner, 'n', found.window .. ' ' .. (governed and held(found) or '0') .. own(found),
    'b', CHARGE, 'm', table.concat({ MONEY_SPENT, TOKENS_SPENT, COUNTED }, ' '))
end

-- Posts the difference to what it was charged as an orphan.
local function amend(found)
  local money, tokens = text(MONEY_SPENT - found.money), text(TOKENS_SPENT - found.tokens)
  local requests = RELEASED and '-1' or '0'
  local governed = false
  for _, claim in ipairs(claims_held(found)) do
    governed = governed or claim[UNIT] == MONEY
    post(claim, '0', spent_of(claim, money, tokens, requests), tonumber(found.at))
  end
  call('HSET', found.key, 'state', 'corrected')
  call('PEXPIRE', found.key, FINISHED_MS)
  call('ZREM', PREFIX .. 'orphaned', ID)
  pass_on(found.via, money)
  local posted = table.concat({ money, tokens, requests }, ' ')
  if CHARGE == '' then
    event('void', 'i', ID, 'o', found.owner, 'n', table.concat({ found.window, found.money, found.tokens, NOW }, ' ') .. own(found),
      'b', found.body, 'm', posted)
  else
    event('correct', 'i', ID, 'o', found.owner,
      'n', table.concat({ found.window, governed and found.money or '0', found.money, found.tokens }, ' ') .. own(found),
      'b', CHARGE, 'm', posted)
  end
end

local found = find(ID)
if not found then
  unknown()
elseif found.state == 'pending' then
  resolve(found)
elseif found.state == 'orphaned' then
  amend(found)
end
return answer('OK')
