// Package audit tells from the keys of a bucket whether all that was spooled
// has arrived: per queue and input the numbers of the chunks run from 1 without
// a gap, each once. It knows keys and bytes, not where they come from.
package audit

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spoolship/spoolship/agent/chunk"
)

// Layout is a kind of keys in a bucket.
type Layout struct {
	Parser *chunk.KeyParser
	Input  string // of keys without {input}
}

// Object is an object whose key was read.
type Object struct {
	chunk.Key
	Name string // the whole key
	Size int64  // in bytes, as stored
}

// Read reads a key by the first of the layouts that knows it. The error is that
// of the last.
func Read(layouts []Layout, name string, size int64) (o Object, err error) {
	for _, l := range layouts {
		var k chunk.Key
		if k, err = l.Parser.Parse(name); err == nil {
			if k.Input == "" {
				k.Input = l.Input
			}
			return Object{k, name, size}, nil
		}
	}
	return Object{}, err
}

// Foreign is a key that no layout made.
type Foreign struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Damage is an object that is not what its key says.
type Damage struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Audit collects what the keys of a bucket say, in any order. Its memory follows the
// number of streams and of the gaps in them, not that of keys: a stream of chunks
// without a gap takes some 500 bytes however long it is. The zero value is empty; one
// goroutine at a time.
type Audit struct {
	streams    map[streamID]*stream
	foreign    []Foreign
	strange    int64
	other      int64 // of them, those of the form of an agent's
	tombstones int   // named
}

// streamID is what chunks are numbered by.
type streamID struct{ input, queue string }

// stream is what is known of the chunks of one input in one queue.
type stream struct {
	records, tombstones runs // numbers that an object of this kind has
	twice, twiceBuried  runs // numbers that two or more have
	hosts               []string
	objects             int64
	bytes               int64
	lines               int64
	from, to            time.Time
	named               []Tombstone
}

// The most that a report names of what there may be any number of. All is counted.
const (
	maxForeign    = 100
	maxTombstones = 10_000
	maxFindings   = 10_000 // gaps, and as many duplicates
	maxHosts      = 20     // of a stream
)

// Add takes an object in.
func (a *Audit) Add(o *Object) {
	s := a.streams[streamID{o.Input, o.Queue}]
	if s == nil {
		if a.streams == nil {
			a.streams = make(map[streamID]*stream)
		}
		s = &stream{}
		a.streams[streamID{strings.Clone(o.Input), strings.Clone(o.Queue)}] = s // not the whole key
	}
	all, twice := &s.records, &s.twice
	if o.Cause != "" {
		all, twice = &s.tombstones, &s.twiceBuried
		if a.tombstones < maxTombstones {
			a.tombstones++
			s.named = append(s.named, Tombstone{Chunk: o.Chunk, Cause: o.Cause, Key: o.Name})
		}
	}
	if !all.add(o.Chunk) {
		twice.add(o.Chunk)
	}
	s.objects++
	s.bytes += o.Size
	s.lines += o.Records
	s.from, s.to = widen(s.from, s.to, o.From, o.To)
	if o.Host != "" && len(s.hosts) < maxHosts && !slices.Contains(s.hosts, o.Host) {
		s.hosts = append(s.hosts, strings.Clone(o.Host))
	}
}

// AddForeign takes in a key that could not be read.
func (a *Audit) AddForeign(name string, reason error) {
	a.strange++
	if agents(name) {
		a.other++
	}
	if len(a.foreign) < maxForeign {
		a.foreign = append(a.foreign, Foreign{name, reason.Error()})
	}
}

// numbers are what every key template has: a queue id or digest, and a chunk number.
var (
	hexNumber   = regexp.MustCompile(`(?:^|[^0-9a-f])[0-9a-f]{16}(?:[^0-9a-f]|$)`)
	chunkNumber = regexp.MustCompile(`(?:^|[^0-9])[0-9]{20}(?:[^0-9]|$)`)
)

// agents reports whether a key has the form that an agent's keys have under any
// template.
func agents(name string) bool {
	return chunkNumber.MatchString(name) && hexNumber.MatchString(name)
}

// Sort sorts objects in the order in which their records were spooled: by input,
// queue and chunk number.
func Sort(objects []Object) {
	slices.SortFunc(objects, func(a, b Object) int {
		return cmp.Or(
			strings.Compare(a.Input, b.Input), strings.Compare(a.Queue, b.Queue),
			cmp.Compare(a.Chunk, b.Chunk), strings.Compare(a.Name, b.Name),
		)
	})
}

// Report is what an audit has found.
type Report struct {
	Complete   bool      `json:"complete"` // no gap, no duplicate, no damage
	Objects    int64     `json:"objects"`  // foreign ones are not counted
	Bytes      int64     `json:"bytes"`    // as stored
	Records    int64     `json:"records"`
	From       time.Time `json:"from,omitzero"` // times of the keys: From <= t < To
	To         time.Time `json:"to,omitzero"`
	Missing    uint64    `json:"missing_chunks"`
	Duplicates uint64    `json:"duplicate_chunks"`
	Tombstones uint64    `json:"tombstones"`
	Streams    []Stream  `json:"streams"` // these name the first 10,000 of each of the three
	// ForeignKeys counts the objects that are not this agent's; Foreign names
	// the first 100 of them.
	ForeignKeys int64     `json:"foreign_keys"`
	Foreign     []Foreign `json:"foreign,omitempty"`
	// OtherTemplates counts those of them that an agent has put under a key template
	// that the audit was not given: their chunks seem to be missing.
	OtherTemplates int64 `json:"other_templates,omitempty"`

	Damage []Damage `json:"damage,omitempty"`

	gaps, duplicates int // that are named
}

// Stream is the chunks of one input in one queue.
type Stream struct {
	Input      string      `json:"input"`
	Queue      string      `json:"queue"`
	Hosts      []string    `json:"hosts,omitempty"`
	Newest     uint64      `json:"newest_chunk"`
	Objects    int64       `json:"objects"`
	Bytes      int64       `json:"bytes"`
	Records    int64       `json:"records"`
	From       time.Time   `json:"from,omitzero"`
	To         time.Time   `json:"to,omitzero"`
	Missing    uint64      `json:"missing_chunks"`
	Gaps       []Gap       `json:"gaps,omitempty"`
	Duplicates []Duplicate `json:"duplicates,omitempty"`
	Tombstones []Tombstone `json:"tombstones,omitempty"`
	State      *Tail       `json:"state,omitempty"` // if the agent's state has this queue
}

// Gap is a run of chunk numbers that are not there.
type Gap struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// The keys next to it, "" at the ends: they say when it was.
	After  string `json:"after,omitempty"`
	Before string `json:"before,omitempty"`

	hole run // the numbers around it that are in no key
}

// Duplicate is a chunk number that two or more objects have.
type Duplicate struct {
	Chunk uint64   `json:"chunk"`
	Keys  []string `json:"keys"` // the first 20

	buried bool // they are tombstones
}

// Tombstone is a chunk whose records are lost, which the agent has reported.
type Tombstone struct {
	Chunk uint64 `json:"chunk"`
	Cause string `json:"cause"` // "dropped" or "damaged"
	Key   string `json:"key"`
	// Arrived says that the chunk's records are there all the same: an attempt
	// whose answer was lost had put them.
	Arrived bool `json:"arrived,omitempty"`
}

// Report returns what was found. states, which may be nil, are the agent's.
func (a *Audit) Report(states []State) *Report {
	byStream := make(map[streamID]State, len(states))
	ids := slices.Collect(maps.Keys(a.streams))
	for _, s := range states {
		id := streamID{s.Input, s.Queue}
		byStream[id] = s
		if a.streams[id] == nil && s.Next > 1 { // nothing of it is in the bucket
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b streamID) int {
		return cmp.Or(strings.Compare(a.input, b.input), strings.Compare(a.queue, b.queue))
	})
	r := &Report{ForeignKeys: a.strange, OtherTemplates: a.other, Foreign: a.foreign}
	for _, id := range ids {
		s := a.streams[id]
		if s == nil {
			s = &stream{}
		}
		state, known := byStream[id]
		r.add(id, s, state, known)
	}
	r.judge()
	return r
}

// AddDamage notes what was found wrong in an object.
func (r *Report) AddDamage(o *Object, reason error) {
	r.Damage = append(r.Damage, Damage{o.Name, reason.Error()})
	r.judge()
}

func (r *Report) judge() {
	r.Complete = r.Missing == 0 && r.Duplicates == 0 && len(r.Damage) == 0
}

// add judges a stream: each number from 1 to the newest has one object of records, or
// a tombstone. Records beside a tombstone arrived before the chunk was dropped: these
// two are no duplicates.
func (r *Report) add(id streamID, found *stream, state State, known bool) {
	present := union(found.records, found.tombstones)
	s := Stream{
		Input: id.input, Queue: id.queue, Hosts: slices.Sorted(slices.Values(found.hosts)), Newest: present.last(),
		Objects: found.objects, Bytes: found.bytes, Records: found.lines, From: found.from, To: found.to,
		Tombstones: found.named,
	}
	end := s.Newest
	if known {
		end = max(end, max(state.Next, 1)-1)
		s.State = state.tail(s.Newest)
	}
	for _, hole := range present.gaps(end) {
		r.gap(&s, hole, state.Waiting)
	}
	r.twice(&s, found.twice, false)
	r.twice(&s, found.twiceBuried, true)
	for i := range s.Tombstones {
		s.Tombstones[i].Arrived = found.records.has(s.Tombstones[i].Chunk)
	}
	slices.SortFunc(s.Tombstones, func(a, b Tombstone) int {
		return cmp.Or(cmp.Compare(a.Chunk, b.Chunk), strings.Compare(a.Key, b.Key))
	})
	r.Streams = append(r.Streams, s)
	r.Objects += s.Objects
	r.Bytes += s.Bytes
	r.Records += s.Records
	r.From, r.To = widen(r.From, r.To, s.From, s.To)
	r.Tombstones = plus(r.Tombstones, found.tombstones.len())
}

// gap notes the numbers of a hole that are not there, but for those that the agent
// still has.
func (r *Report) gap(s *Stream, hole run, waiting []uint64) {
	missing := func(first, last uint64) {
		r.Missing = plus(r.Missing, last-first+1)
		s.Missing = plus(s.Missing, last-first+1)
		if r.gaps++; r.gaps <= maxFindings {
			s.Gaps = append(s.Gaps, Gap{First: first, Last: last, hole: hole})
		}
	}
	first := hole.first
	i, _ := slices.BinarySearch(waiting, first)
	for _, n := range waiting[i:] { // ascending
		if n > hole.last {
			break
		}
		if n > first {
			missing(first, n-1)
		}
		first = n + 1
	}
	if first <= hole.last {
		missing(first, hole.last)
	}
}

// twice notes the numbers that more than one object has, of records or tombstones.
func (r *Report) twice(s *Stream, numbers runs, buried bool) {
	r.Duplicates = plus(r.Duplicates, numbers.len())
	for _, x := range numbers {
		for n := x.first; n <= x.last && r.duplicates < maxFindings; n++ {
			r.duplicates++
			s.Duplicates = append(s.Duplicates, Duplicate{Chunk: n, buried: buried})
		}
	}
}

// widen makes [from, to) hold [a, b) too.
func widen(from, to, a, b time.Time) (time.Time, time.Time) {
	if !a.IsZero() && (from.IsZero() || a.Before(from)) {
		from = a
	}
	if b.After(to) {
		to = b
	}
	return from, to
}
