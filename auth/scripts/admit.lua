-- Admission: epoch, windows, cache, single-flight, reservation, write-ahead event. One step.
-- A refusal of any kind changes no key. (meters.lua and promises.lua stand before this text.)
--
-- KEYS  1 epoch of the tenant   2 reservation   3 leases   4 usage stream
-- ARGV  1 key prefix   2 request id   3 tenant   4 epoch   5 JSON of the units to reserve
--       6 lease ms   7 cache key or ''   8 '1' to read the cache   9 '1' to share a running request
--       10 JSON of the usage record   11 JSON of the prices or ''
--       12 JSON of the most units it may take, which budgets reserve, or '' for no more
--       13 name of the call among those that are charged once, or ''
--       14 name of the promise that holds room for this call, or ''   15 step of it
--       16.. per scope: its name, JSON [[field, span, limit, meter, 1 to watch only, 1 for a budget]]
-- Reply {verdict, now ms, extra, used...}: `used` per window, in the order given, as it stands
--       after this step, or nothing for `spent` and `running`, of what is charged once; extra is the
--       cached entry, the milliseconds to wait,
--       or the windows that are full, as [number, amount asked for]: of a refusal those that hold, of
--       an admission those that are only watched.
--
-- The server's clock decides, so gateways need not agree on theirs. Keys are derived from the
-- prefix: one server, or a primary with replicas; not Valkey Cluster.

local prefix, id, tenant, epoch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local units, lease_ms = cjson.decode(ARGV[5]), tonumber(ARGV[6])
local cache_key, read_cache, share, record = ARGV[7], ARGV[8] == '1', ARGV[9] == '1', ARGV[10]
local once = ARGV[13]
local promised = ARGV[14] ~= '' and share_of(prefix .. ':promise:' .. ARGV[14], ARGV[15], 1) or nil
local prices = ARGV[11] ~= '' and cjson.decode(ARGV[11]) or nil
local amount_of = metered(units, prices)
local most_of = ARGV[12] ~= '' and metered(cjson.decode(ARGV[12]), prices) or amount_of

local time = redis.call('TIME')
local now_s = tonumber(time[1])
local now = now_s * 1000 + math.floor(tonumber(time[2]) / 1000)

if redis.call('GET', KEYS[1]) ~= epoch then return {'stale', now, false} end
if redis.call('EXISTS', KEYS[2]) == 1 then return {'duplicate', now, false} end

-- Read every window. A span other than the current one counts as empty. What a cached answer is
-- charged, the request itself, is held first; the rest only when there is work to do.
local scopes, used = {}, {}
local full = {requests = {}, work = {}, watched = {}}
for a = 16, #ARGV, 2 do
  local key = prefix .. ':window:' .. ARGV[a]
  local windows = cjson.decode(ARGV[a + 1])
  if #windows > 0 then
    local fields = {}
    for i, window in ipairs(windows) do
      fields[2 * i - 1] = window[1]
      fields[2 * i] = window[1] .. ':used'
    end
    local stored = redis.call('HMGET', key, unpack(fields))
    for i, window in ipairs(windows) do
      local count, bucket = counted(stored[2 * i - 1], stored[2 * i], window[2], now_s)
      -- A rate is charged what is usual; a budget the most that this request may take.
      local amount = (window[6] == 1 and most_of or amount_of)(window[4])
      window.held = 0
      if promised then
        window.held = held_in(promised, key, window[1], bucket)
        count = math.max(0, count - window.held)
      end
      used[#used + 1] = count
      window.bucket, window.used, window.amount = bucket, count, amount
      if amount > 0 and count + amount > window[3] then
        local kind = window[5] == 1 and 'watched' or window[4] == 'requests' and 'requests' or 'work'
        table.insert(full[kind], {#used, amount})
      end
    end
    scopes[#scopes + 1] = {key, windows}
  end
end

local function refused()
  for _, entry in ipairs(full.work) do table.insert(full.requests, entry) end
  return full.requests
end

local function answer(verdict, extra)
  local reply = {verdict, now, extra}
  for _, count in ipairs(used) do reply[#reply + 1] = count end
  return reply
end

-- Add the request, and its work when asked, to the windows; the reply then shows them. What was
-- promised for it is held no more.
local function charge(with_work)
  local charges, n = {}, 0
  for _, scope in ipairs(scopes) do
    local values = {}
    for _, window in ipairs(scope[2]) do
      n = n + 1
      local charged = with_work or window[4] == 'requests'
      if charged or window.held > 0 then
        local field = window[1]
        used[n] = used[n] + (charged and window.amount or 0)
        values[#values + 1] = field
        values[#values + 1] = string.format('%.0f', window.bucket)
        values[#values + 1] = field .. ':used'
        values[#values + 1] = string.format('%.0f', used[n])
        charges[#charges + 1] = {scope[1], field, window.bucket, window.amount, window[4], window[2]}
      end
    end
    -- They have no expiry, for what has one can be evicted. The sweeper looks at new ones in a while.
    if #values > 0 and redis.call('HSET', scope[1], unpack(values)) > 0 then
      redis.call('ZADD', prefix .. ':windows', now + WINDOW_KEPT_MS, scope[1])
      redis.call('PERSIST', scope[1])
    end
  end
  if promised then take(promised, now_s) end
  return charges
end

-- What was charged under this name is not charged again, and needs no room: whoever answered died
-- before the caller had the answer.
if once ~= '' then
  local spent = redis.call('HMGET', prefix .. ':once:' .. once, 'done', 'body', 'media_type', 'units',
    'by')
  if spent[1] then
    if not spent[2] then return {'spent', now, false} end
    return answer('hit', {spent[2], spent[3], spent[4]})
  end
  -- Whoever holds a lease may live and deliver, even if nobody has heard of it for a while.
  if spent[5] then
    local until_ms = tonumber(redis.call('ZSCORE', KEYS[3], spent[5]) or 0)
    if until_ms > now then return {'running', now, until_ms - now} end
  end
end

if #full.requests > 0 then return answer('refused', refused()) end

local flight = ''
if cache_key ~= '' then
  local stats = prefix .. ':cache-stats:' .. tenant
  if read_cache then
    local entry_key = prefix .. ':cache:' .. tenant .. ':' .. cache_key
    local entry = redis.call('HMGET', entry_key, 'body', 'media_type', 'units')
    if entry[1] then
      charge(false)
      redis.call('HINCRBY', entry_key, 'hits', 1)
      redis.call('HINCRBY', stats, 'hits', 1)
      redis.call('XADD', KEYS[4], '*', 'event', 'hit', 'id', id, 'at', now,
        'admitted_at', now, 'record', record)
      return answer('hit', entry)
    end
    if share then
      flight = prefix .. ':flight:' .. tenant .. ':' .. cache_key
      -- It has no expiry, for what has one can be evicted. Whether its leader lives says its lease.
      local leader = redis.call('GET', flight)
      local left = leader and tonumber(redis.call('ZSCORE', KEYS[3], leader) or 0) - now or 0
      if left > 0 then return answer('in_flight', left) end
    end
  end
  if #full.work > 0 then return answer('refused', refused()) end
  if read_cache then redis.call('HINCRBY', stats, 'misses', 1) end
elseif #full.work > 0 then
  return answer('refused', refused())
end

local charges = charge(true)
redis.call('HSET', KEYS[2], 'tenant', tenant, 'cache_key', cache_key, 'flight', flight,
  'admitted_at', now, 'charges', cmsgpack.pack(charges), 'prices', ARGV[11], 'record', record)
if once ~= '' then
  redis.call('HSET', KEYS[2], 'once', once)
  redis.call('HSET', prefix .. ':once:' .. once, 'by', id)
  redis.call('PERSIST', prefix .. ':once:' .. once)
end
if promised then
  local kept = cmsgpack.pack({promised.key, promised.step, promised.taken})
  redis.call('HSET', KEYS[2], 'promise', kept)
end
redis.call('ZADD', KEYS[3], now + lease_ms, id)
if flight ~= '' then redis.call('SET', flight, id) end
redis.call('XADD', KEYS[4], '*', 'event', 'admitted', 'id', id, 'at', now,
  'admitted_at', now, 'record', record)
return answer('admitted', full.watched)
