// Gen writes disposable.txt and free.txt, the lists of package mailclass.
//
//	go run ./mailclass/gen -disposable DIR -free DIR -out mailclass
//
// The directories are clones of
//   - https://github.com/disposable-email-domains/disposable-email-domains (CC0 1.0)
//   - https://github.com/jgillich/free-email-domains (MIT)
//
// Gen reads the files of the commit that is checked out there, and writes its id into the
// lists. It stops if a clone has another licence than the one above. A domain that is in both
// lists is disposable. The git command must be installed.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"example.com/latchkey/internal/canon"
)

// source is a public list, one domain a line.
type source struct {
	repository, file    string
	licence, title      string // the file of the licence, and its title
	licenceHas, summary string
}

var (
	disposable = source{
		"disposable-email-domains/disposable-email-domains", "disposable_email_blocklist.conf",
		"LICENSE.txt", "CC0 1.0", "CC0 1.0 Universal (CC0 1.0)\nPublic Domain Dedication", "Domains of disposable addresses",
	}
	free = source{
		"jgillich/free-email-domains", "free-email-domains.txt",
		"LICENSE", "MIT, see ORIGIN.md", "MIT License\n\nCopyright (c) 2018 synappio", "Domains of free mail providers",
	}
)

// also are providers that give addresses away, as their own sites say, and that the list
// of free ones lacks.
var also = []string{
	"126.com", "163.com", "aim.com", "daum.net", "gmx.at", "hanmail.net", "naver.com", "sina.com", "tuta.com", "tutamail.com",
	"yeah.net", "zohomail.com",
}

// paid are providers in the list of free ones that have no free addresses any more.
var paid = []string{"fastmail.fm"}

func main() {
	log.SetFlags(0)
	disposableDir := flag.String("disposable", "", "the clone of "+disposable.repository)
	freeDir := flag.String("free", "", "the clone of "+free.repository)
	out := flag.String("out", ".", "the directory of the package")
	flag.Parse()
	if err := run(*disposableDir, *freeDir, *out); err != nil {
		log.Fatal(err)
	}
}

func run(disposableDir, freeDir, out string) error {
	throwaway, disposableHead, err := disposable.read(disposableDir)
	if err != nil {
		return err
	}
	given, freeHead, err := free.read(freeDir)
	if err != nil {
		return err
	}
	isThrowaway := func(domain string) bool { return covered(throwaway, domain) }
	given = slices.DeleteFunc(append(given, also...), func(d string) bool { return isThrowaway(d) || slices.Contains(paid, d) })
	// A domain below another one of the list adds nothing.
	throwaway = slices.DeleteFunc(slices.Clone(throwaway), func(d string) bool {
		_, parent, _ := strings.Cut(d, ".")
		return isThrowaway(parent)
	})
	return errors.Join(
		os.WriteFile(filepath.Join(out, "disposable.txt"), format(disposableHead, throwaway), 0o644),
		os.WriteFile(filepath.Join(out, "free.txt"), format(freeHead, given), 0o644),
	)
}

// read returns the domains of a clone, sorted, and the lines that name their origin.
func (s source) read(dir string) (domains []string, head string, err error) {
	licence, err := git(dir, "show", "HEAD:"+s.licence)
	if err != nil {
		return nil, "", err
	}
	if plain := strings.ReplaceAll(licence, "\r", ""); !strings.HasPrefix(plain, s.licenceHas) {
		return nil, "", fmt.Errorf("%s: another licence than %s", s.repository, s.title)
	}
	commit, err := git(dir, "log", "-1", "--format=%H of %cs")
	if err != nil {
		return nil, "", err
	}
	list, err := git(dir, "show", "HEAD:"+s.file)
	if err != nil {
		return nil, "", err
	}
	for domain := range strings.FieldsSeq(list) {
		address, err := canon.Email("a@" + domain)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %q: %w", s.repository, domain, err)
		}
		domains = append(domains, strings.TrimPrefix(address, "a@"))
	}
	slices.Sort(domains)
	head = fmt.Sprintf("# %s, from github.com/%s, commit %s# Licence: %s. Made by gen. A name without a dot is one of .com.\n",
		s.summary, s.repository, commit, s.title)
	return slices.Compact(domains), head, nil
}

// covered reports whether a domain, or one above it, is in a sorted list.
func covered(list []string, domain string) bool {
	for domain != "" {
		if _, found := slices.BinarySearch(list, domain); found {
			return true
		}
		_, domain, _ = strings.Cut(domain, ".")
	}
	return false
}

// format returns the text of a list: sorted by bytes, .com left out where one label
// remains.
func format(head string, domains []string) []byte {
	var short []string
	for _, d := range domains {
		if name, found := strings.CutSuffix(d, ".com"); found && !strings.Contains(name, ".") {
			d = name
		}
		short = append(short, d)
	}
	slices.Sort(short)
	return []byte(head + strings.Join(slices.Compact(short), "\n") + "\n")
}

// git runs a command in a clone and returns its output.
func git(dir string, args ...string) (string, error) {
	if dir == "" {
		return "", errors.New("usage: gen -disposable DIR -free DIR -out DIR")
	}
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, failure.String())
	}
	return string(out), nil
}
