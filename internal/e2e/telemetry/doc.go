// Package telemetry checks what is made for Prometheus and Grafana with the
// parser of Prometheus. It has tests only.
package telemetry
