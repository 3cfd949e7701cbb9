package logs

import (
	"fmt"
	"math/rand/v2"
)

// Odd mixes lines into a source that a careless program would write: no JSON
// at all, control characters, NUL, invalid UTF-8, carriage returns, 64-bit
// ids, quotes and very long lines.
type Odd struct {
	Source Source
	Stream string // names the odd lines, with a number
	Long   int    // length of the longest lines in bytes
	Rand   *rand.Rand
	n      int
}

// oddForms are the lines; %s is a unique name.
var oddForms = []string{
	"plain words, no JSON: %s",
	"{\"cut off\":\"%s",
	"{\"id\":18446744073709551615,\"name\":\"%s\"}",
	"{\"text\":\"na\u00efve \u65e5\u672c \\u00e9 \\\"quoted\\\" \\\\ \U0001f69a\",\"name\":\"%s\"}",
	"  {\"spaces\":  true, \"name\":\"%s\"}  ",
	"%s \"quotes\" and \\ and <tags> & \u2028",
	"%s tab\there \x1b[31mred\x1b[0m \x7f",
	"%s NUL\x00inside",
	"%s latin\xe9\xff\xc0\x80 end",
	"%s carriage\rreturns\r",
	"[1,2,\"%s\"]",
	"{\"name\":\"%s\",\"raw\xff\":1}",
}

// Append is Source's: about one line in fifty is odd.
func (o *Odd) Append(dst []byte) []byte {
	if o.Rand.IntN(50) > 0 {
		return o.Source.Append(dst)
	}
	o.n++
	name := fmt.Sprintf("%s-odd-%d", o.Stream, o.n)
	if o.Long > 0 && o.Rand.IntN(5) == 0 {
		return o.long(dst, name)
	}
	dst = fmt.Appendf(dst, oddForms[o.Rand.IntN(len(oddForms))], name)
	return append(dst, '\n')
}

// long appends a JSON line of up to Long bytes.
func (o *Odd) long(dst []byte, name string) []byte {
	dst = fmt.Appendf(dst, `{"name":"%s","filler":"`, name)
	for range o.Rand.IntN(o.Long) {
		dst = append(dst, 'a'+byte(o.Rand.IntN(26)))
	}
	return append(dst, "\"}\n"...)
}
