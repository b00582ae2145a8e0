package kit

import (
	"os"
	"syscall"
)

// inMemory makes a folder on a file system in memory, if the system has one with
// enough room.
func inMemory() (dir string, ok bool) {
	const place, tmpfs, room = "/dev/shm", 0x01021994, 1 << 30
	var fs syscall.Statfs_t
	if syscall.Statfs(place, &fs) != nil || fs.Type != tmpfs || fs.Bavail*uint64(fs.Bsize) < room {
		return "", false
	}
	dir, err := os.MkdirTemp(place, "latchkey-")
	return dir, err == nil
}
