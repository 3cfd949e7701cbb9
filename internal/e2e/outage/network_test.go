//go:build e2e

package outage

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The addresses of a network of two machines; RFC 2544 keeps 198.18.0.0/15
// free for tests of network devices.
const (
	storeIP = "198.18.77.1"
	agentIP = "198.18.77.2"
	nobody  = "02:00:00:00:00:01" // a hardware address that no device has
)

// network is a namespace for the agent, with one cable to the store.
type network struct{ name, store, agent string }

// newNetwork makes it, or says why there can be none. It ends with the test.
func newNetwork(t *testing.T) (*network, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return nil, errors.New("needs ip, of Debian's package iproute2")
	}
	id := os.Getpid() % 1_000_000 // device names have 15 characters at most
	n := &network{name: fmt.Sprint("outage", id), store: fmt.Sprint("outs", id), agent: fmt.Sprint("outa", id)}
	t.Cleanup(func() {
		ip("link", "del", n.store)
		ip("netns", "del", n.name)
	})
	return n, errors.Join(
		ip("netns", "add", n.name),
		ip("link", "add", n.store, "type", "veth", "peer", "name", n.agent, "netns", n.name),
		ip("addr", "add", storeIP+"/30", "dev", n.store),
		ip("link", "set", n.store, "up"),
		ip("-n", n.name, "addr", "add", agentIP+"/30", "dev", n.agent),
		ip("-n", n.name, "link", "set", n.agent, "up"),
	)
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// wrap writes a program to dir that runs binary in the namespace.
func (n *network) wrap(dir, binary string) (string, error) {
	path := filepath.Join(dir, "agent")
	text := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s '%s' \"$@\"\n", n.name, binary)
	return path, os.WriteFile(path, []byte(text), 0o755)
}

// drop has every packet of the agent to the store end nowhere: the store's
// machine passes over what is addressed to another device.
func (n *network) drop() error {
	return ip("-n", n.name, "neigh", "replace", storeIP, "lladdr", nobody, "nud", "permanent", "dev", n.agent)
}

func (n *network) restore() error { return ip("-n", n.name, "neigh", "del", storeIP, "dev", n.agent) }
