package audit

import (
	"encoding/json"
	"fmt"
)

// offsets is where the next line of each file can begin.
type offsets map[string]extent

// extent is from where to where: one byte apart, for the carriage return of
// which a record does not tell. So a single empty line is not missed.
type extent struct{ from, to int64 }

// line is the record of a line of text, or of a part of one.
type line struct {
	File    *string `json:"file"`
	Offset  *int64  `json:"offset"`
	Message *string `json:"message"`
	Bytes   []byte  `json:"message_base64"` // if they are not UTF-8
	Part    *int    `json:"part"`
	Last    bool    `json:"last"`
}

// follow takes in the next record and says whether lines are missing before it.
// An offset below the one awaited is the begin of another file at the same
// path: whether the one before was read to its end, offsets do not tell.
// Records that are not of text are passed over.
func (f offsets) follow(record []byte) error {
	var l line
	if json.Unmarshal(record, &l) != nil || l.File == nil || l.Offset == nil || l.Message == nil {
		return nil
	}
	n := int64(len(*l.Message))
	if l.Bytes != nil {
		n = int64(len(l.Bytes))
	}
	next := extent{*l.Offset + n, *l.Offset + n}
	if l.Part == nil || l.Last {
		next.from, next.to = next.from+1, next.to+2
	}
	before, known := f[*l.File]
	f[*l.File] = next
	if known && *l.Offset > before.to {
		return fmt.Errorf("bytes %d to %d of %s are in no record", before.from, *l.Offset, *l.File)
	}
	return nil
}
