//go:build packagetest

package packagetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/rig"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

// maxExposure is what systemd-analyze security may say of the unit.
const maxExposure = 1.5

// rsyslog takes events at a stream socket, which loses none, and writes them
// as they came.
const rsyslogConf = `module(load="imptcp")
template(name="bare" type="string" string="%msg:2:$%\n")
input(type="imptcp" path="/var/lib/events.sock" ruleset="events")
ruleset(name="events") { action(type="omfile" file="/var/log/events.log" template="bare") }
`

const logrotateConf = `/var/log/events.log {
	rotate 9
	create
	missingok
	postrotate
		systemctl kill --kill-who=main --signal=HUP rsyslog.service
	endscript
}
`

// life is one machine's and what was written in it.
type life struct {
	*machine
	store   *rig.Rig
	rsyslog net.Conn // one, since rsyslog keeps no order among several
	lines   [][]byte // by rsyslog
	more    [][]byte // of an input that a reload adds
}

func TestLifeOfAPackage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("skipped: only root can boot a machine")
	}
	deb, previous, base := setting(t, "SPOOLSHIP_DEB"), setting(t, "SPOOLSHIP_PREVIOUS"), setting(t, "SPOOLSHIP_ROOT")
	store, err := rig.New(t.Context(), t.TempDir(), rig.Versity, "", os.Getenv("VERSITYGW_BIN"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	l := &life{machine: boot(t, base), store: store}
	l.step("boot", strings.TrimSpace(l.do("systemctl", "--version")[:11]))
	l.unpack(deb, "root/spoolship.deb")
	l.unpack(previous, "root/previous.deb")
	l.install("/root/previous.deb")
	l.security()
	l.configure()
	l.send(1000)
	l.arrived("ship")
	l.rotate()
	l.reload()
	l.refuse()
	l.change("upgrade", "/root/spoolship.deb")
	l.change("downgrade", "/root/previous.deb")
	l.kill()
	l.full()
	l.remove()
}

// setting is what packaging/test says.
func setting(t *testing.T, name string) string {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		t.Fatal("run it by make package-test")
	}
	return v
}

func (l *life) unpack(file, name string) {
	data, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(name, string(data))
}

func (l *life) install(deb string) {
	out := l.do("apt-get", "install", "--yes", deb)
	if !strings.Contains(out, "set [s3] bucket") {
		l.fail("the installation does not say what to do next:\n%s", out)
	}
	for _, question := range []string{"is-active", "is-enabled"} {
		if out, err := l.try("systemctl", question, "spoolship"); err == nil {
			l.fail("after the installation, %s says %s", question, out)
		}
	}
	if got := strings.TrimSpace(l.do("stat", "-c", "%a %U:%G", "/etc/spoolship/spoolship.toml")); got != "640 root:spoolship" {
		l.fail("the configuration is %s", got)
	}
	l.step("install", "not started, not enabled, says what to do next")
}

var exposure = regexp.MustCompile(`Overall exposure level for spoolship\.service: ([0-9.]+)`)

func (l *life) security() {
	out := l.do("systemd-analyze", "security", "--no-pager", "spoolship.service")
	found := exposure.FindStringSubmatch(out)
	if found == nil {
		l.fail("no exposure in:\n%s", out)
	}
	if v, err := strconv.ParseFloat(found[1], 64); err != nil || v > maxExposure {
		l.fail("exposure %s is above %.1f:\n%s", found[1], maxExposure, out)
	}
	l.step("security", "exposure "+found[1])
}

func (l *life) configure() {
	l.write("etc/rsyslog.d/events.conf", rsyslogConf)
	l.write("etc/logrotate.d/events", logrotateConf)
	l.do("systemctl", "restart", "rsyslog")
	var err error
	if l.rsyslog, err = net.Dial("unix", l.path("var/lib/events.sock")); err != nil {
		l.fail("rsyslog: %v", err)
	}
	l.t.Cleanup(func() { l.rsyslog.Close() })
	// A state directory small enough to be filled.
	l.do("mount", "-t", "tmpfs", "-o", "size=96M,mode=0750", "spool", "/var/lib/spoolship")
	l.write("etc/spoolship/spoolship.toml", fmt.Sprintf(`[spool]
min_free = "8MiB"
segment_size = "8MiB"

[s3]
bucket = "events"
region = %q
endpoint = %q
path_style = true
access_key_id = %q
secret_access_key = %q

[chunk]
max_age = "200ms"

[[input]]
name = "app"
include = ["/var/log/events.log"]
`, s3dev.Region, l.store.Server.URL(), s3dev.AccessKey, s3dev.SecretKey))
	l.do("systemctl", "enable", "--now", "spoolship") // returns when the agent says that it is ready
	l.step("start", "ready")
}

// send gives n events to rsyslog.
func (l *life) send(n int) {
	l.t.Helper()
	if err := l.log(n); err != nil {
		l.fail("rsyslog: %v", err)
	}
}

func (l *life) log(n int) error {
	for range n {
		line := fmt.Sprintf(`{"event":%d,"text":"nothing special"}`, len(l.lines))
		if _, err := fmt.Fprintf(l.rsyslog, "<13>Nov 26 10:00:00 host app: %s\n", line); err != nil {
			return err
		}
		l.lines = append(l.lines, []byte(line))
	}
	return nil
}

// under does something while 5,000 lines/s are written.
func (l *life) under(what func()) {
	l.t.Helper()
	stop, ended := make(chan struct{}), make(chan error)
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var err error
		for err == nil {
			select {
			case <-stop:
				ended <- err
				return
			case <-tick.C:
				err = l.log(50)
			}
		}
		<-stop
		ended <- err
	}()
	what()
	close(stop)
	if err := <-ended; err != nil {
		l.fail("rsyslog: %v", err)
	}
}

// arrived waits until the bucket has as many records as lines were written,
// and compares them.
func (l *life) arrived(step string) {
	l.t.Helper()
	l.await(step, func() bool {
		objects, err := l.store.Objects(l.t.Context())
		if err != nil {
			l.fail("%v", err)
		}
		n := 0
		for _, o := range objects {
			n += len(o.Records)
		}
		return n >= len(l.lines)+len(l.more)
	})
	result, err := l.store.Compare(l.t.Context(), []bucket.Stream{
		{Input: "app", Format: bucket.JSON, Name: "events.log", Lines: l.lines},
		{Input: "more", Format: bucket.JSON, Name: "more.log", Lines: l.more},
	})
	if err != nil {
		l.fail("%v", err)
	}
	if !result.OK() {
		var text strings.Builder
		result.Print(&text)
		l.fail("%s: not every line arrived once:\n%s", step, text.String())
	}
	l.step(step, fmt.Sprintf("%d lines written, each in the bucket once", len(l.lines)+len(l.more)))
}

func (l *life) rotate() {
	l.do("logrotate", "--force", "/etc/logrotate.d/events")
	l.send(1000)
	l.arrived("rotate")
	if !l.exists("var/log/events.log.1") {
		l.fail("logrotate rotated nothing")
	}
}

func (l *life) pid() string {
	return strings.TrimSpace(l.do("systemctl", "show", "--property=MainPID", "--value", "spoolship"))
}

// reload adds an input and changes the compression.
func (l *life) reload() {
	before := l.pid()
	for i := range 1000 {
		l.more = append(l.more, fmt.Appendf(nil, `{"more":%d}`, i))
	}
	l.write("var/log/more.log", string(bytes.Join(l.more, []byte("\n")))+"\n")
	l.write("etc/spoolship/conf.d/more.toml", `[[input]]
name = "more"
include = ["/var/log/more.log"]
[input.chunk]
compression = "zstd"
`)
	l.under(func() { l.do("systemctl", "reload", "spoolship") })
	l.arrived("reload")
	if now := l.pid(); now != before {
		l.fail("a reload ended process %s: now it is %s", before, now)
	}
}

// refuse reloads a wrong configuration.
func (l *life) refuse() {
	const name = "etc/spoolship/conf.d/wrong.toml"
	before := l.pid()
	l.write(name, "[[input]]\nname = \"wrong\"\ninclude = [\"var/log/wrong.log\"]\n")
	if out, err := l.try("systemctl", "reload", "spoolship"); err == nil {
		l.fail("systemctl finds nothing wrong with a wrong configuration: %s", out)
	}
	const reason = "wrong.toml:3"
	l.await("status with the reason", func() bool {
		out, err := l.try("spoolship", "status")
		return err != nil && strings.Contains(out, reason)
	})
	if out := l.do("journalctl", "--no-pager", "--unit=spoolship"); !strings.Contains(out, reason) {
		l.fail("the journal does not say why the reload is refused")
	}
	l.send(1000)
	l.arrived("refuse")
	if err := os.Remove(l.path(name)); err != nil {
		l.fail("%v", err)
	}
	l.do("systemctl", "reload", "spoolship")
	if now := l.pid(); now != before {
		l.fail("a refused reload ended process %s: now it is %s", before, now)
	}
}

// change installs another version while lines are written.
func (l *life) change(step, deb string) {
	before := l.pid()
	l.under(func() { l.do("apt-get", "install", "--yes", "--allow-downgrades", deb) })
	if l.pid() == before {
		l.fail("%s: the agent was not restarted", step)
	}
	l.arrived(step)
}

// kill ends the agent while lines are written; systemd starts it again.
func (l *life) kill() {
	l.under(l.restarted)
	l.arrived("kill")
}

func (l *life) restarted() {
	before := l.pid()
	l.do("systemctl", "kill", "--kill-who=main", "--signal=KILL", "spoolship")
	l.await("restart", func() bool {
		now := l.pid()
		return now != before && now != "0"
	})
}

// full fills the disk of the state directory, and kills the agent there.
func (l *life) full() {
	const filler = "/var/lib/spoolship/filler"
	out, err := l.try("dd", "if=/dev/zero", "bs=64K", "of="+filler)
	if err == nil || !strings.Contains(out, "No space left") {
		l.fail("the disk is not full: %s", out)
	}
	l.send(5000)
	l.restarted()
	l.await("status with the full disk", func() bool {
		out, err := l.try("spoolship", "status")
		return err != nil && strings.Contains(out, "to stay free")
	})
	l.send(5000)
	l.do("rm", filler)
	l.arrived("full disk")
	l.do("spoolship", "status")
}

func (l *life) remove() {
	l.do("apt-get", "remove", "--yes", "spoolship")
	if l.exists("usr/bin/spoolship") {
		l.fail("a removal leaves the binary")
	}
	for _, kept := range []string{"etc/spoolship/spoolship.toml", "var/lib/spoolship"} {
		if !l.exists(kept) {
			l.fail("a removal deletes %s", kept)
		}
	}
	l.step("remove", "configuration and state are kept")
	l.do("apt-get", "purge", "--yes", "spoolship")
	if state := l.do("ls", "-A", "/var/lib/spoolship"); l.exists("etc/spoolship") || state != "" {
		l.fail("a purge leaves configuration or state: %s", state)
	}
	logs, err := filepath.Glob(l.path("var/log/events.log*"))
	if err != nil || len(logs) != 2 {
		l.fail("a purge must leave the logs alone: %v", logs)
	}
	l.step("purge", "configuration and state are gone, logs are left")
}
