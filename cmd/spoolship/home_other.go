//go:build unix && !linux

package main

// volatileHome knows no file systems here.
func volatileHome(string) (what, fix string) { return "", "" }
