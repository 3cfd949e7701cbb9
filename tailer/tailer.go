package tailer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/bmatcuk/doublestar/v4"
)

// Span is a run of one file's bytes, cut at record borders, and the position
// after it. All of it is valid only during the call it is handed to.
type Span struct {
	Input int    // index into Options.Inputs
	File  uint64 // id of the file
	Path  string // path it was found under

	From, To int64 // bytes [From, To) of the file
	// Data is those bytes: whole lines, each with its newline, except that the
	// first may continue a line that earlier spans cut (Part > 0), the last may
	// be cut (Cut), and the last of a rotated or deleted file may have no
	// newline. With Input.Stream, read its items for lines. Empty: only the position is news.
	Data []byte
	Part int // number of the part that Data starts with; 0: a line's start
	// Cut: Data ends within a line, at a part border: parts start at multiples
	// of MaxLineSize from the line's start. The line goes on with a byte that
	// is not its newline.
	Cut bool
	// Apart: Data begins an event (Input.Events), though the bytes before it may
	// look as if they went on with it.
	Apart bool

	Position []byte // encoded Position after the span
}

// Handler takes what a tailer reads. Its methods are called by one goroutine,
// in read order, and block while there is no room. An error ends Run.
type Handler interface {
	// Span takes lines and the position after them, or (no Data) the position
	// of a file that is new, moved to another inode or path, or finished. A
	// file is followed from its first span on, which has no Data.
	Span(ctx context.Context, s *Span) error
	// Forget says that a file's position is not needed any more.
	Forget(ctx context.Context, file uint64) error
	// Idle says that there is nothing more to read for now.
	Idle(ctx context.Context) error
}

// Input is what to follow.
type Input struct {
	Name       string
	Include    []string // absolute doublestar patterns
	Exclude    []string
	StartAtEnd bool // files that exist at the first start are followed from their end
	// IgnoreOlder: what was not written to for that long is not followed before
	// it is, unless it is a younger generation of a followed file; 0: all is.
	IgnoreOlder time.Duration
	Paused      bool // files are followed, but not read
	// ByContent: inode numbers mean nothing, as on some network file systems. A file
	// is what is under its path as long as that has the bytes that were read of it;
	// where else they are, contents tell. Hard links are files of their own then.
	ByContent bool
	// DeleteAfter: a rotated file is deleted once it was not written to for that
	// long and Options.Delivered has it; 0: never.
	DeleteAfter time.Duration
	Links       LinkPolicy
	MaxLineSize int // bytes; a longer line is cut into parts of exactly this size; 0 means 1 MiB

	// Events returns how many of the whole lines it is given, which begin with
	// the start of an event, are whole events. nil: each line is one. Spans are
	// cut where events end, but an event longer than MaxLineSize at the last line
	// before that.
	Events    func(lines []byte) int
	EventWait time.Duration // an event that may go on is handed on once it is held for this long; 0 means 5 s

	// Stream, if set, takes the place of lines, and of Events: it returns how much
	// of the bytes it is given is whole, newlines or not. What is longer than
	// MaxLineSize is cut into parts as a line is; inside says that the bytes begin
	// within such. More bytes behind them must not make less of them whole.
	Stream func(data []byte, inside bool) int
	// Objects, with Stream, has whole lines of what goes on handed on after
	// EventWait, as with Events.
	Objects bool
	// Unwrap, if set, takes lines out of those of the file, where several streams
	// share it. It fills in the results of w.
	Unwrap func(w *Wrapped)
	// Mark is left out where a file begins with it: a byte order mark.
	Mark []byte
	// Unit is how many bytes characters have at least, 0 means 1: where the tailer
	// itself says where bytes end, it is at a multiple of it.
	Unit int

	// Fit returns how many of the next bytes of the file at path are enough for
	// one span, at least one: the lines of few bytes may become many. A span has
	// more only where the first line, or event, does. nil: all.
	Fit func(path string, data []byte) int
}

// Wrapped is a run of lines and what Input.Unwrap makes of them: items, of which
// each has ended, though it may have begun before these lines. What has not is
// held: as the carry of the file's position, so that it outlives a crash, the file,
// and, where it is rotated, goes on in the next generation; or in the file, if
// that is all that comes there.
type Wrapped struct {
	Lines []byte // with their newlines, which the last may lack with All
	From  int64  // offset of Lines[0] in the file
	Part  int    // number of the part that Lines begins with; 0: a line's start
	Cut   bool   // Lines ends within a line, see Span
	More  bool   // the file has more than Lines
	Carry []byte // Next of the call before
	Now   int64  // ns since 1970
	Wait  int64  // ns: what is held for longer is not held any more
	All   bool   // nothing is held: no more will come
	Take  bool   // all of Lines is taken

	// Results. Items and Next are appended to.
	Items []byte
	Next  []byte
	Taken int   // bytes of Lines that need not come again
	Since int64 // since when the oldest text in Next is held, ns since 1970; 0: there is none
}

// Options configure a tailer.
type Options struct {
	Inputs        []Input
	Positions     [][]byte      // durable positions, as Span.Position had them
	Open          OpenFiles     // of an earlier tailer; the new one owns them
	KeepOpen      bool          // files stay open after Run, for Release
	NextFile      uint64        // first free file id
	ScanInterval  time.Duration // whether names have changed, in case an event was missed; 0 means 10 s
	PollInterval  time.Duration // look at open files when there are no events, at all files without inotify; 0 means 1 s
	RotateWait    time.Duration // how long candidates must be unchanged before loss is declared; 0 means 5 s
	CloseInactive time.Duration // 0 means 1 min
	MaxOpenFiles  int           // 0 means 512; exceeded only by files that no name leads to, and by compressed ones being read
	Once          bool          // Run returns nil once everything that is there has been read
	FlushPartial  bool          // with Once: the last line without newline is handed on too
	Poll          bool          // do without inotify
	// Private are files, and directories with all files directly in them, that are
	// never followed by any name: those of the agent and its secrets. Nor is what
	// the kernel makes up, as in /proc.
	Private []string
	Logger  *slog.Logger // nil: nothing is logged

	// Delivered returns those of an input's finished files of which every byte has
	// arrived where it cannot be lost any more. Run's goroutine calls it, at most
	// once a scan and input. nil: nothing is deleted.
	Delivered func(input int, files []uint64) []uint64

	// Blocked, if set, reports whether an input is not to be read just now: it is as
	// if it were paused. Run's goroutine asks before each block of a file, and again
	// within PollInterval; with Once it waits for the end of that.
	Blocked func(input int) bool

	// Pulse, if set, is called by Run's goroutine: with true before each piece of
	// work, a block of a file or a directory, and with false before waiting for
	// something to happen. Calls of the handler are work.
	Pulse func(working bool)

	// Hook, if set, is called with the name of each step that changes a file's
	// name, after it. An error is as good as a crash there.
	Hook func(step string) error
}

// Tailer follows the files of all inputs. Run owns all of it but the figures.
type Tailer struct {
	o        Options
	h        Handler
	log      *slog.Logger
	inputs   []*input
	boot     [16]byte
	booted   int64  // when that was, Unix ns; 0: unknown
	next     uint64 // next file id
	buf      []byte // one turn's bytes: anchor, then data
	scratch  []byte // for comparing contents
	items    []byte // of the span being handed on
	carry    []byte // of its position
	encoded  []byte // the position of the span being handed on
	ready    chan struct{}
	watch    *watcher
	queue    []*file // files that may have something to read
	blocked  bool    // some of them were not read in the last round, as their input was blocked
	tended   map[*file]struct{}
	open     lru
	streams  int       // compressed files being read
	surveys  []*survey // under way
	surveyed uint64    // turns that surveys had
	sight    sight
	private  private

	maxDone      int // finished files that an input remembers
	now          func() time.Time
	openFD       func(path string) (int, error)
	flushing     bool      // with Once: nothing is held any more
	fed          bool      // something was read since the last rest
	asked        bool      // something happened that needs a scan
	scanAt       time.Time // a scan in full is not done before; glances are
	scanned      time.Time // beginning of the last scan or glance
	verified     time.Time // beginning of the last scan
	polled       time.Time
	badPositions int

	reaches  chan *reach
	reaching []*reach
	over     chan struct{} // closed when Run ends
	left     []Unread      // see Left

	phase  uint64    // odd during a scan, even between two
	wakeAt time.Time // a decision is pending until then; zero: none
}

// quantum is how much is read of one file in a turn, unless MaxLineSize needs more.
const quantum = 1 << 20

// New checks the positions and returns a tailer; nothing is opened yet. One that
// can't be decoded is set aside, see BadPositions: it must not keep the files of
// all others from being read.
// Positions of inputs that are not configured, or of paths that no pattern
// matches any more, are left alone.
func New(o Options, h Handler) (*Tailer, error) {
	o.ScanInterval = cmpOr(o.ScanInterval, 10*time.Second)
	o.PollInterval = cmpOr(o.PollInterval, time.Second)
	o.RotateWait = cmpOr(o.RotateWait, 5*time.Second)
	o.CloseInactive = cmpOr(o.CloseInactive, time.Minute)
	o.MaxOpenFiles = cmpOr(o.MaxOpenFiles, 512)
	t := &Tailer{
		o: o, h: h, log: o.Logger, boot: bootID(), booted: bootTime(), next: max(o.NextFile, 1),
		scratch: make([]byte, 256<<10), ready: make(chan struct{}),
		reaches: make(chan *reach), over: make(chan struct{}),
		tended: map[*file]struct{}{}, sight: sight{dirs: map[string]stamp{}}, maxDone: 100_000, now: time.Now, openFD: openRead,
		private: private{paths: o.Private},
	}
	if t.o.Pulse == nil {
		t.o.Pulse = func(bool) {}
	}
	if t.o.Hook == nil {
		t.o.Hook = func(string) error { return nil }
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	for i, in := range o.Inputs {
		in.MaxLineSize, in.EventWait, in.Unit = cmpOr(in.MaxLineSize, 1<<20), cmpOr(in.EventWait, 5*time.Second), cmpOr(in.Unit, 1)
		if err := validate(&in); err != nil {
			o.Open.Close()
			return nil, err
		}
		t.inputs = append(t.inputs, newInput(i, in))
	}
	t.buf = make([]byte, anchorSize+quantum)
	t.o.Positions = nil // they are as large as what becomes of them
	err := t.load(o.Positions)
	t.o.Open.Close() // what nobody wants
	if err != nil {
		t.Release().Close()
	}
	return t, err
}

func cmpOr[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

func validate(in *Input) error {
	for _, p := range slices.Concat(in.Include, in.Exclude) {
		if !doublestar.ValidatePattern(p) {
			return fmt.Errorf("input %s: pattern %q is malformed: check its brackets and braces", in.Name, p)
		}
		if !filepath.IsAbs(p) {
			return fmt.Errorf("input %s: pattern %q is relative: start it with /", in.Name, p)
		}
	}
	return nil
}

// load makes files of the positions, oldest first.
func (t *Tailer) load(positions [][]byte) error {
	byName := map[string]*input{}
	for _, in := range t.inputs {
		byName[in.Name] = in
	}
	all, lenders := make([]Position, 0, len(positions)), map[uint64]bool{}
	var bad error
	for i, b := range positions {
		var p Position
		if err := p.UnmarshalBinary(b); err != nil {
			t.badPositions++
			if bad == nil {
				bad = fmt.Errorf("position %d of %d: %w", i+1, len(positions), err)
			}
			continue
		}
		t.next = max(t.next, p.File+1)
		lenders[p.Lender] = true
		all = append(all, p)
	}
	switch {
	case bad == nil:
	case errors.Is(bad, errFormat) && len(all) == 0: // another program's, not damage
		return bad
	default:
		t.log.Error("positions can't be read: their files count as new, and are read from their start", "positions", t.badPositions, "error", bad,
			"hint", "the other files go on where they were; restore the state directory if this comes back")
	}
	slices.SortFunc(all, func(a, b Position) int { return compare(a.File, b.File) })
	linked := homesOfLinks(all, byName)
	for i := range all {
		p := all[i]
		if lenders[p.File] {
			p.Carry = nil
		}
		in := byName[p.Input]
		switch {
		case i > 0 && p.File == all[i-1].File:
			t.badPositions++
			t.log.Error("two positions name the same file, the second is set aside", "file", p.File, "path", p.Path)
		case in == nil:
		case p.Path == "":
			in.started = true
		case p.Done || in.matches(p.Path) || in.matches(homeOf(p.Path)) || linked[home{in, homeOf(p.Path)}]:
			t.restore(in, p)
		}
	}
	for _, in := range t.inputs {
		in.started = in.started || !in.StartAtEnd
	}
	return nil
}

// home is where the files of one family of an input are written.
type home struct {
	in   *input
	path string
}

// homesOfLinks are the homes that wanted links lead to, or led to: generations
// that were found there under rotated names have no path that is wanted.
func homesOfLinks(all []Position, byName map[string]*input) map[home]bool {
	homes := map[home]bool{}
	for i := range all {
		p := &all[i]
		if in := byName[p.Input]; in != nil && p.Real != "" && in.matches(p.Path) {
			homes[home{in, homeOf(p.Real)}] = true
		}
	}
	return homes
}

func (t *Tailer) restore(in *input, p Position) {
	p.Input = in.Name // one copy in memory is enough
	f := &file{in: in, pos: p, fd: -1, size: p.Size, mtime: p.Mtime, ctime: p.Ctime, active: t.now()}
	f.name = cmp.Or(p.Real, p.Path)
	f.fam = in.family(homeOf(f.name))
	f.fam.restored = true
	if n := len(p.Carry); n > 0 && in.Unwrap == nil {
		f.pos.Carry = nil
		in.lost.Add(int64(n))
		t.log.Warn("a piece of a line is lost: lines of this input are not of containers any more", "input", in.Name, "path", p.Path, "bytes", n)
	}
	if f.held = len(f.pos.Carry) > 0; f.held {
		f.heldAt = t.now()
		t.tended[f] = struct{}{}
	}
	if p.Done {
		f.fam.done = append(f.fam.done, f)
		in.done = append(in.done, f)
	} else {
		f.fam.live = append(f.fam.live, f)
		in.files.Add(1)
		in.lag.Add(max(0, f.size-p.Offset))
		t.adopt(f)
	}
	t.index(f)
}

// Ready is closed once the first scan is done and its files are followed.
func (t *Tailer) Ready() <-chan struct{} { return t.ready }

// BadPositions returns how many of Options.Positions could not be decoded. Their
// files count as new.
func (t *Tailer) BadPositions() int { return t.badPositions }

// InputStats are the figures of one input.
type InputStats struct {
	Name    string
	Files   int   // followed
	Open    int   // with an open descriptor
	Ignored int   // not written to for IgnoreOlder, as the last scan found
	Lag     int64 // bytes in files and not yet read
	// Since when files that may have grown are known and not read to their end,
	// without a break; zero if there are none. Files that can't be read, or of
	// which it is not known yet what happened to them, do not count.
	Behind                 time.Time
	BytesRead              int64
	Rotations, Truncations int64
	LostBytes              int64       // bytes known to have been destroyed unread
	SkippedNULs            int64       // bytes of holes that truncations left
	Removed                int64       // rotated files deleted, see Input.DeleteAfter
	Errors                 []FileError // files that can't be read now, at most 20
	MoreErrors             int         // how many more there are
}

// FileError is a file that can't be read, and what to do about it.
type FileError struct {
	Path, Problem, Hint string
}

// Stats returns the figures of all inputs. It may be called by any goroutine.
func (t *Tailer) Stats() []InputStats {
	all := make([]InputStats, len(t.inputs))
	for i, in := range t.inputs {
		all[i] = in.snapshot(&in.mu)
	}
	return all
}

func (in *input) snapshot(mu *sync.Mutex) InputStats {
	mu.Lock()
	defer mu.Unlock()
	var problems []FileError
	for _, path := range slices.Sorted(maps.Keys(in.problems)) {
		problems = append(problems, in.problems[path].FileError)
	}
	var behind time.Time
	if ns := in.behind.Load(); ns != 0 {
		behind = time.Unix(0, ns)
	}
	return InputStats{
		Behind: behind,
		Name:   in.Name, Files: int(in.files.Load()), Open: int(in.open.Load()), Ignored: int(in.ignored.Load()), Lag: in.lag.Load(),
		BytesRead: in.read.Load(), Rotations: in.rotations.Load(), Truncations: in.truncations.Load(),
		LostBytes: in.lost.Load(), SkippedNULs: in.nuls.Load(), Removed: in.removed.Load(), Errors: problems, MoreErrors: len(in.others),
	}
}
