package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/transfer"
)

// imported is the result of import.
type imported struct {
	Created int  `json:"created"`
	Existed int  `json:"existed"`
	Refused int  `json:"refused"`
	DryRun  bool `json:"dryRun"`
}

// refusal is a refused record.
type refusal struct {
	Line   int    `json:"line"`
	Kind   string `json:"kind,omitempty"`
	ID     string `json:"id,omitempty"`
	Reason string `json:"reason"`
	Type   string `json:"type,omitempty"`
}

// refusalOf returns the refusal of a result.
func refusalOf(r latchkey.ImportResult) refusal {
	out := refusal{r.Line, r.Kind, r.ID, explain(r.Err), typeOf(r.Err)}
	var bad *latchkey.RecordError
	if errors.As(r.Err, &bad) {
		out.Reason = options.Replace(bad.Reason)
	}
	return out
}

func (r refusal) String() string {
	who := plain(strings.TrimSpace(r.Kind + " " + r.ID))
	if who != "" {
		who += ": "
	}
	return fmt.Sprintf("line %d: %s%s", r.Line, who, plain(r.Reason))
}

func importFile(fs *flag.FlagSet) action {
	var formats []string
	for _, f := range transfer.Formats() {
		formats = append(formats, string(f))
	}
	format := fs.String("format", string(transfer.Latchkey), "the `FORMAT` of the file: "+strings.Join(formats, ", "))
	rejects := fs.String("rejects", "", "a new `FILE` for the refused records, instead of standard error")
	keepTokens := fs.Bool("keep-tokens", false, "keep the tokens of providers")
	var from source
	from.flags(fs)
	var o latchkey.ImportOptions
	fs.BoolVar(&o.DryRun, "dry-run", false, "check everything and change nothing")
	fs.BoolVar(&o.TrustVerified, "trust-verified", false, "take addresses as proven that the file calls verified")
	fs.BoolVar(&o.TrustRoles, "trust-roles", false, "take teams, memberships and impersonators")
	return func(ctx context.Context, t *tool, args []string) error {
		file, size, err := t.input(args[0])
		if err != nil {
			return err
		}
		defer file.Close()
		options, hashes, err := from.open()
		if err != nil {
			return err
		}
		if hashes != nil {
			defer hashes.Close()
		}
		counted := &countedReader{Reader: file}
		records, err := begun(transfer.Read(counted, transfer.Format(*format), options))
		if err != nil {
			return err
		}
		in := &importing{tool: t, records: records, options: o, progress: t.newProgress("import"), read: counted, size: size}
		return t.withRejects(ctx, *rejects, func(w io.Writer) error {
			in.rejects = w
			return t.withEngine(ctx, useOf(o), latchkey.Policy{KeepProviderTokens: *keepTokens}, func(e *latchkey.Engine) error { return in.run(ctx, e) })
		})
	}
}

// useOf returns the use of an engine for an import.
func useOf(o latchkey.ImportOptions) use {
	if o.DryRun {
		return rehearse
	}
	return found
}

// input opens a file, or standard input for -. size is 0 if it is not known.
func (t *tool) input(name string) (r io.ReadCloser, size int64, err error) {
	if name == "-" {
		return io.NopCloser(t.in), 0, nil
	}
	t.reads = append(t.reads, name)
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	return f, size, nil
}

// begun reads the first record, so that a file of another form is noticed before a store is
// made.
func begun(records transfer.Records) (transfer.Records, error) {
	next, stop := iter.Pull2(records)
	p, err, more := next()
	var bad *latchkey.RecordError
	if err != nil && !errors.As(err, &bad) {
		stop()
		return nil, err
	}
	return func(yield func(latchkey.Portable, error) bool) {
		defer stop()
		for more && yield(p, err) {
			p, err, more = next()
		}
	}, nil
}

// withRejects calls fn with the writer of refused records. nil is standard error. The file is
// kept even if fn fails, because it tells of an import that broke off.
func (t *tool) withRejects(ctx context.Context, name string, fn func(io.Writer) error) error {
	if name == "" {
		return fn(nil)
	}
	f, err := t.create(ctx, name)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	result := fn(out)
	if err := f.finish(out.Flush()); err != nil {
		return errors.Join(result, fmt.Errorf("the refused records are not written: %w", err))
	}
	return result
}

// importing is a running import.
type importing struct {
	*tool
	records  transfer.Records
	options  latchkey.ImportOptions
	rejects  io.Writer // nil for standard error
	progress *progress
	read     *countedReader
	size     int64
	done     int
}

// run imports the records.
func (in *importing) run(ctx context.Context, engine *latchkey.Engine) error {
	in.options.OnResult = in.result1
	done, err := engine.Import(ctx, in.records, in.options)
	in.progress.end()
	out := imported{done.Created, done.Existed, done.Refused, in.options.DryRun}
	text := "Imported %d records. %d were there already, and %d were refused.\n"
	if out.DryRun {
		text = "Dry run: %d records would be imported. %d are there already, and %d would be refused.\n"
	}
	in.result(out, text, out.Created, out.Existed, out.Refused)
	if err == nil && out.Refused > 0 {
		err = errRefusals
	}
	return err
}

// result1 takes the result of one record.
func (in *importing) result1(r latchkey.ImportResult) {
	in.done++
	if r.Outcome == latchkey.ImportRefused {
		in.refuse(refusalOf(r))
	}
	in.progress.show(in.read.bytes, in.size, fmt.Sprintf("%d records", in.done))
}

// refuse writes a refused record.
func (in *importing) refuse(r refusal) {
	w := in.rejects
	if w == nil {
		in.progress.clear()
		w = in.errs
	}
	if in.json {
		writeJSON(w, r)
		return
	}
	fmt.Fprintln(w, r)
}

// countedReader counts the bytes that it has read. One goroutine at a time uses it.
type countedReader struct {
	io.Reader
	bytes int64
}

func (r *countedReader) Read(b []byte) (n int, err error) {
	n, err = r.Reader.Read(b)
	r.bytes += int64(n)
	return n, err
}

// exported is the result of export.
type exported struct {
	Users       int    `json:"users"`
	Teams       int    `json:"teams"`
	Memberships int    `json:"memberships"`
	Secrets     bool   `json:"secrets"`
	File        string `json:"file"`
}

func exportFile(fs *flag.FlagSet) action {
	secrets := fs.Bool("secrets", false, "write password hashes, second factors and tokens of providers too")
	return func(ctx context.Context, t *tool, args []string) error {
		if *secrets && args[0] == "-" && isTerminal(t.out) {
			return usagef("secrets are not written to a terminal. Name a file")
		}
		return t.withEngine(ctx, look, latchkey.Policy{}, func(engine *latchkey.Engine) error {
			out := exported{Secrets: *secrets, File: args[0]}
			if err := t.write(ctx, args[0], func(w io.Writer) error { return t.export(ctx, engine, w, &out) }); err != nil {
				return err
			}
			if out.File == "-" {
				return nil
			}
			t.result(out, "Exported %d users, %d teams and %d memberships to %s.\n", out.Users, out.Teams, out.Memberships, out.File)
			return nil
		})
	}
}

// export writes all records.
func (t *tool) export(ctx context.Context, engine *latchkey.Engine, w io.Writer, out *exported) error {
	bar := t.newProgress("export")
	if w == t.out && isTerminal(w) { // the records are progress enough
		bar = &progress{now: time.Now}
	}
	defer bar.end()
	file := transfer.NewWriter(w, out.Secrets, time.Now())
	err := engine.Export(ctx, latchkey.ExportOptions{Secrets: out.Secrets}, func(p latchkey.Portable) error {
		switch {
		case p.User != nil:
			out.Users++
		case p.Team != nil:
			out.Teams++
		default:
			out.Memberships++
		}
		bar.show(0, 0, fmt.Sprintf("%d records", out.Users+out.Teams+out.Memberships))
		return file.Write(p)
	})
	if err != nil {
		return err
	}
	return file.Close()
}
