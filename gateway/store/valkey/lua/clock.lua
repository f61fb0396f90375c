-- Begins every function: who asks, what time it is, and what the answer looks like.
--
-- KEYS[1] is `{installation}:meta`, a hash with the epoch, the number of events written in it, and the last time that
-- was told. ARGV[1] is the epoch that the caller believes in.
-- Answers are {code, seq, now_us, payload}. Numbers are doubles here, exact up to 2^53: money stays text, and only
-- Valkey itself adds to it (HINCRBY, 64 bits).

local call = redis.call
local META = KEYS[1]
local PREFIX = string.sub(META, 1, -5)
local EPOCH = ARGV[1]

local meta = call('HMGET', META, 'epoch', 'seq', 'now')
local clock = call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local seq = tonumber(meta[2] or '0')
if tonumber(meta[3] or '0') > now_us then -- a step back of the server's clock opens no window again
  now_us = tonumber(meta[3])
end
if meta[1] ~= EPOCH then
  return { 'EPOCH', seq, now_us, meta[1] or '' }
end
local now_s = now_us / 1000000
local NOW = string.format('%.0f', now_us)

local function answer(code, payload)
  call('HSET', META, 'seq', string.format('%.0f', seq), 'now', NOW)
  return { code, seq, now_us, payload or '' }
end

-- Appends to the stream of events (gateway/store/valkey/codec.py). Their ids are `<epoch>-<number in the epoch>`: without
-- gaps, and they never go back.
local function event(kind, ...)
  seq = seq + 1
  call('XADD', PREFIX .. 'events', EPOCH .. '-' .. string.format('%.0f', seq), 'k', kind, ...)
end
