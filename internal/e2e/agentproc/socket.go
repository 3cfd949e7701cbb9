package agentproc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"
)

// Status is the part of GET /status that the tests use.
type Status struct {
	Following bool          `json:"following"` // the first scan is done
	Inputs    []InputStatus `json:"inputs"`

	Backlog int64 `json:"backlog_bytes"` // spooled and not acked
	Lag     int64 `json:"lag_bytes"`     // in files and not yet spooled
	Open    int   `json:"open_chunks"`
	Sealed  int   `json:"sealed_chunks"`
}

// InputStatus is the part of one input. Counts are since the agent's start.
type InputStatus struct {
	Files       int   `json:"files"`
	Open        int   `json:"open"`
	Records     int64 `json:"records"`
	Rotations   int64 `json:"rotations"`
	Truncations int64 `json:"truncations"`
	LostBytes   int64 `json:"lost_bytes"`
	Errors      []struct {
		Path, Hint string
	} `json:"errors"`
}

// Position is one durable offset of GET /positions.
type Position struct {
	Input  string `json:"input"`
	Path   string `json:"path"`
	File   uint64 `json:"file"`
	Offset int64  `json:"offset"`
}

// Client asks a running agent over its socket. Use one per goroutine.
type Client struct{ http http.Client }

// Client returns a client; nothing is dialled yet. Close it.
func (a *Agent) Client() *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", a.Socket)
	}
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 5 * time.Second}}
}

// Close drops the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.get(ctx, "/status", &s)
	return s, err
}

// Positions asks for all durable offsets.
func (c *Client) Positions(ctx context.Context) ([]Position, error) {
	var p []Position
	err := c.get(ctx, "/positions", &p)
	return p, err
}

func (c *Client) get(ctx context.Context, path string, to any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, nil)
	if err != nil {
		return err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(to)
}

// Ready waits until the agent answers on its socket or has ended.
func (p *Proc) Ready(ctx context.Context) error {
	c := p.agent.Client()
	defer c.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := c.Status(ctx); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("the agent ended at once: %w; its last words:\n%s", p.err, p.agent.tail())
		case <-ctx.Done():
			return fmt.Errorf("the agent does not answer on %s; its last words:\n%s", p.agent.Socket, p.agent.tail())
		}
	}
}

// WaitFollowed asks until the agent has a durable position of path.
func (a *Agent) WaitFollowed(ctx context.Context, path string) error {
	c := a.Client()
	defer c.Close()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		positions, err := c.Positions(ctx)
		if slices.ContainsFunc(positions, func(p Position) bool { return p.Path == path }) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the agent does not follow %s : %w", path, errors.Join(ctx.Err(), err))
		}
	}
}
