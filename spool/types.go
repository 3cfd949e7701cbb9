package spool

import (
	"fmt"
	"time"
)

// Encoding is how the bytes of one block are stored.
type Encoding uint8

// The encodings of format 1.
const (
	Raw     Encoding = 0 // records as they are
	Deflate Encoding = 1 // raw deflate, ended by a sync flush, refers to nothing before it
	Zstd    Encoding = 2 // zstd frames
)

// Range is a run of one file's bytes that a block holds the records of.
// Ranges stand in the order of the records.
type Range struct {
	File     uint64
	From, To int64 // bytes [From, To) of the file
	Records  int64
	Time     int64 // ns since 1970: when they were read
}

// Block is one batch's records of one chunk.
type Block struct {
	Input string // name of the input that owns the chunk
	// Name is the object's name with {queue}, {chunk}, {records} and {id} left
	// in it; they are filled in when the chunk is sealed.
	Name  string
	Codec string // what the object is compressed with: "gzip", "zstd" or "none"
	Limit int64  // the chunk is sealed once its stored bytes reach this; not kept, 0 when read back
	// MaxOpen is how many chunks of the input may be open: the idlest are sealed
	// before one more is begun. 0 is no limit. Not kept, as Limit.
	MaxOpen int

	Encoding    Encoding
	Data        []byte // stored bytes; not changed by the spool, not kept after Append
	RawSize     int64  // bytes of the records, uncompressed
	RawCRC      uint32 // CRC-32 (IEEE) of those bytes
	Records     int64
	First, Last int64 // ns since 1970: time range of the records
	Ranges      []Range
}

// Position is an opaque value that says how far a file was read.
type Position struct {
	File uint64
	Data []byte // not kept after Append
}

// Batch is what one Append makes durable, all or nothing.
type Batch struct {
	Blocks    []Block
	Positions []Position // upserts
	Forget    []uint64   // files whose positions are removed
}

// ChunkState is how far a chunk has come.
type ChunkState uint8

// The states of an unacked chunk.
const (
	StateOpen      ChunkState = 0 // takes blocks
	StateSealed    ChunkState = 1 // frozen, waits to be acked
	StateTombstone ChunkState = 2 // frozen, its data was set aside: an object of no records is shipped
)

// Cause is why a chunk number has no data. It stands in the tombstone's name.
type Cause string

// The causes of tombstones.
const (
	Damaged Cause = "damaged" // it could not be read any more, see Bury
	Dropped Cause = "dropped" // to make room, see Drop
)

// Chunk is what the spool knows of an unacked chunk. It is a value: it does
// not change when the spool does.
type Chunk struct {
	Seq         uint64 // unique in this spool, ascending in order of creation
	Queue       string // queue id: 16 hex digits
	Input       string
	Number      uint64 // contiguous per queue and input, from 1
	Name        string // object name; final unless State is StateOpen
	ID          string // 16 hex digits of the digest of all blocks; "" while open
	Codec       string
	State       ChunkState
	Cause       Cause  // of a tombstone
	Reason      string // of a tombstone: a sentence for people
	Records     int64  // 0 for a tombstone
	LostRecords int64  // of a tombstone: what it had
	LostSize    int64  // of a tombstone: the bytes of those records, uncompressed
	Blocks      int
	StoredSize  int64
	DiskSize    int64 // about what it takes of the disk: stored bytes, headers and pages
	RawSize     int64
	First, Last int64 // ns since 1970
	Opened      time.Time
	Sealed      time.Time // zero while open
}

// Counter says how far the numbers of an input's chunks are.
type Counter struct {
	Input string
	Queue string
	Next  uint64 // number of its next chunk in that queue, from 1
}

// Stats is a snapshot of the spool's figures.
type Stats struct {
	Queue        string
	Batch        uint64 // number of the newest batch
	Segments     int
	DiskBytes    int64 // bytes of all segment files, as allocated by the file system
	FreeBytes    int64 // that the file system of the directory has left for this user; -1: it does not say
	Unacked      int64 // stored bytes of unacked chunks
	Taken        int64 // what these take of the disk, which is what MaxSize limits
	OpenChunks   int
	SealedChunks int   // tombstones included
	Quarantined  int64 // chunks set aside since the spool was made
	Dropped      Loss  // since the spool was made, of inputs that it still knows
}

// Loss counts what was dropped.
type Loss struct{ Chunks, Records, Bytes int64 } // bytes of records, uncompressed

func (l *Loss) add(o Loss) {
	l.Chunks += o.Chunks
	l.Records += o.Records
	l.Bytes += o.Bytes
}

// DamageError gives the coordinates of damage found while reading: a wrong
// checksum, structure or digest, a missing block, a segment that is gone. That
// the system could not read is not damage, and not a DamageError.
type DamageError struct {
	Segment string  // file name
	Chunk   uint64  // Seq
	Batch   uint64  // 0 if the whole segment is concerned
	Ranges  []Range // what the block held, if its header could be read
	Err     error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("segment %s, chunk %d, batch %d: %v", e.Segment, e.Chunk, e.Batch, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }
