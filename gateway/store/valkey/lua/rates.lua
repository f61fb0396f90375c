-- Rates: cells `g:<key>` of the generic cell rate algorithm. The formulas of gateway/limits/gcra.py, in their order.

local GRID = 4194304
local SLACK_S = 1e-9
local IDLE_S = 3600

-- Fields of a rate (gateway.ledger.operations.Rate).
local R_KEY, R_UNIT, R_LIMIT, R_PERIOD, R_BURST, R_SCOPE, R_ENFORCED = 1, 2, 3, 4, 5, 6, 7

local function tat_of(rate)
  return tonumber(call('GET', PREFIX .. 'g:' .. rate[R_KEY]) or '0')
end

local function ask(tat, units, rate)
  local limit, period, burst = rate[R_LIMIT], rate[R_PERIOD], rate[R_BURST]
  local since = tat > now_s and tat or now_s
  local after = since + math.floor(units * period / limit * GRID) / GRID
  local first = after
  if units > burst then
    first = since + math.floor(burst * period / limit * GRID) / GRID
  end
  local wait = first - now_s - burst * period / limit
  return after, wait > SLACK_S and wait or 0
end

local function keep(rate, tat)
  local ttl_ms = math.ceil((tat - now_s + IDLE_S) * 1000)
  if ttl_ms > 0 then
    call('SET', PREFIX .. 'g:' .. rate[R_KEY], string.format('%.17g', tat), 'PX', string.format('%.0f', ttl_ms + 60000))
  end
end

-- `counted` tokens turn out to have been `actual` ones (0: given back).
local function correct(rates, counted, actual)
  if rates == '' then
    return
  end
  for _, rate in ipairs(cmsgpack.unpack(rates)) do
    if rate[R_UNIT] == 1 then
      local limit, period = rate[R_LIMIT], rate[R_PERIOD]
      local tat = tat_of(rate)
      if tat + IDLE_S > now_s then
        keep(rate, tat + (math.floor(actual * period / limit * GRID) / GRID
          - math.floor(counted * period / limit * GRID) / GRID))
      end
    end
  end
end
