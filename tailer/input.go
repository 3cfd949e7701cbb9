package tailer

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func compare[T cmp.Ordered](a, b T) int { return cmp.Compare(a, b) }

// input is an Input at work.
type input struct {
	Input
	index    int
	families map[string]*family // by home path
	byInode  map[inode]*file
	names    map[string]*file  // by the names that events have
	done     []*file           // finished files, oldest first
	stays    map[inode]stay    // siblings that may be copies, as the last scan saw them
	staying  map[inode]stay    // the same for the scan that is under way
	surveys  map[inode]*survey // of compressed files
	warned   map[string]bool
	started  bool // the first scan is done: new files are read from their start

	ignoring int64 // files that the scan under way has ignored so far

	ignored, files, open, lag, read, rotations, truncations, lost, nuls, removed atomic.Int64

	behind atomic.Int64 // ns since 1970, see InputStats.Behind; 0: not behind

	mu       sync.Mutex
	problems map[string]problem // by path, at most shown
	others   map[uint64]uint64  // the rest, by a hash of the path, with problem.noted
	said     map[string]*said   // by message
}

// shown is how many files of an input are named at most, in the log per minute and
// message, and in the figures; the rest is a number. Whoever may write to a
// watched directory can make any number of names.
const shown = 20

// said counts the lines of one message.
type said struct {
	since time.Time
	lines int // since then, with those that were left out
	told  int // how many of these were told of
}

// say logs a message about one of an input's files.
func (t *Tailer) say(level slog.Level, in *input, message string, args ...any) {
	s := in.said[message]
	if s == nil {
		s = &said{since: t.now()}
		in.said[message] = s
	}
	if t.now().Sub(s.since) >= time.Minute {
		t.sayRest(in, message, s)
		*s = said{since: t.now()}
	}
	if s.lines++; s.lines <= shown {
		t.log.Log(context.Background(), level, message, append([]any{"input", in.Name}, args...)...)
	}
}

// sayRest logs how many more lines of a message there were.
func (t *Tailer) sayRest(in *input, message string, s *said) {
	if rest := s.lines - shown; rest > s.told {
		s.told = rest
		t.log.Warn("more files of an input with the same message are not named", "input", in.Name, "message", message, "files", rest)
	}
}

// sayRests does it for all messages that have gathered many since it was done last.
func (t *Tailer) sayRests(in *input) {
	for message, s := range in.said {
		if s.lines-shown > 2*s.told {
			t.sayRest(in, message, s)
		}
	}
}

// problem is what the figures say of a file that can't be read.
type problem struct {
	FileError
	noted uint64 // Tailer.phase when it was last met
}

// family is all that is written under one path: the file there now and its
// earlier generations.
type family struct {
	home     string
	live     []*file // by id: oldest first
	done     []*file
	seen     []*seen // what the last scan found: at home, then siblings, oldest first
	restored bool    // it was followed before this start
	pending  bool    // of some file it is not known yet what happened to it
}

// stay is how long something has looked the same.
type stay struct {
	sum     uint64
	since   time.Time
	settled bool // it holds nothing unread as long as it looks the same
}

func newInput(index int, in Input) *input {
	return &input{
		Input: in, index: index,
		families: map[string]*family{}, byInode: map[inode]*file{}, names: map[string]*file{},
		stays: map[inode]stay{}, staying: map[inode]stay{},
		surveys: map[inode]*survey{},
		warned:  map[string]bool{}, problems: map[string]problem{},
		others: map[uint64]uint64{}, said: map[string]*said{},
	}
}

// stat is statPath with the identity that this input goes by.
func (in *input) stat(path string) (info, error) {
	i, err := statPath(path)
	in.identify(&i, path)
	return i, err
}

// statFD is stat of a file that was opened under path.
func (in *input) statFD(fd int, path string) (info, error) {
	i, err := statFD(fd)
	in.identify(&i, path)
	return i, err
}

// identify replaces the inode of i where that means nothing.
func (in *input) identify(i *info, path string) {
	if in.ByContent {
		i.id, i.born = inode{dev: byPath, ino: hashOf(path) | 1}, 0
	}
}

func (in *input) family(home string) *family {
	f := in.families[home]
	if f == nil {
		f = &family{home: home}
		in.families[home] = f
	}
	return f
}

// problem notes that path can't be read, which is tried again at the next scan;
// it is logged when it is news.
func (t *Tailer) problem(in *input, path string, err error) {
	t.sight.open = true
	e := FileError{Path: path, Problem: reason(err), Hint: hint(err)}
	if in.note(e, t.phase) {
		t.say(slog.LevelWarn, in, "can't read a file, will retry", "path", path, "error", e.Problem, "hint", e.Hint)
	}
}

// note adds e to the problems. It reports whether it is news.
func (in *input) note(e FileError, phase uint64) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	h := hashOf(e.Path)
	_, counted := in.others[h]
	old, known := in.problems[e.Path]
	if !known && len(in.problems) >= shown {
		in.others[h] = phase
		return !counted
	}
	delete(in.others, h)
	in.problems[e.Path] = problem{e, phase}
	return !counted && old.FileError != e
}

func hashOf(path string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, path)
	return h.Sum64()
}

// solved takes back what problem noted.
func (t *Tailer) solved(in *input, path string) {
	in.mu.Lock()
	_, known := in.problems[path]
	delete(in.problems, path)
	if len(in.others) > 0 {
		h := hashOf(path)
		_, counted := in.others[h]
		known = known || counted
		delete(in.others, h)
	}
	in.mu.Unlock()
	if known {
		t.say(slog.LevelInfo, in, "the file can be read again", "path", path)
	}
}

// solveOld takes back what neither the scan that ends now met nor a turn
// since the one before.
func (t *Tailer) solveOld(in *input) {
	var old []string
	in.mu.Lock()
	for path, p := range in.problems {
		if p.noted+1 < t.phase {
			old = append(old, path)
		}
	}
	maps.DeleteFunc(in.others, func(_, noted uint64) bool { return noted+1 < t.phase })
	in.mu.Unlock()
	for _, path := range old {
		if _, err := os.Lstat(path); err == nil {
			t.solved(in, path)
			continue
		}
		in.mu.Lock()
		delete(in.problems, path)
		in.mu.Unlock()
	}
}

func reason(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no.Error()
	}
	return err.Error()
}

func hint(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "let the agent's user read the file and enter its directory, for example with setfacl, or add it to the file's group"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "raise LimitNOFILE of the service, or lower the number of open files"
	case errors.Is(err, errUnfinished):
		return "let it be completed; what is before was read"
	case errors.Is(err, errDamaged):
		return "put an undamaged copy in its place; what is before the damage was read"
	case errors.Is(err, errMisnamed):
		return "name it as what it is, or exclude it"
	case errors.Is(err, errWaiting):
		return "let its rotated copy be completed, or move files that are no copies of it, but begin like it, elsewhere"
	case errors.Is(err, errInodes):
		return "set identity = \"fingerprint\" for this input"
	case errors.Is(err, errHeld):
		return "let the agent's user read the rotated copies beside it, or move what is none elsewhere"
	case errors.Is(err, errPrivate):
		return "remove the link, and see who may write to its directory"
	case errors.Is(err, syscall.ELOOP):
		return "remove the loop of symbolic links"
	}
	return "check the file system the file is on"
}

// warnOnce logs a warning the first time it is given.
func (t *Tailer) warnOnce(in *input, key, message string, args ...any) {
	if !in.warned[key] {
		in.warned[key] = true
		t.log.Warn(message, append([]any{"input", in.Name}, args...)...)
	}
}
