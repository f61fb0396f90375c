-- The counters with these keys, as far as there are any.
--
-- ARGV: from 2 on, keys. COUNTERS: msgpack.

local found = {}
for index = 2, #ARGV do
  local state = state_of(ARGV[index])
  if state then
    found[#found + 1] = state
  else
    call('SREM', PREFIX .. 'counters', ARGV[index]) -- expired
  end
end
return answer('COUNTERS', cmsgpack.pack(found))
