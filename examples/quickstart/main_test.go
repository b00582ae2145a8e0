package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestMain runs the program instead of the tests in a process that start started.
func TestMain(m *testing.M) {
	if os.Getenv("QUICKSTART_AS_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs the program in a directory, with a standard input that is no terminal.
func start(t *testing.T, dir, input string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "QUICKSTART_AS_PROGRAM=1")
	cmd.Stdin = strings.NewReader(input)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), problems.String()
}

func TestWithoutAnswersItSaysWhatItNeedsAndMakesNoFile(t *testing.T) {
	for name, c := range map[string]struct {
		input string
		args  []string
	}{
		"nothing":          {"", nil},
		"empty lines":      {"\n\n", nil},
		"only an address":  {"ada@example.org\n", nil},
		"only -email":      {"", []string{"-email", "ada@example.org"}},
		"only -password":   {"", []string{"-password", "correct horse"}},
		"another database": {"", []string{"-store", "bbolt:quickstart.bolt"}},
	} {
		dir := t.TempDir()
		status, stdout, stderr := start(t, dir, c.input, c.args...)
		if status != 2 || stdout != "" {
			t.Errorf("%s: status %d, output %q", name, status, stdout)
		}
		for _, need := range []string{"-email", "-password", "terminal", "standard input"} {
			if !strings.Contains(stderr, need) {
				t.Errorf("%s: the message does not name %q: %s", name, need, stderr)
			}
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
			t.Errorf("%s: %d files, %v", name, len(files), err)
		}
	}
}

func TestTwoLinesAreAnswersAndFlagsNeedNone(t *testing.T) {
	dir := t.TempDir()
	status, stdout, stderr := start(t, dir, "ada@example.org\ncorrect horse\n")
	if status != 0 || !strings.Contains(stdout, "Signed up: ada@example.org") || stderr != "" {
		t.Errorf("two lines: status %d, %s%s", status, stdout, stderr)
	}
	status, stdout, stderr = start(t, dir, "", "-email", "ada@example.org", "-password", "correct horse", "-sign-out", "all")
	if status != 0 || !strings.Contains(stdout, "Sessions of this user: 2") || !strings.Contains(stdout, "the secret is refused from now on") {
		t.Errorf("flags, on the same file: status %d, %s%s", status, stdout, stderr)
	}
}
