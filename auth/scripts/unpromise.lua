-- The end of a promise, or of what it holds for one step. (promises.lua stands before this text.)
--
-- KEYS  1 promise   2 promises, by when they lapse
-- ARGV  1 name   2 step, or '' for all
-- Reply 1, or 0 when nothing was held.

local now_s = tonumber(redis.call('TIME')[1])
if ARGV[2] == '' then return unpromise(KEYS[1], KEYS[2], ARGV[1], now_s) end
local share = share_of(KEYS[1], ARGV[2])
if not share then return 0 end
take(share, now_s)
return 1
