// Package attack_test holds the campaigns: the abuse cases of the requirements by
// their numbers, the known weaknesses of the reference by theirs, and the ways to
// guess or to plant a secret.
package attack_test

import (
	"os"
	"testing"

	"example.com/latchkey/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
