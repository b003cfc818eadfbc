-- Tend a list that has grown. Cut its tail down to the cap. Raise the floor to the highest tweet id
-- that was cut off, or above it. Push a mark, but not during a rebuild, which may append ids above the
-- mark. Late deliveries mean that a list is not sorted by id, so the script compares ids and does not
-- rely on positions. Returns the number of elements that were cut off.
--
-- KEYS: the list, its state
-- ARGV: cap
local list, state = KEYS[1], KEYS[2]
local byte = string.byte
local MARK = 25 -- the first byte of a Mark
local STEP = 40 -- elements read at once

-- The tweet id is the varint after the first byte of a TweetLite. The placeholder has none.
local function tweet_id(entry)
  local id, scale = 0, 1
  for i = 2, #entry do
    local bits = byte(entry, i)
    id = id + (bits % 128) * scale
    if bits < 128 then
      break
    end
    scale = scale * 128
  end
  return id
end

-- The highest tweet id from `place` to the list's end. The first mark bounds everything after
-- it. Ids that a double can't hold are rounded up, because a floor may be too high but not too low.
local function highest_id(place)
  local highest, marked = 0, false
  repeat
    local elements = redis.call('LRANGE', list, place, place + STEP - 1)
    for _, element in ipairs(elements) do
      marked = byte(element) == MARK
      local id = marked and struct.unpack('<I8', element, 2) or tweet_id(element)
      if id > highest then
        highest = id
      end
      if marked then
        break
      end
    end
    place = place + STEP
  until marked or #elements < STEP
  return highest < 2 ^ 53 and highest or highest * (1 + 2 ^ -52)
end

local cap, length = tonumber(ARGV[1]), redis.call('LLEN', list)
local has_state = redis.call('TYPE', state).ok == 'hash'
if length > cap then
  -- Start at the last element that is kept, not at the first that is cut. If the list was tended at
  -- every multiple of the spacing, the last kept element is a mark, and the search ends there.
  local floor = highest_id(cap - 1)
  redis.call('LTRIM', list, 0, cap - 1)
  if has_state and floor > tonumber(redis.call('HGET', state, 'floor')) then
    redis.call('HSET', state, 'floor', string.format('%.0f', floor))
  end
end
if has_state and redis.call('HEXISTS', state, 'version') == 1 then
  redis.call('LPUSHX', list, string.char(MARK) .. struct.pack('<I8', highest_id(0)))
end
return math.max(0, length - cap)
