// Package audit tells from the keys of a bucket whether all that was spooled
// has arrived: per queue and input the numbers of the chunks run from 1 without
// a gap, each once. It knows keys and bytes, not where they come from.
package audit

import (
	"cmp"
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

// maxForeign bounds how many foreign keys a report names; it counts them all.
const maxForeign = 100

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

// Audit collects the keys of a bucket. It keeps them all: about 300 bytes for
// each. The zero value is empty; one goroutine.
type Audit struct {
	objects []Object
	foreign []Foreign
	strange int64
	damage  []Damage
}

// Add takes an object in.
func (a *Audit) Add(o Object) { a.objects = append(a.objects, o) }

// AddForeign takes in a key that could not be read.
func (a *Audit) AddForeign(name string, reason error) {
	a.strange++
	if len(a.foreign) < maxForeign {
		a.foreign = append(a.foreign, Foreign{name, reason.Error()})
	}
}

// AddDamage notes what was found wrong in an object.
func (a *Audit) AddDamage(o Object, reason error) {
	a.damage = append(a.damage, Damage{o.Name, reason.Error()})
}

// Foreign returns how many keys could not be read.
func (a *Audit) Foreign() int64 { return a.strange }

// Objects returns all objects in the order in which their records were spooled:
// by input, queue and chunk number.
func (a *Audit) Objects() []Object {
	slices.SortFunc(a.objects, func(a, b Object) int {
		return cmp.Or(
			strings.Compare(a.Input, b.Input), strings.Compare(a.Queue, b.Queue),
			cmp.Compare(a.Chunk, b.Chunk), strings.Compare(a.Name, b.Name),
		)
	})
	return a.objects
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
	Duplicates int       `json:"duplicate_chunks"`
	Tombstones int       `json:"tombstones"`
	Streams    []Stream  `json:"streams"`
	// ForeignKeys counts the objects that are not this agent's; Foreign names
	// the first 100 of them.
	ForeignKeys int64     `json:"foreign_keys"`
	Foreign     []Foreign `json:"foreign,omitempty"`
	Damage      []Damage  `json:"damage,omitempty"`
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
}

// Duplicate is a chunk number that two or more objects have.
type Duplicate struct {
	Chunk uint64   `json:"chunk"`
	Keys  []string `json:"keys"`
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

// Report says what was found. states, which may be nil, are the agent's.
func (a *Audit) Report(states []State) *Report {
	r := &Report{ForeignKeys: a.strange, Foreign: a.foreign, Damage: a.damage}
	objects := a.Objects()
	byStream := make(map[[2]string]State, len(states))
	for _, s := range states {
		byStream[[2]string{s.Input, s.Queue}] = s
	}
	for len(objects) > 0 {
		n := 1
		for n < len(objects) && objects[n].Input == objects[0].Input && objects[n].Queue == objects[0].Queue {
			n++
		}
		id := [2]string{objects[0].Input, objects[0].Queue}
		state, known := byStream[id]
		delete(byStream, id)
		r.add(stream(objects[:n], state, known))
		objects = objects[n:]
	}
	for _, s := range states { // of which nothing is in the bucket
		if _, left := byStream[[2]string{s.Input, s.Queue}]; left && s.Next > 1 {
			r.add(stream(nil, s, true))
		}
	}
	r.Complete = r.Missing == 0 && r.Duplicates == 0 && len(r.Damage) == 0
	return r
}

func (r *Report) add(s Stream) {
	r.Streams = append(r.Streams, s)
	r.Objects += s.Objects
	r.Bytes += s.Bytes
	r.Records += s.Records
	r.From, r.To = widen(r.From, r.To, s.From, s.To)
	for _, g := range s.Gaps {
		r.Missing += g.Last - g.First + 1
	}
	r.Duplicates += len(s.Duplicates)
	r.Tombstones += len(s.Tombstones)
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

// stream looks at the objects of one stream, sorted by chunk number.
func stream(objects []Object, state State, known bool) Stream {
	s := Stream{Input: state.Input, Queue: state.Queue}
	hosts := map[string]bool{}
	next, before := uint64(1), ""
	for len(objects) > 0 {
		o := objects[0]
		s.Input, s.Queue = o.Input, o.Queue
		s.gap(next, o.Chunk, before, o.Name, state.Waiting)
		n := 0
		for n < len(objects) && objects[n].Chunk == o.Chunk {
			s.count(&objects[n], hosts)
			n++
		}
		s.chunk(objects[:n])
		s.Newest, next, before = o.Chunk, o.Chunk+1, objects[n-1].Name
		objects = objects[n:]
	}
	delete(hosts, "")
	for h := range hosts {
		s.Hosts = append(s.Hosts, h)
	}
	slices.Sort(s.Hosts)
	if known {
		s.gap(next, state.Next, before, "", state.Waiting)
		s.State = state.tail(s.Newest)
	}
	return s
}

// gap notes the numbers from first up to end that are not there, but for those
// that the agent still has.
func (s *Stream) gap(first, end uint64, after, before string, waiting []uint64) {
	for _, n := range waiting { // ascending
		if n >= first && n < end {
			if n > first {
				s.Gaps = append(s.Gaps, Gap{first, n - 1, after, before})
			}
			first = n + 1
		}
	}
	if first < end {
		s.Gaps = append(s.Gaps, Gap{first, end - 1, after, before})
	}
}

// count adds an object to the sums.
func (s *Stream) count(o *Object, hosts map[string]bool) {
	s.Objects++
	s.Bytes += o.Size
	s.Records += o.Records
	s.From, s.To = widen(s.From, s.To, o.From, o.To)
	hosts[o.Host] = true
}

// chunk judges the objects of one number. Records beside a tombstone arrived
// before the chunk was dropped: these are no duplicates.
func (s *Stream) chunk(objects []Object) {
	var names, tombs []string
	for i := range objects {
		if objects[i].Cause == "" {
			names = append(names, objects[i].Name)
		} else {
			tombs = append(tombs, objects[i].Name)
		}
	}
	for _, list := range [][]string{names, tombs} {
		if len(list) > 1 {
			s.Duplicates = append(s.Duplicates, Duplicate{objects[0].Chunk, list})
		}
	}
	for i := range objects {
		if o := &objects[i]; o.Cause != "" {
			s.Tombstones = append(s.Tombstones, Tombstone{o.Chunk, o.Cause, o.Name, len(names) > 0})
		}
	}
}
