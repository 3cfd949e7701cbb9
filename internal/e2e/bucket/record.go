package bucket

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Format is the form of an input's records.
type Format string

// The formats of an input.
const (
	JSON Format = "json"
	Text Format = "text"
	CRI  Format = "cri"
)

// record has the fields of all record forms that are not the line itself.
type record struct {
	Message       *string `json:"message"`
	MessageBase64 []byte  `json:"message_base64"`
	Raw           *string `json:"raw"`
	RawBase64     []byte  `json:"raw_base64"`
	File          string  `json:"file"`
	Part          *int    `json:"part"` // of a line longer than max_line_size, from 0
	Last          bool    `json:"last"`
}

// rawPrefix begins the record of a line that is not a JSON object.
var rawPrefix = []byte(`{"raw":`)

// line returns the line that a record stands for, and the file that a text
// record names.
func line(f Format, rec []byte) (line []byte, file string, err error) {
	if f == JSON && !bytes.HasPrefix(rec, rawPrefix) {
		return rec, "", nil
	}
	var r record
	if err := json.Unmarshal(rec, &r); err != nil {
		return nil, "", fmt.Errorf("record %.120q: %w", rec, err)
	}
	text, exact := r.Message, r.MessageBase64
	if f == JSON {
		text, exact = r.Raw, r.RawBase64
	}
	switch {
	case exact != nil:
		line = exact
	case text != nil:
		line = []byte(*text)
	default:
		return nil, "", fmt.Errorf("record %.120q has no line in it", rec)
	}
	if f == JSON {
		line = canonical(line)
	}
	if r.Part != nil {
		line = part(line, *r.Part, r.Last)
	}
	return line, r.File, nil
}

// part marks the bytes of a part of a long line, so that it is told apart from
// a line of these bytes and from the other parts. Lines hold no newline.
func part(line []byte, n int, last bool) []byte {
	return fmt.Appendf(bytes.Clone(line), "\npart %d, last %v", n, last)
}

// expected are the lines that the records of one line stand for: the line
// itself, or its parts if it is longer than limit.
func expected(line []byte, limit int) [][]byte {
	if limit == 0 || len(line) <= limit {
		return [][]byte{canonical(line)}
	}
	var parts [][]byte
	for n := 0; len(line) > 0; n++ {
		size := min(limit, len(line))
		parts = append(parts, part(line[:size], n, size == len(line)))
		line = line[size:]
	}
	return parts
}

// canonical is a line without the one carriage return before its newline: only
// "raw" keeps that.
func canonical(line []byte) []byte { return bytes.TrimSuffix(line, []byte("\r")) }
