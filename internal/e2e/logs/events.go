package logs

import "strconv"

// Events makes JSON event lines of about 450 bytes.
type Events struct{ base }

// NewEvents returns a source whose lines are named by stream and a number.
func NewEvents(seed uint64, stream string) *Events { return &Events{newBase(seed, stream)} }

// Append is Source's.
func (e *Events) Append(dst []byte) []byte {
	e.step()
	dst = append(dst, `{"timestamp":"`...)
	dst = e.now.AppendFormat(dst, "2006-01-02T15:04:05.000000Z07:00")
	dst = field(dst, "level", e.pick(levels))
	dst = field(dst, "service", e.pick(services))
	dst = field(dst, "stream", e.stream)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendInt(dst, e.seq, 10)
	dst = append(dst, `,"trace_id":"`...)
	dst = e.hex(dst, 32)
	dst = field(dst, "user_id", e.pick(e.users))
	dst = append(dst, `","client_ip":"`...)
	dst = e.ip(dst)
	dst = field(dst, "http_method", e.pick(methods))
	dst = field(dst, "path", e.pick(e.paths))
	dst = append(dst, `","status":`...)
	dst = append(dst, e.pick(statuses)...)
	dst = append(dst, `,"duration_ms":`...)
	dst = strconv.AppendFloat(dst, float64(e.rng.IntN(50000))/100, 'f', 2, 64)
	dst = append(dst, `,"bytes_sent":`...)
	dst = strconv.AppendInt(dst, int64(e.rng.IntN(90000)), 10)
	dst = append(dst, `,"user_agent":"`...)
	dst = append(dst, e.pick(e.agents)...)
	dst = field(dst, "message", e.pick(messages))
	return append(dst, "\"}\n"...)
}

// field ends the string before it and begins a new one.
func field(dst []byte, name, value string) []byte {
	dst = append(dst, `","`...)
	dst = append(dst, name...)
	dst = append(dst, `":"`...)
	return append(dst, value...)
}
