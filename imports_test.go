package latchkey_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// deps lists the packages that a package pulls in, itself included.
func deps(t *testing.T, path string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// The engine has no transport and no backend: a host compiles only the driver
// of the backend that it imports.
func TestRootPackagePullsInNoTransportAndNoBackend(t *testing.T) {
	packages := deps(t, ".")
	if !slices.Contains(packages, "example.com/latchkey/store") {
		t.Error("the list of packages is not the root package's")
	}
	for _, p := range packages {
		for _, forbidden := range []string{
			"testing", "flag", "image", "github.com/boombuler/", "github.com/pquerna/", "net/http", "database/sql", "html/template", "go.etcd.io/", "modernc.org/", "github.com/jackc/",
			"example.com/latchkey/store/", "github.com/tidwall/",
		} {
			if strings.HasPrefix(p, forbidden) && p != "database/sql/driver" {
				t.Errorf("the root package pulls in %s", p)
			}
		}
	}
}

// What the stores are measured against knows nothing of them.
func TestLimitsPullInNothingOfTheProject(t *testing.T) {
	for _, p := range deps(t, "./internal/rawstore") {
		if strings.HasPrefix(p, "example.com/latchkey") && p != "example.com/latchkey/internal/rawstore" {
			t.Errorf("the limits pull in %s", p)
		}
	}
}
