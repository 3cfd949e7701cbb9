// Package packagetest installs the deb in a Debian that is booted for it by
// systemd-nspawn, has rsyslog write and logrotate rotate there, and compares
// every line with the bucket. make package-test runs it; it needs root.
package packagetest
