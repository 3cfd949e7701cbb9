//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/spoolship/spoolship/agent/config"
)

// client asks a running agent over its unix socket.
type client struct {
	socket string
	look   string // the socket for those who may look alone; "": what is asked needs more
	http   http.Client

	guessed bool // the socket is the default one, since the configuration can't be read
}

func newClient(c *config.Config) *client {
	cl := &client{socket: c.Telemetry.Socket}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", cl.socket)
		if errors.Is(err, fs.ErrPermission) && cl.look != "" {
			if second, looks := d.DialContext(ctx, "unix", cl.look); looks == nil {
				return second, nil
			}
		}
		return conn, err
	}
	cl.http = http.Client{
		Transport: &http.Transport{DialContext: dial, ResponseHeaderTimeout: time.Minute},
	}
	return cl
}

// looking has the client use the socket for those who may look alone, where it may
// not use the other.
func (c *client) looking() *client {
	c.look = config.Telemetry{Socket: c.socket}.StatusSocket()
	return c
}

// connect returns a client of the running agent. That may run on an earlier
// configuration than the one on disk, whose mistakes must not hide it.
func connect(cmd *cobra.Command) (*client, error) {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	c, _, wrong := config.Load(path, os.LookupEnv)
	if wrong != nil {
		for _, line := range errorLines(wrong) {
			printf(cmd.ErrOrStderr(), "spoolship: warning: %s\n", line)
		}
	}
	client := newClient(c)
	f, err := os.Open(path)
	if client.guessed = errors.Is(err, fs.ErrPermission); err == nil {
		f.Close()
	}
	return client, nil
}

// patient waits for answers as long as it takes.
func (c *client) patient() *client {
	c.http.Transport.(*http.Transport).ResponseHeaderTimeout = 0
	return c
}

// errNoAgent is how calls fail when nobody answers on the socket.
var errNoAgent = errors.New("no agent answers")

// errNotFound is how calls fail for what the agent does not have.
var errNotFound = errors.New("not found")

// open returns the answer to GET path; the caller closes it.
func (c *client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	return c.do(ctx, http.MethodGet, path)
}

// do returns the answer to a request; the caller closes it. The exit codes of
// its errors are what the agent's answers stand for.
func (c *client) do(ctx context.Context, method, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		hint := "start it with: systemctl start spoolship (or spoolship run)"
		if c.guessed {
			hint = "use sudo: this user can't read the configuration, which may name another socket"
		}
		return nil, &exitError{err: fmt.Errorf("%w on %s", errNoAgent, c.socket), code: exitTemporary, hint: hint}
	case errors.Is(err, fs.ErrPermission):
		return nil, &exitError{err: fmt.Errorf("this user may not ask the agent on %s: permission denied", c.socket), code: exitFailure, hint: c.mayAsk()}
	case err != nil:
		return nil, fmt.Errorf("ask the agent on %s: %w", c.socket, err)
	case resp.StatusCode != http.StatusOK:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		_ = resp.Body.Close()
		said := errorOfLines(string(text))
		switch resp.StatusCode {
		case http.StatusNotFound:
			return nil, fmt.Errorf("%w: %s", errNotFound, strings.TrimSpace(string(text)))
		case http.StatusUnprocessableEntity:
			return nil, &exitError{err: said, code: exitUsage}
		case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return nil, &exitError{err: said, code: exitTemporary}
		}
		return nil, fmt.Errorf("the agent answered %s: %w", resp.Status, said)
	}
	return resp.Body, nil
}

// mayAsk tells a user without rights on the socket how to get them.
func (c *client) mayAsk() string {
	group := ""
	if info, err := os.Lstat(c.socket); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			group = groupName(st.Gid)
		}
	}
	if group == "" || group == "root" {
		return "use sudo; for users who may only look, set [telemetry] status_group"
	}
	return fmt.Sprintf("use sudo, or become a member of the group %s, which may also pause and reload; for users who may only look, set [telemetry] status_group", group)
}

// errorOfLines returns an error for each line of an answer, joined.
func errorOfLines(text string) error {
	var errs []error
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		errs = append(errs, errors.New(line))
	}
	return errors.Join(errs...)
}

// post decodes the JSON answer to POST path into v.
func (c *client) post(ctx context.Context, path string, v any) error {
	body, err := c.do(ctx, http.MethodPost, path)
	return decode(path, body, err, v)
}

// get decodes the JSON answer to GET path into v.
func (c *client) get(ctx context.Context, path string, v any) error {
	body, err := c.open(ctx, path)
	return decode(path, body, err, v)
}

func decode(path string, body io.ReadCloser, err error, v any) error {
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(v); err != nil {
		return fmt.Errorf("the agent's answer to %s: %w", path, err)
	}
	return nil
}
