package tailer

import (
	"bytes"
	"hash/crc32"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func samplePosition() Position {
	p := Position{File: 7, Input: "app", Path: "/l/a.log", Real: "/m/a.log", Boot: [16]byte{1, 2}, Dev: 3, Ino: 4, Owner: 1000,
		Born: 5, Began: 6, First: 5, Since: -6, Left: 8, Size: 4000, Part: 2, Holed: true, Done: true, Lost: true}
	p.advance(bytes.Repeat([]byte("some line\n"), 300), 1)
	return p
}

func TestPositionRoundTrip(t *testing.T) {
	for _, want := range []Position{samplePosition(), {File: 1, Input: "app"},
		{File: 2, Size: math.MaxInt64, Offset: math.MaxInt64, Base: math.MaxInt64 - baseSize, Anchor: make([]byte, anchorSize), Marks: []Mark{{math.MaxInt64, 1}}}} {
		b, err := want.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got Position
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if again, _ := got.MarshalBinary(); !bytes.Equal(again, b) {
			t.Errorf("encoded again:\n%x\nwant\n%x", again, b)
		}
		if len(want.Anchor) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
		for n := range b {
			if err := got.UnmarshalBinary(b[:n]); err == nil {
				t.Errorf("%d of %d bytes were accepted", n, len(b))
			}
		}
		if err := got.UnmarshalBinary(append(b, 0)); err == nil {
			t.Error("a surplus byte was accepted")
		}
	}
}

func TestPositionVersion(t *testing.T) {
	p := samplePosition()
	b, _ := p.MarshalBinary()
	b[0] = 2
	if err := p.UnmarshalBinary(b); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("a newer format gave %v", err)
	}
}

// One bad position costs its own file nothing but a second reading, and others
// nothing at all.
func TestBadPosition(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"cut off":        func(b []byte) []byte { return b[:len(b)-1] },
		"empty":          func([]byte) []byte { return nil },
		"another format": func(b []byte) []byte { return append([]byte{9}, b[1:]...) },
		"unknown flag":   func(b []byte) []byte { return append([]byte{b[0], 0x80}, b[2:]...) },
		"another file's": nil,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "*.log")
			f.append("a.log", "one\n")
			f.append("b.log", "two\n")
			f.step()
			f.kill()
			f.append("b.log", "three\n")
			f.o.Positions = f.c.positions(len(f.c.log))
			slices.SortFunc(f.o.Positions, bytes.Compare)
			if spoil == nil {
				f.o.Positions = append(f.o.Positions, f.o.Positions[0])
			} else {
				f.o.Positions[0] = spoil(f.o.Positions[0])
			}
			var log strings.Builder
			f.o.NextFile, f.o.Once, f.o.Logger = 9, true, newLogger(&log)
			tl, err := New(f.o, f.c)
			f.must(err)
			f.must(tl.Run(t.Context()))
			ones := 2
			if spoil == nil {
				ones = 1
			}
			got := f.c.text()
			if strings.Count(got, "one") != ones || strings.Count(got, "two") != 1 || strings.Count(got, "three") != 1 || tl.BadPositions() != 1 || strings.Count(log.String(), "level=ERROR") != 1 {
				t.Errorf("handed on %q, %d bad positions, log:\n%s", got, tl.BadPositions(), log.String())
			}
		})
	}
}

func FuzzPosition(f *testing.F) {
	p := samplePosition()
	b, _ := p.MarshalBinary()
	f.Add(b)
	f.Add([]byte{1, 0})
	f.Add(b[:len(b)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, q Position
		if p.UnmarshalBinary(b) != nil {
			return
		}
		again, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := q.UnmarshalBinary(again); err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%v\n%+v\n%+v", err, p, q)
		}
	})
}

// TestAdvance compares a position that was moved in pieces with its bytes.
func TestAdvance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p Position
		var all []byte
		for range rapid.IntRange(0, 200).Draw(t, "pieces") {
			piece := rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "piece")
			p.advance(piece, 1)
			all = append(all, piece...)
		}
		sum := func(n int64) uint32 { return crc32.Checksum(all[:n], castagnoli) }
		n := int64(len(all))
		if p.Offset != n || p.CRC != sum(n) || p.Head != (Mark{min(n, headSize), sum(min(n, headSize))}) {
			t.Fatalf("at %d: %+v", n, p)
		}
		if want := all[max(0, n-anchorSize):]; !bytes.Equal(p.Anchor, want) {
			t.Fatalf("anchor %x, want %x", p.Anchor, want)
		}
		for _, m := range p.Marks {
			if m.CRC != sum(m.Offset) {
				t.Fatalf("mark at %d is wrong", m.Offset)
			}
		}
		if at := p.markBefore(n / 2); at.Offset > n/2 || at.CRC != sum(at.Offset) {
			t.Fatalf("mark before %d: %+v", n/2, at)
		}
	})
}

// Marks reach back to the start, ever closer towards the offset.
func TestMarksGrow(t *testing.T) {
	var p Position
	for range 10_000 {
		p.advance([]byte("0123456789"), 1)
	}
	if len(p.Marks) != maxMarks || p.Marks[0].Offset > 1000 || p.Marks[maxMarks-1].Offset != p.Offset {
		t.Fatalf("%d marks: %+v", len(p.Marks), p.Marks)
	}
	last := p.Offset
	for i := maxMarks - 2; i > 0; i-- {
		if back, gap := p.Offset-p.Marks[i].Offset, last-p.Marks[i].Offset; gap > back/2+100 {
			t.Fatalf("a gap of %d, %d before the offset", gap, back)
		}
		last = p.Marks[i].Offset
	}
}

// TestFrame: however a file arrives, its records are the same.
func TestFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 9).Draw(t, "limit")
		text := rapid.StringOfN(rapid.SampledFrom([]rune("a\n")), 0, 80, -1).Draw(t, "text")
		var got, want []string
		split := func(line string) (parts []string) {
			body := strings.TrimSuffix(line, "\n")
			for len(body) > limit {
				parts, body = append(parts, body[:limit]), body[limit:]
			}
			return append(parts, body)
		}
		for line := range strings.Lines(text) {
			if strings.HasSuffix(line, "\n") {
				want = append(want, split(line)...)
			}
		}
		for at, seen, part := 0, 0, 0; seen < len(text); {
			seen += rapid.IntRange(1, len(text)-seen).Draw(t, "more")
			for {
				n, parts := frame([]byte(text[at:seen]), limit)
				if n == 0 {
					break
				}
				if parts > 0 {
					for i := range parts {
						got = append(got, text[at+i*limit:at+(i+1)*limit])
					}
					part += parts
				} else {
					for line := range strings.Lines(text[at : at+n]) {
						got = append(got, split(line)...)
					}
					part = 0
				}
				at += n
			}
		}
		// Parts of a last line that never ends are not wanted yet.
		if len(got) < len(want) || strings.Join(got[:len(want)], "|") != strings.Join(want, "|") {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
