package s3dev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// The keys that every store of this package accepts. versitygw checks the
// signatures made with them.
const (
	AccessKey = "e2e-access"
	SecretKey = "e2e-secret-key"
	Region    = "us-east-1"
)

// startLimit bounds the start of versitygw.
const startLimit = 15 * time.Second

// Versity is a versitygw child process over a directory (its posix backend).
type Versity struct {
	addr string
	root string // of the buckets
	cmd  *exec.Cmd
	done chan struct{} // closed when the process is gone

	transport *http.Transport
}

// StartVersity runs the versitygw binary bin with everything it keeps in dir,
// and returns when it accepts connections. Its output goes to dir/versitygw.log.
func StartVersity(ctx context.Context, bin, dir, bucket string) (*Versity, error) {
	root, side := filepath.Join(dir, "data"), filepath.Join(dir, "meta")
	for _, d := range []string{root, side} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	out, err := os.Create(filepath.Join(dir, "versitygw.log"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	v := &Versity{addr: freeAddr(loopback), root: root, done: make(chan struct{}), transport: &http.Transport{}}
	if err := v.Bucket(bucket); err != nil {
		return nil, err
	}
	v.cmd = exec.Command(bin, "--port", v.addr, "--access", AccessKey, "--secret", SecretKey,
		"--region", Region, "--quiet", "posix", "--sidecar", side, root)
	v.cmd.Stdout, v.cmd.Stderr = out, out
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start versitygw (build it with make versitygw): %w", err)
	}
	go func() {
		defer close(v.done)
		v.cmd.Wait()
	}()
	if err := v.ready(ctx); err != nil {
		v.Close()
		return nil, fmt.Errorf("%w, see %s", err, out.Name())
	}
	return v, nil
}

// URL is the endpoint of the process itself.
func (v *Versity) URL() string { return "http://" + v.addr }

// Bucket makes an empty bucket. In the posix backend a directory is one.
func (v *Versity) Bucket(name string) error { return os.MkdirAll(filepath.Join(v.root, name), 0o755) }

// ready dials until somebody answers; there is nothing else to wait on.
func (v *Versity) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("tcp", v.addr); err == nil {
			c.Close()
			return nil
		}
		select {
		case <-tick.C:
		case <-v.done:
			return errors.New("versitygw ended at once")
		case <-ctx.Done():
			return errors.New("versitygw does not listen")
		}
	}
}

// Handler passes requests on to versitygw as they are: the Host header is part
// of their signature. A broken connection to it answers 502, which the Front
// turns into a broken connection again.
func (v *Versity) Handler() http.Handler {
	to := &url.URL{Scheme: "http", Host: v.addr}
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host
		},
		Transport: v.transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
}

// Close kills the process and waits for its end.
func (v *Versity) Close() {
	v.transport.CloseIdleConnections()
	v.cmd.Process.Kill()
	<-v.done
}
