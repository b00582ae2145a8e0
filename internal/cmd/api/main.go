// Api writes the exported API of the module to the file api.txt, or compares them.
//
//	go run ./internal/cmd/api                # writes api.txt
//	go run ./internal/cmd/api -check         # fails if api.txt is not the API
//	go run ./internal/cmd/api -since FILE    # fails if the API breaks that of FILE
//
// FILE is the api.txt of an earlier version: git show v0.1.0:api.txt > FILE.
//
// The command works on the module of the current folder. The API is that of every package that a host
// can import: all but commands and those below internal, cmd and examples. It is read for linux/amd64
// without cgo, on every system. The command refuses a package with files that
// belong to some systems only.
//
// # The file
//
// A line that begins with # is a comment. "package latchkey/store" begins a package. A declaration is
// a line, and its members are the lines below it, which begin with a tab:
//
//   - const, with its type and its value, but without the text of an error
//   - var and func, without the names of parameters
//   - type, with the fields of a struct in their order and with their tags, or with the methods of an
//     interface
//   - the methods of a type, with those of embedded types
//
// Members in small letters are marks. "comparable" says that == works on the values of a struct with
// exported fields. "unexported methods" says that a host cannot implement the interface, because it
// cannot name all of its methods and their types. "deprecated" stands below a declaration whose comment
// has such a paragraph, and "deprecated NAME" for a field or a method of an interface. "embeds" is an
// embedded field. A field with "// promoted" is one of an embedded type that is not exported.
//
// A type that is not exported is there too if an exported declaration of its package has it, because a
// host can call its methods. A function or a method with a type of an internal package is left out: it
// is for the module itself. Another declaration with such a type is an error. The methods and fields
// that come with an embedded type of another module are left out, because that module decides them.
//
// The path of the module is written as the name of its root package, so that the file holds after the
// module was renamed.
//
// # Breaks
//
// All changes are breaks but these: a new declaration, a new field, a new method of a type or of an
// interface with unexported methods, a type that becomes comparable, and a mark of deprecation.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
)

// fileName is the name of the file, in the folder of the module.
const fileName = "api.txt"

func main() {
	log.SetFlags(0)
	log.SetPrefix("api: ")
	check := flag.Bool("check", false, "compare "+fileName+" with the API, and fail if they differ")
	since := flag.String("since", "", "compare the API with a `file` of an earlier version, and fail if it breaks that")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: go run ./internal/cmd/api [-check | -since FILE]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 0 || *check && *since != "" {
		flag.Usage()
		os.Exit(2)
	}
	var err error
	switch {
	case *check:
		err = checkFile(os.Stdout, ".")
	case *since != "":
		err = checkSince(os.Stdout, ".", *since)
	default:
		err = write(".")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// write writes the file of the module in a folder.
func write(dir string) error {
	text, err := read(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, fileName), []byte(text), 0o644)
}

var (
	errStale  = errors.New(fileName + " lacks the additions above: run go run ./internal/cmd/api, and commit the file with them")
	errBroken = errors.New("a host that uses these may not build, or may behave differently. docs/stability.md says when a version may do that. " +
		"If this one may, enter the change in CHANGELOG.md and run go run ./internal/cmd/api")
)

// checkFile compares the file of the module in a folder with its API, and prints the differences. Its
// error is errBroken or errStale if there are any.
func checkFile(out io.Writer, dir string) error {
	changes, err := changesSince(dir, filepath.Join(dir, fileName))
	if err != nil {
		return err
	}
	broken := show(out, changes)
	switch {
	case broken:
		return errBroken
	case len(changes) > 0:
		return errStale
	}
	return nil
}

// checkSince prints the differences between the API of the module in a folder and a file of an earlier
// version. Its error is errBroken if one of them is a break.
func checkSince(out io.Writer, dir, file string) error {
	changes, err := changesSince(dir, file)
	if err != nil {
		return err
	}
	if show(out, changes) {
		return errBroken
	}
	return nil
}

func changesSince(dir, file string) ([]change, error) {
	was, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	is, err := read(dir)
	if err != nil {
		return nil, err
	}
	return compare(string(was), is)
}

// show prints changes, and reports whether one of them is a break.
func show(out io.Writer, changes []change) (broken bool) {
	for _, c := range changes {
		broken = broken || c.breaks
		fmt.Fprintln(out, c)
	}
	return broken
}
