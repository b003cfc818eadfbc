-- Tend a list that has grown. Cut its tail down to the cap. Raise the floor to the highest tweet id
-- that was cut off, or above it. Push a mark, but not during a rebuild, which may append ids above the
-- mark. Late deliveries mean that a list is not sorted by id, so the script compares ids and does not
-- rely on positions.
--
-- KEYS: the list, its state
-- ARGV: cap
local list, state = KEYS[1], KEYS[2]
local byte = string.byte
local MARK = 25 -- the first byte of a Mark
local STEP = 20 -- elements that are read at once after the first ones

-- The varint that follows an entry's first byte.
local function varint(entry)
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

-- The highest tweet id from `place` to the list's end; `count` elements are read first. The first mark
-- bounds everything after it. Ids that a double can't hold are rounded up, because marks and floors
-- may be too high but not too low.
local function highest_id(place, count)
  local highest, marked = 0, false
  repeat
    local elements = redis.call('LRANGE', list, place, place + count - 1)
    local is_end = #elements < count
    for i = 1, #elements do
      local element, id = elements[i], 0
      -- Most of the time goes here. One call returns all bytes of the usual ids: up to 2^28.
      local first, a, b, c, d = byte(element, 1, 5)
      if first == MARK then
        marked, id = true, struct.unpack('<I8', element, 2)
      elseif not first then -- the placeholder
        id = 0
      elseif a < 128 then
        id = a
      elseif b < 128 then
        id = a - 128 + b * 128
      elseif c < 128 then
        id = a - 16512 + b * 128 + c * 16384
      elseif d < 128 then
        id = a - 2113664 + b * 128 + c * 16384 + d * 2097152
      else
        id = varint(element)
      end
      if id > highest then
        highest = id
      end
      if marked then
        break
      end
    end
    place, count = place + count, STEP
  until marked or is_end
  return highest < 2 ^ 53 and highest or highest * (1 + 2 ^ -52)
end

local cap = tonumber(ARGV[1])
local floor, version = unpack(redis.pcall('HMGET', state, 'floor', 'version'))
if #redis.call('LRANGE', list, cap - 1, cap) > 1 then
  local cut = highest_id(cap - 1, 1)
  redis.call('LTRIM', list, 0, cap - 1)
  if floor and cut > tonumber(floor) then
    redis.call('HSET', state, 'floor', string.format('%.0f', cut))
  end
end
if version then
  redis.call('LPUSHX', list, string.char(MARK) .. struct.pack('<I8', highest_id(0, 80)))
end
