// Package telemetry checks the dashboard with the parser of Prometheus and the
// types of Grafana. It has tests only, which make alerts runs.
package telemetry
