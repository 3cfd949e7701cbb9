package logs

import "strconv"

// Access makes web server access log lines of about 200 bytes.
type Access struct{ base }

// NewAccess returns a source whose lines are named by stream and a number.
func NewAccess(seed uint64, stream string) *Access { return &Access{newBase(seed, stream)} }

// Append is Source's.
func (a *Access) Append(dst []byte) []byte {
	a.step()
	dst = a.ip(dst)
	dst = append(dst, " - "...)
	dst = append(dst, a.pick(a.users)...)
	dst = append(dst, " ["...)
	dst = a.now.AppendFormat(dst, "02/Jan/2006:15:04:05 -0700")
	dst = append(dst, `] "`...)
	dst = append(dst, a.pick(methods)...)
	dst = append(dst, ' ')
	dst = append(dst, a.pick(a.paths)...)
	dst = append(dst, ` HTTP/1.1" `...)
	dst = append(dst, a.pick(statuses)...)
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, int64(a.rng.IntN(90000)), 10)
	dst = append(dst, ` "-" "`...)
	dst = append(dst, a.pick(a.agents)...)
	dst = append(dst, `" `...)
	dst = append(dst, a.stream...)
	dst = append(dst, '/')
	dst = strconv.AppendInt(dst, a.seq, 10)
	return append(dst, '\n')
}
