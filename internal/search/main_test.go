package search_test

import (
	"os"
	"testing"

	"example.com/latchkey/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
