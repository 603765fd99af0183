-- What became of a claim: kept, renewed, or given up. Only its owner can say.
--
-- KEYS  1 entry   2 what the tenant's kept answers are, oldest first   3 their bytes
--       4 claims that nothing came of yet   5.. what is remembered of calls that were charged: a kept answer stands for them
-- ARGV  1 owner   2 lease ms; 0 ends the claim   3 what to keep or ''   4 ms for which it is kept
--       5 most bytes that a tenant's answers may take
-- Reply 1, or 0 when the claim is another's (it ran out meanwhile).

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local OVERHEAD = 500 -- bytes that an entry takes beside its answer, about

-- A tenant that keeps too much loses its own oldest answers, and nobody else's.
local function make_room(bytes)
  local total = redis.call('INCRBY', KEYS[3], bytes)
  while true do
    local oldest = redis.call('LINDEX', KEYS[2], 0)
    if not oldest then return end
    local ends, size, owner, name = oldest:match('^(%d+) (%d+) (%S+) (.+)$')
    if total <= tonumber(ARGV[5]) and tonumber(ends) > now then return end
    redis.call('LPOP', KEYS[2])
    total = redis.call('DECRBY', KEYS[3], size)
    if redis.call('HGET', name, 'owner') == owner then redis.call('UNLINK', name) end
  end
end

local function keep()
  local bytes = #ARGV[3] + OVERHEAD
  if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('UNLINK', KEYS[2]) end
  make_room(bytes)
  redis.call('RPUSH', KEYS[2], string.format('%.0f %.0f %s %s', now + ARGV[4], bytes, ARGV[1], KEYS[1]))
  redis.call('PEXPIRE', KEYS[2], 2 * ARGV[4])
  redis.call('PEXPIRE', KEYS[3], 2 * ARGV[4])
  redis.call('HSET', KEYS[1], 'kept', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
  redis.call('ZREM', KEYS[4], KEYS[1])
  for i = 5, #KEYS do redis.call('UNLINK', KEYS[i]) end
end

if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
if ARGV[3] ~= '' then
  keep()
elseif ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[4], KEYS[1])
else
  redis.call('HSET', KEYS[1], 'until', now + ARGV[2])
  redis.call('ZADD', KEYS[4], now + ARGV[2], KEYS[1])
end
return 1
