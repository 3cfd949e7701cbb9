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
	http   http.Client
}

func newClient(c *config.Config) *client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", c.Telemetry.Socket)
	}
	return &client{socket: c.Telemetry.Socket, http: http.Client{
		Transport: &http.Transport{DialContext: dial, ResponseHeaderTimeout: time.Minute},
	}}
}

// connect returns a client of the running agent. That may run on an earlier
// configuration than the one on disk, whose mistakes must not hide it.
func connect(cmd *cobra.Command) (*client, error) {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, err
	}
	c, _, err := config.Load(path, os.LookupEnv)
	if err != nil {
		printf(cmd.ErrOrStderr(), "spoolship: warning: %v\n", err)
	}
	return newClient(c), nil
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
		return nil, &exitError{err: fmt.Errorf("%w on %s", errNoAgent, c.socket), code: exitTemporary,
			hint: "start it with: systemctl start spoolship (or spoolship run)"}
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
