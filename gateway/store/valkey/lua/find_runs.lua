-- Runs, the latest first.
--
-- ARGV: 2 id ('' for all), 3 state ('' for any), 4 how many at most. RUNS: a JSON array.

local PAGE, PAGES = 500, 40

local function latest(state, most)
  local found = {}
  for page = 0, PAGES - 1 do
    local ids = call('ZREVRANGE', PREFIX .. 'runs', page * PAGE, (page + 1) * PAGE - 1)
    for _, id in ipairs(ids) do
      local is = call('HGET', PREFIX .. 'run:' .. id, 'state')
      if not is then
        call('ZREM', PREFIX .. 'runs', id) -- forgotten: its hash has expired
      elseif state == '' or is == state then
        found[#found + 1] = show(id)
        if #found >= most then
          return found
        end
      end
    end
    if #ids < PAGE then
      return found
    end
  end
  return found
end

end_due()
local found = ARGV[2] ~= '' and { show(ARGV[2]) } or latest(ARGV[3], tonumber(ARGV[4]))
return answer('RUNS', '[' .. table.concat(found, ',') .. ']')
