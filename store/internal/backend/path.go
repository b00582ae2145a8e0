package backend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"example.com/latchkey/store"
)

// schemes begin texts that are meant for something else than the name of a file.
var schemes = []string{":memory:", "file:", "sqlite:", "sqlite3:", "bbolt:"}

// maxLinks is the greatest number of symbolic links that lead to a file.
const maxLinks = 40

// ResolvePath returns the absolute path of the file that a path leads to through symbolic links,
// whether the file exists or not. It refuses a path that can be meant for something else than a
// file.
func ResolvePath(path string) (string, error) {
	isScheme := func(scheme string) bool {
		return len(path) >= len(scheme) && strings.EqualFold(path[:len(scheme)], scheme)
	}
	switch {
	case path == "":
		return "", fmt.Errorf("%w: the path is empty", store.ErrInvalid)
	case slices.ContainsFunc(schemes, isScheme), strings.Contains(path, "://"):
		return "", fmt.Errorf("%w: %q is not the path of a file. Open takes a path and no URI. A store in memory is that of package store/memory. A file of such a name is ./%s",
			store.ErrInvalid, path, filepath.Base(path))
	}
	if !filepath.IsAbs(path) { // without the clean-up of filepath.Abs, for which a folder is no link
		here, err := os.Getwd()
		if err != nil {
			return "", err
		}
		path = here + string(filepath.Separator) + path
	}
	for range maxLinks {
		dir, name := filepath.Split(path)
		if name == "." || name == ".." || name == "" {
			return "", folder(path)
		}
		real, err := filepath.EvalSymlinks(dir) // of the folder that is meant, links and all
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil // which opening will say
		}
		if err != nil {
			return "", err
		}
		path = filepath.Join(real, name)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return path, nil
		case err != nil:
			return "", err
		case info.IsDir():
			return "", folder(path)
		case info.Mode()&fs.ModeSymlink == 0 && !info.Mode().IsRegular():
			return "", fmt.Errorf("%w: %s is not a regular file", store.ErrInvalid, path)
		case info.Mode()&fs.ModeSymlink == 0:
			return path, nil
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if path = to; !filepath.IsAbs(to) {
			path = real + string(filepath.Separator) + to
		}
	}
	return "", fmt.Errorf("%w: more than %d links lead on from %s", store.ErrInvalid, maxLinks, path)
}

// folder is the error of a path that leads to a folder.
func folder(path string) error {
	return fmt.Errorf("%w: %s is a folder, and no file. Some programs make a folder for a file that is missing when they start", store.ErrInvalid, path)
}
