//go:build packagetest

package packagetest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

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
	store *rig.Rig
	lines [][]byte
}

func TestLifeOfAPackage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("skipped: only root can boot a machine")
	}
	deb, base := os.Getenv("SPOOLSHIP_DEB"), os.Getenv("SPOOLSHIP_ROOT")
	if deb == "" || base == "" {
		t.Fatal("run it by make package-test")
	}
	store, err := rig.New(t.Context(), t.TempDir(), rig.Versity, "", os.Getenv("VERSITYGW_BIN"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	l := &life{machine: boot(t, base), store: store}
	l.step("boot", strings.TrimSpace(l.do("systemctl", "--version")[:11]))
	l.install(deb)
	l.security()
	l.configure()
	l.send(1000)
	l.arrived("ship")
	l.rotate()
	l.kill()
	l.remove()
}

func (l *life) install(deb string) {
	data, err := os.ReadFile(deb)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write("root/spoolship.deb", string(data))
	out := l.do("apt-get", "install", "--yes", "/root/spoolship.deb")
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
	l.write("etc/spoolship/spoolship.toml", fmt.Sprintf(`[s3]
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
	c, err := net.Dial("unix", l.path("var/lib/events.sock"))
	if err != nil {
		l.fail("rsyslog: %v", err)
	}
	defer c.Close()
	for range n {
		line := fmt.Sprintf(`{"event":%d,"text":"nothing special"}`, len(l.lines))
		if _, err := fmt.Fprintf(c, "<13>Nov 26 10:00:00 host app: %s\n", line); err != nil {
			l.fail("rsyslog: %v", err)
		}
		l.lines = append(l.lines, []byte(line))
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
		return n >= len(l.lines)
	})
	result, err := l.store.Compare(l.t.Context(), []bucket.Stream{
		{Input: "app", Format: bucket.JSON, Name: "events.log", Lines: l.lines}})
	if err != nil {
		l.fail("%v", err)
	}
	if !result.OK() {
		var text strings.Builder
		result.Print(&text)
		l.fail("%s: not every line arrived once:\n%s", step, text.String())
	}
	l.step(step, fmt.Sprintf("%d lines written, each in the bucket once", len(l.lines)))
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

// kill ends the agent with lines before it; systemd starts it again.
func (l *life) kill() {
	before := l.pid()
	l.send(1000)
	l.do("systemctl", "kill", "--kill-who=main", "--signal=KILL", "spoolship")
	l.send(1000)
	l.await("restart", func() bool {
		now := l.pid()
		return now != before && now != "0"
	})
	l.arrived("kill")
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
	for _, gone := range []string{"etc/spoolship", "var/lib/spoolship"} {
		if l.exists(gone) {
			l.fail("a purge leaves %s", gone)
		}
	}
	logs, err := filepath.Glob(l.path("var/log/events.log*"))
	if err != nil || len(logs) != 2 {
		l.fail("a purge must leave the logs alone: %v", logs)
	}
	l.step("purge", "configuration and state are gone, logs are left")
}
