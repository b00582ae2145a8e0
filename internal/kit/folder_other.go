//go:build !linux

package kit

// inMemory finds no file system in memory: the tests know of one on Linux only.
func inMemory() (dir string, ok bool) { return "", false }
