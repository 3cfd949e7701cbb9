package s3dev

import (
	"math/rand/v2"
	"time"
)

// Kind is one way in which a PUT fails.
type Kind int

// The kinds. Only LostAnswer and EarlyExists leave the object in the bucket.
const (
	None         Kind = iota
	SlowDown          // 503 with Retry-After: 0, sometimes 1
	Hang              // takes the body, is silent for a while, then cuts the connection
	CutBefore         // takes the body, then cuts the connection; nothing is stored
	LostAnswer        // stores the object, then cuts the connection
	ResetMidBody      // resets the connection when half of the body is read
	EarlyExists       // conditional PUT of an existing key: 412 before the body is read, then a reset
	kinds
)

func (k Kind) String() string {
	return [kinds]string{"none", "503", "hang", "cut-before", "lost-answer", "reset-mid-body", "early-412"}[k]
}

// Faults is a schedule: what happens to the n-th PUT depends on Seed and n
// only, never on time.
type Faults struct {
	Seed uint64
	Rate float64       // share of the PUTs that fail, 0 to 1
	Hang time.Duration // the longest silence of Hang
}

// fault is one drawn fault with its parameters.
type fault struct {
	kind       Kind
	hang       time.Duration
	retryAfter int // seconds
}

// draw decides about the n-th PUT. exists says that it is conditional and the
// key is stored already: only then can an early 412 happen.
func (f *Faults) draw(n uint64, exists bool) fault {
	if f == nil {
		return fault{}
	}
	r := rand.New(rand.NewPCG(f.Seed, n))
	if r.Float64() >= f.Rate {
		return fault{}
	}
	d := fault{kind: Kind(1 + r.IntN(int(kinds)-1)), hang: f.Hang/2 + time.Duration(r.Float64()*float64(f.Hang/2))}
	if r.IntN(8) == 0 {
		d.retryAfter = 1
	}
	if d.kind == EarlyExists && !exists {
		d.kind = LostAnswer
	}
	return d
}
