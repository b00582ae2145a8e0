package operations_test

import (
	"os"
	"testing"

	"example.com/latchkey/internal/pgtest"
)

func TestMain(m *testing.M) {
	if job := os.Getenv(killEnv); job != "" {
		writeUntilKilled(job)
	}
	os.Exit(pgtest.Main(m))
}
