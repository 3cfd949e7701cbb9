//go:build e2e && linux

package container

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/bucket"
	"github.com/spoolship/spoolship/internal/e2e/rig"
	"github.com/spoolship/spoolship/internal/e2e/s3dev"
)

const limit = time.Minute

// place writes a file into the image's root, as a mount would bring it there.
func (im *image) place(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(im.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs the image's program in its root, as the image's user, who may read
// any file but do nothing else that others may not.
func (im *image) run(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	var uid, gid uint32
	if n, err := fmt.Sscanf(im.user, "%d:%d", &uid, &gid); n != 2 || uid == 0 {
		t.Fatalf("user %q: %v", im.user, err)
	}
	cmd := exec.CommandContext(ctx, im.entrypoint[0], args...)
	cmd.Path, cmd.Dir = im.entrypoint[0], "/"
	cmd.Env = []string{"NODE_NAME=node1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: im.root, Credential: &syscall.Credential{Uid: uid, Gid: gid}, AmbientCaps: []uintptr{capDACReadSearch},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return string(out)
}

const capDACReadSearch = 2

// The image's program needs nothing that is not in the image, and the example's
// configuration ships a node's logs with what their paths say.
func TestImage(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("skipped: only root can change the root of a program")
	}
	m, im := readManifest(t), build(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	authorities, err := os.ReadFile(filepath.Join(im.root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(authorities) {
		t.Errorf("no certificate authorities: %v", err)
	}
	store, err := rig.New(ctx, t.TempDir(), rig.Embedded, "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c := store.Config()
	text := strings.NewReplacer(
		`bucket = "my-events"`, fmt.Sprintf("bucket = %q\nendpoint = %q\npath_style = true", c.Bucket, c.Endpoint),
		`region = "eu-central-1"`, fmt.Sprintf("region = %q", c.Region),
		`min_free = "2GiB"`, `min_free = "0B"`,
		`listen = "0.0.0.0:9464"`, `listen = ""`,
	).Replace(m.toml())
	im.place(t, "/etc/spoolship/spoolship.toml", text)
	im.place(t, "/run/secrets/spoolship/access_key_id", s3dev.AccessKey+"\n")
	im.place(t, "/run/secrets/spoolship/secret_access_key", s3dev.SecretKey+"\n")
	const pods = "/var/log/pods/"
	line := func(text string) string { return "2026-11-26T12:00:00.000000001Z stdout F " + text + "\n" }
	im.place(t, pods+"shop_web-7d4b9c_0a1b2c3d-1111/nginx/0.log", line("one")+line("two"))
	im.place(t, pods+"shop_web-7d4b9c_0a1b2c3d-1111/nginx/1.log", line("three"))
	im.place(t, pods+"spoolship_spoolship-x2x4z_9f8e/spoolship/0.log", line("the agent's own"))
	private := filepath.Join(im.root, pods, "shop_web-7d4b9c_0a1b2c3d-1111")
	if err := os.Chmod(private, 0o700); err != nil { // of root, whose files the image's user reads by its capability
		t.Fatal(err)
	}
	if out := im.run(ctx, t, "version"); !strings.Contains(out, "spoolship dev") {
		t.Errorf("version: %s", out)
	}
	im.run(ctx, t, "check", "--config", im.args[2])
	im.run(ctx, t, append(im.args, "--once")...)

	r, err := store.Compare(ctx, []bucket.Stream{
		{Input: "containers", Format: bucket.CRI, Name: "0.log", Lines: [][]byte{[]byte("one"), []byte("two")}},
		{Input: "containers", Format: bucket.CRI, Name: "1.log", Lines: [][]byte{[]byte("three")}},
	})
	if err != nil || !r.OK() {
		t.Fatalf("%+v, %v", r, err)
	}
	objects, err := store.Objects(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if !strings.Contains(o.Name, "/node1-") {
			t.Errorf("%s is not of node1", o.Name)
		}
		for _, rec := range o.Records {
			for _, want := range []string{`"namespace":"shop"`, `"pod":"web-7d4b9c"`, `"pod_uid":"0a1b2c3d-1111"`, `"container":"nginx"`} {
				if !bytes.Contains(rec, []byte(want)) {
					t.Errorf("no %s in %s", want, rec)
				}
			}
		}
	}
}
