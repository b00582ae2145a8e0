package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"example.com/latchkey/store"
)

// maxLinks is the greatest number of symbolic links that lead to a file.
const maxLinks = 40

// ResolvePath returns the absolute path of the file that a path leads to through symbolic links,
// whether the file exists or not. It refuses a path that can be meant for something else than a
// file.
func ResolvePath(path string) (string, error) {
	switch {
	case path == "":
		return "", fmt.Errorf("%w: the path is empty", store.ErrInvalid)
	case path == ":memory:", strings.HasPrefix(path, "file:"), strings.Contains(path, "://"):
		return "", fmt.Errorf("%w: %q is the path of a file, and no URI. A store in memory is that of package store/memory. A file of such a name is ./%s",
			store.ErrInvalid, path, filepath.Base(path))
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	for range maxLinks {
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		case info.IsDir():
			return "", fmt.Errorf("%w: %s is a folder, and no file. Some programs make a folder for a file that is missing when they start", store.ErrInvalid, path)
		case info.Mode()&fs.ModeSymlink == 0 && !info.Mode().IsRegular():
			return "", fmt.Errorf("%w: %s is not a regular file", store.ErrInvalid, path)
		case info.Mode()&fs.ModeSymlink == 0:
			return path, nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = filepath.Clean(to)
	}
	return "", fmt.Errorf("%w: more than %d links lead on from %s", store.ErrInvalid, maxLinks, path)
}
