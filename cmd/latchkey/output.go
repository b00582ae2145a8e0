package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"
	"unicode/utf16"

	"golang.org/x/term"

	"example.com/latchkey"
	"example.com/latchkey/store"
	"example.com/latchkey/transfer"
)

// usageError is an error of the command line, or of what it needs.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errRefusals ends a command that is done and has refused records. They are told already.
var errRefusals = errors.New("some records were refused")

// report writes the error of a run and returns the exit code.
func (t *tool) report(err error) int {
	var usage *usageError
	code := exitFailed
	switch {
	case err == nil:
		return 0
	case areRefusals(err):
		return exitRefused
	case errors.As(err, &usage):
		code = exitUsage
	}
	if !t.json {
		fmt.Fprintln(t.errs, "latchkey:", explain(err))
		return code
	}
	writeJSON(t.errs, struct {
		Error string `json:"error"`
		Type  string `json:"type,omitempty"`
		Exit  int    `json:"exit"`
	}{explain(err), typeOf(err), code})
	return code
}

// areRefusals reports whether an error is errRefusals and nothing else.
func areRefusals(err error) bool {
	if joined, is := err.(interface{ Unwrap() []error }); is {
		return !slices.ContainsFunc(joined.Unwrap(), func(e error) bool { return !areRefusals(e) })
	}
	return err == errRefusals
}

// advice says what to do about an error.
var advice = []struct {
	err  error
	text string
}{
	{context.Canceled, "The command was interrupted. Changes that were complete stay"},
	{store.ErrLocked, "Another process has the store open. Stop the service first"},
	{store.ErrForeign, "Check the name of the store"},
	{store.ErrNewer, "Use the command of that version"},
	{store.ErrMoved, "Name the other store"},
	{store.ErrOlder, "Run latchkey migrate"},
	{store.ErrDamaged, "Keep a copy of the store, and restore a backup"},
	{store.ErrNotEmpty, "Name a store that is new or empty"},
	{store.ErrChanged, "Stop the service, and begin again with a new store"},
	{latchkey.ErrKeyUnknown, "Name the key of the service. Old keys go into the file of LATCHKEY_OLD_KEYS_FILE"},
	{transfer.ErrFormat, "Check the file, and -format"},
	{transfer.ErrTooShort, "Get the whole file, and run the import again"},
	{transfer.ErrVersion, "Use the command of that version"},
}

// explain returns the text of an error with what to do next. The engine hides the cause of a
// fault from the users of a service. The operator needs it.
func explain(err error) string {
	text := causeOf(err)
	var answer *latchkey.Error
	if errors.As(err, &answer) && text == answer.Error() {
		text = answer.Message
		if answer.Argument != "" {
			text = answer.Argument + ": " + answer.Message
		}
	}
	text = strings.TrimPrefix(text, "latchkey: ")
	for _, a := range advice {
		if errors.Is(err, a.err) {
			return text + ". " + a.text + "."
		}
	}
	return text
}

// causeOf returns the text of an error, with the causes of faults.
func causeOf(err error) string {
	text := err.Error()
	if joined, is := err.(interface{ Unwrap() []error }); is {
		var plain, causes []string
		for _, e := range joined.Unwrap() {
			plain, causes = append(plain, e.Error()), append(causes, causeOf(e))
		}
		if text == strings.Join(plain, "\n") { // of errors.Join
			return strings.Join(causes, ". ")
		}
	}
	if cause := errors.Unwrap(err); cause != nil && strings.HasSuffix(text, ": internal error") {
		return causeOf(cause)
	}
	return text
}

// typeOf returns the type of an answer of the engine, "" for another error.
func typeOf(err error) string {
	var answer *latchkey.Error
	if errors.As(err, &answer) {
		return answer.Type
	}
	return ""
}

// result writes the result of a command, as an object or for a person.
func (t *tool) result(object any, format string, args ...any) {
	if t.json {
		writeJSON(t.out, object)
		return
	}
	fmt.Fprintf(t.out, format, args...)
}

// writeJSON writes a line of JSON. Characters that a terminal obeys are escaped. An error of the
// writer shows in its own way.
func writeJSON(w io.Writer, object any) {
	var text strings.Builder
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	_ = out.Encode(object) // never fails for these objects
	var line strings.Builder
	for _, r := range text.String() {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			line.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&line, "\\u%04x\\u%04x", high, low)
		default:
			fmt.Fprintf(&line, "\\u%04x", r)
		}
	}
	_, _ = io.WriteString(w, line.String())
}

// sure is a stream that keeps its first error.
type sure struct {
	io.Writer
	err error
}

func (c *sure) Write(b []byte) (n int, err error) {
	if c.err == nil {
		n, c.err = c.Writer.Write(b)
	}
	return n, c.err
}

// plain returns a text of a user for a terminal: without characters that a terminal obeys.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// rows says how a command writes some of a kind, one a line.
type rows[T any] struct {
	none    string                 // the text for a person if there are none
	heading []string               // of the columns for a person
	columns func(of T) []string    // the texts of a line for a person
	object  func(of T) (shown any) // the line in JSON
}

// write writes a list. more says that there are others beyond it.
func (r rows[T]) write(t *tool, list []T, more bool) error {
	if t.json {
		for _, of := range list {
			writeJSON(t.out, r.object(of))
		}
		if more {
			writeJSON(t.out, map[string]bool{"more": true})
		}
		return nil
	}
	if len(list) == 0 {
		fmt.Fprintln(t.out, r.none)
		return nil
	}
	table := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.Join(r.heading, "\t"))
	for _, of := range list {
		var line []string
		for _, text := range r.columns(of) {
			line = append(line, plain(text))
		}
		fmt.Fprintln(table, strings.Join(line, "\t"))
	}
	err := table.Flush()
	if more {
		fmt.Fprintln(t.out, "There are more. Use -limit.")
	}
	return err
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	if out, is := stream.(*sure); is {
		stream = out.Writer
	}
	f, isFile := stream.(*os.File)
	return isFile && term.IsTerminal(int(f.Fd()))
}

// confirm asks whether to go on. act completes the question and the error.
func (t *tool) confirm(ctx context.Context, act string) error {
	switch {
	case t.yes:
		return nil
	case !isTerminal(t.in):
		return usagef("to %s, add -yes, because standard input is no terminal", act)
	}
	fmt.Fprintf(t.errs, "Really %s? Type yes: ", act)
	answer, err := awaited(ctx, func() (string, error) { return bufio.NewReader(t.in).ReadString('\n') })
	if err != nil && err != io.EOF {
		return err
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was changed, because the answer was not yes")
	}
	return nil
}

// awaited waits for an answer of a person, until the context ends.
func awaited[T any](ctx context.Context, ask func() (T, error)) (answer T, err error) {
	type answered struct {
		answer T
		err    error
	}
	done := make(chan answered, 1)
	go func() {
		answer, err := ask()
		done <- answered{answer, err}
	}()
	select {
	case a := <-done:
		return a.answer, a.err
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// newFile is a file that gets its name when it is complete.
type newFile struct {
	*os.File
	name string
}

// create begins a file. It asks before it replaces one.
func (t *tool) create(ctx context.Context, name string) (*newFile, error) {
	info, err := os.Lstat(name)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", name)
	case err == nil && t.isInUse(info):
		return nil, fmt.Errorf("%s is in use by this command. Name another file", name)
	case err == nil:
		if err := t.confirm(ctx, "overwrite "+name); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // with mode 0600
	if err != nil {
		return nil, err
	}
	return &newFile{f, name}, nil
}

// isInUse reports whether a file is the store, the key, or another file that the command reads.
func (t *tool) isInUse(info fs.FileInfo) bool {
	names := append([]string{t.keyFile, os.Getenv("LATCHKEY_KEY_FILE"), os.Getenv("LATCHKEY_OLD_KEYS_FILE"), t.storeFile}, t.reads...)
	if p, err := t.where(); err == nil && p.kind != "postgres" {
		names = append(names, p.at, p.at+"-wal", p.at+"-shm")
	}
	return slices.ContainsFunc(names, func(name string) bool {
		other, err := os.Stat(name)
		return err == nil && os.SameFile(info, other)
	})
}

// finish completes the file, or removes it if there was an error. It returns that error, or its
// own.
func (f *newFile) finish(err error) error {
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), f.name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// write calls fn with a new file, or with standard output for -.
func (t *tool) write(ctx context.Context, name string, fn func(io.Writer) error) error {
	if name == "-" {
		return fn(t.out)
	}
	f, err := t.create(ctx, name)
	if err != nil {
		return err
	}
	return f.finish(fn(f))
}
