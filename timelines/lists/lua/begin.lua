-- Begin a rebuild: replace the list by an empty one, and the state by one with this token. From now
-- on every push lands in that list. Returns 1, or 0 if another rebuild still holds its token.
--
-- KEYS: the list, its state
-- ARGV: token, seconds for which the token keeps others away, seconds until both keys expire
local list, state = KEYS[1], KEYS[2]
local now = tonumber(redis.call('TIME')[1])
local busy_until = tonumber(redis.call('HGET', state, 'busy_until') or 0)
if busy_until > now then
  return 0
end
-- Ask for the id of the server process now: a restart from a snapshot must not pass for this one.
local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
redis.call('DEL', list, state)
redis.call('RPUSH', list, '')
redis.call('HSET', state, 'token', ARGV[1], 'busy_until', now + ARGV[2], 'run_id', run_id, 'floor', 0)
redis.call('EXPIRE', list, ARGV[3])
redis.call('EXPIRE', state, ARGV[3])
return 1
