package agent

import (
	"os"
	"slices"
	"time"

	"github.com/spoolship/spoolship/spool"
	"github.com/spoolship/spoolship/tailer"
)

// Status is what the agent says of itself at one moment: the answer of
// /status. Sizes are bytes; counts are since the start unless they say so.
type Status struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	Host      string    `json:"host"`
	Bucket    string    `json:"bucket"`
	Healthy   bool      `json:"healthy"`
	State     State     `json:"state"`
	Following bool      `json:"following"` // the first scan is done
	Problems  []Problem `json:"problems"`
	// Keys of the configuration that were changed and wait for a restart.
	NeedsRestart []string `json:"needs_restart,omitempty"`
	// Files whose lines are shipped twice.
	Overlaps []Overlap `json:"overlaps,omitempty"`

	Queue        string    `json:"queue"`
	LagBytes     int64     `json:"lag_bytes"`     // in files, not yet spooled
	BacklogBytes int64     `json:"backlog_bytes"` // stored, not yet acked
	OldestChunk  time.Time `json:"oldest_chunk,omitzero"`
	OpenChunks   int       `json:"open_chunks"`
	SealedChunks int       `json:"sealed_chunks"`
	Segments     int       `json:"segments"`
	DiskBytes    int64     `json:"disk_bytes"`
	TakenBytes   int64     `json:"taken_bytes"` // of the backlog with its headers and pages: what max_size limits
	MaxSize      int64     `json:"max_size"`
	MinFree      int64     `json:"min_free"`
	FreeBytes    int64     `json:"free_bytes"`  // of the spool's file system; -1: not known
	RoomBytes    int64     `json:"room_bytes"`  // what the spool takes until max_size or min_free stops it; -1: not known
	Quarantined  int64     `json:"quarantined"` // chunks set aside since the spool was made
	// By how many bytes per second the backlog grew in the last minutes, and
	// when that fills RoomBytes; in the past, since when the spool is full. Zero:
	// it does not grow, or it is not known yet.
	BacklogGrowth int64     `json:"backlog_growth"`
	FullAt        time.Time `json:"full_at,omitzero"`

	// What [spool] when_full = "drop_oldest" took: in all since the spool was
	// made, and by file since the start.
	DroppedChunks  int64      `json:"dropped_chunks"`
	DroppedRecords int64      `json:"dropped_records"`
	DroppedBytes   int64      `json:"dropped_bytes"` // of records, uncompressed
	Losses         []FileLoss `json:"losses,omitempty"`

	// Positions of files that can't be decoded: those files were read from their start.
	BadPositions int `json:"bad_positions,omitempty"`

	Inputs  []InputStatus `json:"inputs"`
	Uploads UploadStats   `json:"uploads"`
}

// State says in one word how the agent is.
type State string

// The states. Only the first two are healthy.
const (
	StateOK       State = "ok"
	StateStarting State = "starting" // files are being looked for
	StateDegraded State = "degraded" // something is wrong; lines are spooled all the same
	StateStalled  State = "stalled"  // lines wait in their files
)

func (st *Status) state() State {
	switch {
	case len(st.Problems) > 0 && stalls(st.Problems[0].Cause):
		return StateStalled
	case len(st.Problems) > 0:
		return StateDegraded
	case !st.Following:
		return StateStarting
	}
	return StateOK
}

// InputStatus is the part of one input.
type InputStatus struct {
	Name     string    `json:"name"`
	Paused   time.Time `json:"paused,omitzero"`  // since when it is not read
	Blocked  time.Time `json:"blocked,omitzero"` // since when it is not read, as too much of it is in the spool
	Files    int       `json:"files"`
	Open     int       `json:"open"`
	Ignored  int       `json:"ignored"` // not written to for ignore_older
	LagBytes int64     `json:"lag_bytes"`
	LagSince time.Time `json:"lag_since,omitzero"` // since when there are lines that are not durable, without a break
	// Of what is spooled and not acked: bytes, and since when there is some.
	BacklogBytes int64     `json:"backlog_bytes"`
	BacklogSince time.Time `json:"backlog_since,omitzero"`

	Bytes       int64              `json:"bytes"` // spooled
	Records     int64              `json:"records"`
	Parts       int64              `json:"parts"`
	Invalid     int64              `json:"invalid"`
	Empty       int64              `json:"empty"`
	Overflow    int64              `json:"overflow"` // under no partition of their own: more than max_new were begun
	Untimed     int64              `json:"untimed"`  // without a time in time_field: under the time they were read
	Rotations   int64              `json:"rotations"`
	Truncations int64              `json:"truncations"`
	LostBytes   int64              `json:"lost_bytes"`
	SkippedNULs int64              `json:"skipped_nuls"`          // bytes of holes in files
	Removed     int64              `json:"removed"`               // rotated files, as delete_after_ship says
	Errors      []tailer.FileError `json:"errors,omitempty"`      // files that can't be read now, at most 20
	MoreErrors  int                `json:"more_errors,omitempty"` // how many more there are
}

// Status returns what the agent is doing now. Any goroutine may call it. It
// looks at file, intake and spool in the order in which bytes move, so that
// none is overlooked on its way.
func (a *Agent) Status() Status {
	st := a.look()
	st.State = st.state()
	return st
}

func (a *Agent) look() Status {
	c := a.setup.Load().cfg
	st := Status{
		Version: a.o.Version, PID: os.Getpid(), Started: a.started, Host: c.Agent.Host, Bucket: c.S3.Bucket,
		Problems: a.problems(), MaxSize: int64(c.Spool.MaxSize), MinFree: int64(c.Spool.MinFree), FreeBytes: -1, RoomBytes: -1,
	}
	st.Healthy = len(st.Problems) == 0
	st.Uploads, st.Losses = a.uploads.snapshot(), a.losses.list()
	if keys := a.pending.Load(); keys != nil {
		st.NeedsRestart = *keys
	}
	s, past, paused := a.now()
	if s == nil {
		return st
	}
	st.Following, st.BadPositions = isClosed(s.tailer.Ready()), s.tailer.BadPositions()
	for i, t := range s.tailer.Stats() {
		n, sum := s.setup.plans[i].counters, past[t.Name]
		addStats(&t, &sum)
		st.LagBytes += t.Lag
		st.Inputs = append(st.Inputs, InputStatus{
			Name: t.Name, Paused: paused[t.Name], Blocked: s.share.blockedSince(i), Files: t.Files, Open: t.Open, Ignored: t.Ignored, LagBytes: t.Lag, LagSince: earlier(t.Behind, s.intake.waits.since(i)),
			Bytes: n.bytes.Load(), Records: n.records.Load(), Parts: n.parts.Load(), Invalid: n.invalid.Load(), Empty: n.empty.Load(),
			Untimed: n.untimed.Load(), Overflow: n.overflow.Load(),
			Rotations: t.Rotations, Truncations: t.Truncations, LostBytes: t.LostBytes, SkippedNULs: t.SkippedNULs, Removed: t.Removed, Errors: t.Errors, MoreErrors: t.MoreErrors,
		})
	}
	st.LagBytes += s.intake.inFlight.Load()
	st.Overlaps = slices.Clone(s.renamed)
	if twice := s.twice.Load(); twice != nil {
		st.Overlaps = append(st.Overlaps, *twice...)
	}
	st.addSpool(s.spool)
	st.addGrowth(&a.growth, time.Duration(c.Chunk.MaxAge))
	return st
}

// addStats adds what is counted, not what is so now.
func addStats(sum, t *tailer.InputStats) {
	sum.BytesRead += t.BytesRead
	sum.Rotations += t.Rotations
	sum.Truncations += t.Truncations
	sum.LostBytes += t.LostBytes
	sum.Removed += t.Removed
	sum.SkippedNULs += t.SkippedNULs
}

func (st *Status) addSpool(sp *spool.Spool) {
	n := sp.Stats()
	st.Queue, st.BacklogBytes, st.OpenChunks, st.SealedChunks = n.Queue, n.Unacked, n.OpenChunks, n.SealedChunks
	st.Segments, st.DiskBytes, st.TakenBytes, st.Quarantined = n.Segments, n.DiskBytes, n.Taken, n.Quarantined
	st.DroppedChunks, st.DroppedRecords, st.DroppedBytes = n.Dropped.Chunks, n.Dropped.Records, n.Dropped.Bytes
	if st.FreeBytes = n.FreeBytes; st.FreeBytes >= 0 {
		st.RoomBytes = max(0, min(st.MaxSize-n.Taken, st.FreeBytes-st.MinFree))
	}
	inputs := make(map[string]*InputStatus, len(st.Inputs))
	for i := range st.Inputs {
		inputs[st.Inputs[i].Name] = &st.Inputs[i]
	}
	for i, c := range sp.Chunks() { // oldest first
		if i == 0 {
			st.OldestChunk = c.Opened
		}
		if in := inputs[c.Input]; in != nil { // nil: not configured any more
			in.BacklogBytes += c.StoredSize
			in.BacklogSince = earlier(in.BacklogSince, c.Opened)
		}
	}
}

// earlier is the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// FilePosition is how far one file is durable: an element of /positions.
type FilePosition struct {
	Input  string `json:"input"`
	Path   string `json:"path"`
	File   uint64 `json:"file"`
	Offset int64  `json:"offset"`          // bytes
	Error  string `json:"error,omitempty"` // it can't be decoded: nothing but File is known
}

// FilePositions decodes the durable positions of a spool.
func FilePositions(sp *spool.Spool) ([]FilePosition, error) {
	positions, err := sp.Positions()
	if err != nil {
		return nil, err
	}
	list := make([]FilePosition, 0, len(positions))
	for _, p := range positions {
		var pos tailer.Position
		if err := pos.UnmarshalBinary(p.Data); err != nil {
			list = append(list, FilePosition{File: p.File, Error: err.Error()})
			continue
		}
		if pos.Path == "" {
			continue // says that an input's first scan is done
		}
		list = append(list, FilePosition{Input: pos.Input, Path: pos.Path, File: p.File, Offset: pos.Offset})
	}
	return list, nil
}
