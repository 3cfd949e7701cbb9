// Package chunk makes the bytes of objects: it encodes lines as records,
// compresses blocks of records, assembles blocks into one object, and expands
// key templates.
//
// # Records
//
// A record is one JSON object on one line. With [JSON], a line that is a valid
// JSON object (RFC 8259, strict UTF-8, at most 512 levels deep) is a record
// byte for byte; white space around it is kept, except a '\r' that ends the
// line. Any other line is kept inside an object:
//
//	{"raw":"…","raw_base64":"…","error":"invalid character at byte 17"}
//	{"raw":"…","raw_base64":"…","error":"line longer than max_line_size","part":0,"last":true}
//
// raw is the line as readable text, a '\r' at its end included. raw_base64
// (RFC 4648, padded) is there only if the line is not valid UTF-8: then raw
// has U+FFFD in place of each invalid byte, and raw_base64 has the bytes. error
// names the first byte that is wrong, counted from 0 at the line's start. The
// second form is a part of a line longer than [EncoderOptions].MaxLineSize:
// part counts from 0, last stands only on the line's last part, and the parts'
// bytes, put together, are the line.
//
// With [EncoderOptions].Stream, what stands for a line is an object, whether it has
// several lines or shares one with others. White space around it is not kept, and
// none outside of its strings if it has several lines. Text in its place is kept
// as a line is, from its first byte that is not white space; an object that is
// wrong behind its first line, or too long, goes on to a line that begins with '{',
// or to the '}' that one begins with.
//
// With [Text], a line is the message of an object, '\r' before '\n' removed:
//
//	{"time":"2026-01-02T03:04:05.678Z","host":"…","file":"…","offset":123,
//	 "message":"…","message_base64":"…","part":0,"last":true}
//
// time is when the line was read, offset the first byte of the line, or of the
// part, in its file; message_base64, part and last are as above.
//
// Lines of only white space are skipped with JSON and kept with Text.
//
// With [EncoderOptions].Begins, a message is an event of one or more lines
// joined by '\n': a line that begins one and all up to the next. An event longer
// than MaxLineSize becomes several messages, cut between lines.
//
// With [CRI] and [Docker], a line tells time, stream and text of what a
// container wrote. [Encoder.Unwrap] takes that out; it then becomes a record as
// any other line does, with [EncoderOptions].InnerJSON as one of [JSON], else as the
// message of
//
//	{"time":"…","stream":"stdout","host":"…","file":"…","offset":123,"message":"…","attrs":{…}}
//
// time is the one in the line, as it stands there; attrs are Docker's labels and
// variables. The runtime cuts long lines; of each stream they are joined again,
// under time and offset of the first piece. What would be longer than MaxLineSize,
// or whose end did not come in time, is shipped in parts; "last" is missing where
// the end was not there to be read. Other lines are kept as
// {"raw":"…","error":"not a line of a container log"}.
//
// # Fields
//
// Members can be added to records: [EncoderOptions].Fields, Static and Path, in
// this order (Static by name). JSON lines get them spliced in before their
// closing brace, Text records behind their own members, and records of raw
// lines and of parts at their end. A member that a JSON line has itself, at its
// top level, wins over one to be added. All other bytes stay as they are.
//
// Drop leaves members of JSON lines out, Mask replaces their values by "***".
// A path is keys joined by dots, compared after their escapes were undone. A
// dot also matches a dot in a key; arrays are looked through, at any depth; of
// a key that is there twice, both are treated. A dropped member is not there
// any more when fields are added. Text inside strings is not looked into. What
// is not valid JSON can't be searched and is withheld: with Drop or Mask, raw
// and raw_base64 are replaced by raw_withheld, the number of bytes.
//
// # Objects
//
// A stored block is a piece of the object's bytes, so that no block is ever
// decompressed or compressed again on its way to the bucket. A gzip object is
// one member (RFC 1952):
//
//	size   what
//	10     header: 1f 8b 08, no flags, no time, unknown system
//	…      raw deflate (RFC 1951) of each block, ended by a sync flush
//	2      03 00: an empty last block
//	4      CRC-32 of all records, combined from those of the blocks
//	4      number of bytes of all records, modulo 2^32
//
// A zstd object is a sequence of frames (RFC 8878), one for each block. Blocks
// stored raw, because they were too small to be worth compressing alone, are
// joined in runs of at most 1 MiB and compressed while the object is read. The
// same version of the program gives the same bytes each time; another may
// compress these runs differently, to the same records.
package chunk

import (
	"fmt"
	"slices"
	"time"
)

// Format is how a line becomes a record.
type Format uint8

// The formats.
const (
	JSON   Format = iota // a line that is a JSON object is a record as it is
	Text                 // a line becomes the "message" of a JSON object
	CRI                  // a line of a container's log, as Kubernetes writes it, becomes one too
	Docker               // the same, as Docker's json-file driver writes it
)

var formats = [...]string{JSON: "json", Text: "text", CRI: "cri", Docker: "docker"}

// ParseFormat takes "json", "text", "cri" or "docker".
func ParseFormat(s string) (Format, error) {
	if i := slices.Index(formats[:], s); i >= 0 {
		return Format(i), nil
	}
	return JSON, fmt.Errorf("format %q is unknown; use json, text, cri or docker", s)
}

// Lines is a run of one file's bytes as the tailer hands it on: whole lines,
// except that a line longer than MaxLineSize may be cut at the borders of its
// parts, which lie every MaxLineSize bytes from its start.
type Lines struct {
	File string
	From int64     // offset of Data[0] in the file
	Time time.Time // when it was read
	Data []byte    // lines with their newlines; the last may lack one; CRI, Docker: items of Encoder.Unwrap
	Part int       // number of the part that Data starts with; 0: a line's start
	// Cut: Data ends within a line, at a part border. The line goes on with a
	// byte that is not its newline, else the border would be its end.
	Cut bool
}

// Counts says what became of lines.
type Counts struct {
	Records  int64 // all records, parts and invalid ones included
	Parts    int64 // records that hold part of a long line
	Invalid  int64 // JSON lines kept as raw + error, parts not included
	Empty    int64 // lines skipped because they are empty (JSON only)
	Untimed  int64 // records without a time in time_field, see Partitioner
	Overflow int64 // records under the key of Partitioner.Overflow
}
