//go:build !linux

package spool

import "testing"

func smallDisk(t *testing.T, _ string) string {
	t.Helper()
	t.Skip("a small file system is only mounted on Linux")
	return ""
}
