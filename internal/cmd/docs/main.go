// Docs runs the pages of the documentation: every program and every command in them.
//
//	go run ./internal/cmd/docs [PAGE.md ...]
//
// Without arguments it runs every page of docs. It fails if a command fails, if an output differs
// from the page, or if a block of a page has no place in the list below. At the end it prints the
// blocks that did not run, with the reasons.
//
// # Pages
//
// Each page runs in a new temporary folder, which is a Go module that requires this one, and the
// module otel if the page imports it. The fenced blocks of the page run in their order. The first line
// of a block names its language:
//
//   - sh: bash runs the block. One process runs all blocks of a page, so that variables and the
//     folder stay from one block to the next. The page ends with the first command that fails.
//     Standard input is empty.
//   - text: the expected output of the last sh block, standard output and standard error together.
//     There is no other block between the two. In a line, … stands for any text. A line with …
//     alone stands for any number of lines. An output without such a block is not compared.
//
// A comment of HTML in front of a block, on a line of its own, says more:
//
//   - <!-- file: NAME --> writes the block to a file of the folder, whatever its language is.
//   - <!-- not run: REASON --> leaves the block out.
//   - <!-- needs: PROGRAM ... --> leaves the next block that runs out if a program is not on
//     PATH.
//
// A comment that readers do not see holds commands that stand in for a part of their system, such
// as a file that another program writes:
//
//	<!-- run:
//	COMMANDS
//	-->
//
// A block without a comment whose language is not sh or text is an error. Blocks of indented lines
// are not read.
//
// # Programs
//
// The command latchkey is on PATH, and so are the programs that are on PATH for this one. A page that
// names DATABASE_URL finds there the address of an empty database of PostgreSQL, called app, on a server
// of its own. That needs initdb and postgres. LISTEN is an address of the loopback interface with a free
// port.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("docs: ")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: go run ./internal/cmd/docs [PAGE.md ...]") }
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, flag.Args()); err != nil {
		log.Print(err)
		stop()
		os.Exit(1)
	}
}

// run runs the pages with the given names, and prints a line about each.
func run(ctx context.Context, out io.Writer, names []string) error {
	tree, err := findTree(ctx)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if names, err = filepath.Glob(filepath.Join(tree.dir, "docs", "*.md")); err != nil {
			return err
		}
	}
	pages, err := readPages(names)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "latchkey-docs-")
	if err != nil {
		return err
	}
	r := &runner{tree: tree, dir: dir}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := r.buildCommand(ctx); err != nil {
		return err
	}
	return r.runPages(ctx, out, pages)
}

// readPages reads all pages before the first one runs.
func readPages(names []string) (pages []page, err error) {
	for _, name := range names {
		text, readErr := os.ReadFile(name)
		if readErr != nil {
			return nil, readErr
		}
		p, parseErr := parse(shorten(name), string(text))
		err = errors.Join(err, parseErr)
		pages = append(pages, p)
	}
	return pages, err
}

// shorten returns the name of a file as seen from the current folder.
func shorten(name string) string {
	here, err := os.Getwd()
	if err != nil {
		return name
	}
	if short, err := filepath.Rel(here, name); err == nil && filepath.IsLocal(short) {
		return short
	}
	return name
}

// runPages runs pages one after another. A page that fails does not keep the others from running.
func (r *runner) runPages(ctx context.Context, out io.Writer, pages []page) (err error) {
	var left []skipped
	begin := time.Now()
	blocks := 0
	for _, p := range pages {
		start := time.Now()
		done, pageErr := r.runPage(ctx, p)
		left = append(left, done.skipped...)
		blocks += done.blocks
		verdict := "ok"
		if pageErr != nil {
			verdict = "FAILED"
			err = errors.Join(err, pageErr)
		}
		fmt.Fprintf(out, "%-6s %s: %d blocks in %.1f s\n", verdict, p.name, done.blocks, time.Since(start).Seconds())
		if ctx.Err() != nil {
			break
		}
	}
	for i, s := range left {
		if i == 0 {
			fmt.Fprintln(out, "Not run:")
		}
		fmt.Fprintf(out, "  %s:%d: %s\n", s.page, s.line, s.reason)
	}
	fmt.Fprintf(out, "%d pages, %d blocks, %d not run, in %.0f s\n", len(pages), blocks, len(left), time.Since(begin).Seconds())
	return err
}
