-- Gives places of a probe back. KEYS[1] as for probe.lua; ARGV: 1 who had them, then the breakers.

for at = 2, #ARGV do
  redis.call('ZREM', KEYS[1] .. ':' .. ARGV[at], ARGV[1])
end
return 0
