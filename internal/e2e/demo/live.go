package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/spoolship/spoolship/internal/e2e/agentproc"
)

// The live part is cut in rounds; each but the last ends in a SIGKILL.
const (
	rounds   = 4
	downtime = 500 * time.Millisecond // between a kill and the restart
	stopTime = 15 * time.Second       // how long SIGTERM may take
)

// live lets the writer write while the agent is killed and restarted and the
// store goes away for one round's half.
func (d *demo) live(ctx context.Context) error {
	writing, stop := context.WithCancel(ctx)
	written := make(chan error, 1)
	go func() { written <- d.writer.Run(writing) }()
	d.say("a writer logs %.0f JSON lines/s, half lines and rotations included", d.o.Rate)
	err := d.rounds(ctx)
	stop()
	if writeErr := <-written; err == nil {
		err = writeErr
	}
	if err == nil {
		d.say("the writer stopped after %d rotations", len(d.writer.Generations())-1)
	}
	return err
}

func (d *demo) rounds(ctx context.Context) error {
	for round := range rounds {
		p, err := d.rig.Agent.Run(nil)
		if err != nil {
			return err
		}
		if err := d.round(ctx, p, round); err != nil {
			p.Kill()
			return err
		}
	}
	return nil
}

// round runs the agent for one part of the time.
func (d *demo) round(ctx context.Context, p *agentproc.Proc, round int) error {
	if err := p.Ready(ctx); err != nil {
		return err
	}
	d.say("agent %d is up", round+1)
	if err := d.followed(ctx); err != nil {
		return err
	}
	part := d.o.Duration / rounds
	if round == 1 {
		d.say("the S3 server goes away for %s", part/2)
		d.rig.Server.Down()
		if err := d.wait(ctx, p, part/2); err != nil {
			return err
		}
		if err := d.rig.Server.Up(); err != nil {
			return err
		}
		d.say("the S3 server is back")
		part /= 2
	}
	if err := d.wait(ctx, p, part); err != nil {
		return err
	}
	if round == rounds-1 {
		d.say("SIGTERM")
		return p.Stop(stopTime)
	}
	d.say("SIGKILL")
	p.Kill()
	d.kills++
	return d.wait(ctx, nil, downtime)
}

// followed waits until the live file is known to the agent for good; from then
// on it may be rotated at any time.
func (d *demo) followed(ctx context.Context) error {
	if d.writer.Followed.Load() {
		return nil
	}
	if err := d.rig.Agent.WaitFollowed(ctx, d.writer.Path); err != nil {
		return err
	}
	d.writer.Followed.Store(true)
	return nil
}

// wait passes the time; an agent that ends by itself meanwhile is an error.
func (d *demo) wait(ctx context.Context, p *agentproc.Proc, t time.Duration) error {
	var ended <-chan struct{}
	if p != nil {
		ended = p.Done()
	}
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ended:
		return fmt.Errorf("the agent ended by itself: %w", p.Err())
	case <-ctx.Done():
		return ctx.Err()
	}
}
