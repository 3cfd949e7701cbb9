package agentproc

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what a finished process cost.
type Usage struct {
	CPU     time.Duration // user and system
	Anon    int64         // peak resident bytes without mapped files, sampled
	Written int64         // bytes of pages it dirtied on disk
}

// Usage returns the figures. Valid after Done.
func (p *Proc) Usage() Usage {
	r := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return Usage{
		CPU:  p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime(),
		Anon: p.peak,
		// Linux counts blocks of 512 bytes, the same figure as write_bytes of
		// /proc/PID/io.
		Written: r.Oublock * 512,
	}
}

// sampleEvery is short against the life of what fills memory here: a chunk
// lives for about a second.
const sampleEvery = 20 * time.Millisecond

// watch samples the process until it is gone.
func (p *Proc) watch() {
	gone := make(chan struct{})
	go func() {
		p.err = p.cmd.Wait()
		close(gone)
	}()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.peak = max(p.peak, p.Memory().Anon)
		case <-gone:
			close(p.done)
			return
		}
	}
}

// Memory is what a running process has, in bytes. Its peak is the kernel's
// VmHWM and not getrusage's ru_maxrss, which a child inherits from the process
// that started it: the benchmark maps whole data files.
type Memory struct{ RSS, Anon, Peak int64 }

// MemoryOf returns zeros if there is no such process.
func MemoryOf(pid int) Memory {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return Memory{}
	}
	field := func(name string) int64 {
		_, rest, _ := strings.Cut(string(b), name)
		value, _, _ := strings.Cut(rest, "kB")
		n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		return n << 10
	}
	return Memory{RSS: field("VmRSS:"), Anon: field("RssAnon:"), Peak: field("VmHWM:")}
}

// Memory returns what a running process has.
func (p *Proc) Memory() Memory { return MemoryOf(p.cmd.Process.Pid) }

// CPU returns what a running process has used so far.
func (p *Proc) CPU() time.Duration {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/stat")
	if err != nil {
		return 0
	}
	// The command's name may hold spaces; utime and stime are the 12th and
	// 13th fields after it, in ticks of 1/100 s (USER_HZ).
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}
