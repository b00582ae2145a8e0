package latchkey_test

import (
	"os/exec"
	"strings"
	"testing"
)

// The engine has no transport and no backend: a host compiles only the driver
// of the backend that it imports.
func TestRootPackagePullsInNoTransportAndNoBackend(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := false
	for _, p := range strings.Fields(string(out)) {
		seen = seen || p == "example.com/latchkey/store"
		for _, forbidden := range []string{
			"net/http", "database/sql", "html/template", "go.etcd.io/", "modernc.org/", "github.com/jackc/",
			"example.com/latchkey/store/", "github.com/tidwall/",
		} {
			inside := strings.HasPrefix(p, forbidden)
			if inside && p != "database/sql/driver" {
				t.Errorf("the root package pulls in %s", p)
			}
		}
	}
	if !seen {
		t.Error("the list of packages is not the root package's")
	}
}
