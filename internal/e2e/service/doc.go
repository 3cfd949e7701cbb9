// Package service runs the agent's binary as a service manager does: it is
// told when the agent is ready, feels its pulse, and asks it to reload.
package service
