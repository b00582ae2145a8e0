//go:build !linux

package kit

// inMemory knows of no place in memory on this system.
func inMemory() (dir string, ok bool) { return "", false }
