-- Lets a quantity into a sliding window and counts it, or does neither: usance_core::entitlement::SlidingUse in Redis.
-- KEYS[1]: the counts, as "time:used,time:used,...", the oldest first; times in microseconds.
-- ARGV: now, the length of the window, the length of a slot (all microseconds), the limit, the quantity.
-- Answers whether it was let in, what counts now, and when there is more room (-1: never, 0: nothing counts).
local now, span, slot = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local limit, quantity = tonumber(ARGV[4]), tonumber(ARGV[5])
local slots, used = {}, 0
for at, amount in string.gmatch(redis.call('GET', KEYS[1]) or '', '(%-?%d+):(%d+)') do
    at, amount = tonumber(at), tonumber(amount)
    if at + span > now then
        slots[#slots + 1] = { at, amount }
        used = used + amount
    end
end
if used + quantity > limit then
    if quantity > limit then
        return { 0, used, '-1' }
    end
    local counting, fits_at = used, now
    for _, one in ipairs(slots) do
        if counting + quantity <= limit then
            break
        end
        counting, fits_at = counting - one[2], one[1] + span
    end
    return { 0, used, string.format('%.0f', fits_at) }
end
local last = slots[#slots]
if last and (last[1] >= now or math.floor(last[1] / slot) == math.floor(now / slot)) then
    last[1], last[2] = math.max(last[1], now), last[2] + quantity
else
    slots[#slots + 1] = { now, quantity }
end
local texts = {}
for place, one in ipairs(slots) do
    texts[place] = string.format('%.0f:%d', one[1], one[2])
end
-- Kept for two windows, so that the clock of Redis may differ from that of the instances.
redis.call('SET', KEYS[1], table.concat(texts, ','), 'PX', math.ceil(span / 500))
return { 1, used + quantity, string.format('%.0f', slots[1][1] + span) }
