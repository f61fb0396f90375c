-- Posts a charge that was made while the store was away, through what its gateway had set aside for that.
--
-- ARGV: 2 id, 3 money, 4 tokens, 5 the charge (JSON), 6 its body, 7 its windows' time (microseconds), then the ids of allowances.
-- OK in any case: a charge that was posted before is not posted again.

local ID, SPENT, USED, CHARGE, BODY, WINDOW = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
-- Not `r:<id>`: the attempt may have been tried here too, and called off when no answer came.
local key = PREFIX .. 'r:drawn:' .. ID
if call('EXISTS', key) == 1 then
  return answer('OK')
end
local backs = {}
for at = 8, #ARGV do
  local found = find(ARGV[at])
  if found and found.state == 'pending' then
    local take = less(found.sm, SPENT) and found.sm or SPENT
    local left = call('HINCRBY', found.key, 'sm', minus(take))
    call('HSET', found.key, 'cm', text(left))
    event('extend', 'i', found.id, 'o', found.owner, 'n', table.concat({ text(left), 0, text(left), 0 }, ' '))
    for _, claim in ipairs(claims_of(found.body)) do
      backs[claim[KEY]] = take
    end
  end
end
for _, claim in ipairs(claims_of(BODY)) do
  post(claim, backs[claim[KEY]] or '0', spent_of(claim, SPENT, USED, '1'), tonumber(WINDOW))
end
call('SET', key, '1', 'PX', ORPHANED_MS)
event('settle', 'i', ID, 'o', '', 'n', WINDOW .. ' ' .. SPENT, 'b', CHARGE, 'm', table.concat({ SPENT, USED, 1 }, ' '))
return answer('OK')
